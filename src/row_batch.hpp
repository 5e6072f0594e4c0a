// SPDX-License-Identifier: Apache-2.0
// Requests for one stage as one: their tensors joined along dimension 0, and results split again. Private to the
// worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "splitnet/stage.hpp"
#include "splitnet/value.hpp"

namespace splitnet::detail {

/// The rows that these values have in common, at least 1: the size of dimension 0 of every tensor. Nothing when they
/// can't be joined with others: no tensor, tensors inside of containers or of different rows, tensors that overlap
/// (a stage may write through one and read through the other), rows that are not dense in memory.
std::optional<std::int64_t> rows_of(const std::vector<Value>& values);

/// Whether two sets of values, both with rows, differ in nothing but the number of rows and what is in them: dtypes,
/// sizes and strides of a row are equal, and values that are no tensors are so bit by bit.
bool can_join(const std::vector<Value>& a, const std::vector<Value>& b);

/// All rows one behind the other, in memory of their own. At least one part; each can be joined with the first.
std::vector<Value> join_rows(const std::vector<std::vector<Value>>& parts);

/// Takes rows apart again, `counts[i]` of them for part i, each in memory of its own. Nothing when a value is no tensor
/// with so many rows altogether.
std::optional<std::vector<std::vector<Value>>> split_rows(const std::vector<Value>& values,
                                                          const std::vector<std::int64_t>& counts);

/// Whether the stage gives for each row what it gives when the others are not there. Tried out on the example and
/// variations of it, each alone and several together, up to `max_rows` rows. What differs is compared with the largest
/// element of the tensor: at most `tolerance` times that, 0 for bit by bit; integers must be equal. False as well for
/// values without rows, on either side, and when a pass throws.
bool rows_are_independent(const Stage& stage, const std::vector<Value>& example, std::size_t max_rows,
                          double tolerance);

}  // namespace splitnet::detail
