// SPDX-License-Identifier: Apache-2.0
// The codec transform. Private.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "splitnet/codec.hpp"
#include "transform_tables.hpp"

namespace splitnet::detail {

/// Takes what one of `tables` (which are valid) is for. `coarseness`: steps of the quantiser relative to the reference
/// ones, in eighths of octaves; −64 … 64.
std::shared_ptr<const Codec> make_transform_codec(std::vector<TransformTables> tables, int coarseness);

/// Of tables as bytes: what the parameter `tables` is.
std::string digest_of_tables(const std::string& tables);
/// `parameters` as in CodecRegistry. Throws invalid_argument for others, incompatible when the tables are missing or
/// others than the parameters say, corrupt.
std::shared_ptr<const Codec> make_named_transform_codec(const std::string& parameters, const CodecTables& tables);

/// What the encoder does with a tensor, for training.
struct TransformStatistics {
  /// How often each symbol came in each context: [context_count][symbol_count].
  std::vector<double> symbols = std::vector<double>(context_count * symbol_count, 0);
  /// Of sizes 1, 2 and more: how often, and how much smaller than the size the number was, in 1/256 steps.
  std::array<double, 3> sizes = {};
  std::array<double, 3> shortfalls = {};
};
/// Adds a tensor that the codec with these tables and coarseness takes.
void add_statistics(const TransformTables& tables, int coarseness, const Tensor& tensor,
                    TransformStatistics& statistics);

}  // namespace splitnet::detail
