// SPDX-License-Identifier: Apache-2.0
// Distances between examples, and how two sets of them go together. Private.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "splitnet/value.hpp"

namespace splitnet::detail {

/// Symmetric, with 0 in the diagonal.
class Distances {
 public:
  explicit Distances(std::size_t count) : count_(count), items_(count * count, 0) {}
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] double operator()(std::size_t i, std::size_t j) const { return items_[i * count_ + j]; }
  void set(std::size_t i, std::size_t j, double distance) {
    items_[i * count_ + j] = items_[j * count_ + i] = distance;
  }

 private:
  std::size_t count_;
  std::vector<double> items_;
};

/// Between examples, each with as many values: as leakage.hpp says. Nothing when no value can be compared.
std::optional<Distances> distances_between(const std::vector<std::vector<Value>>& examples);

/// R* of leakage.hpp, for at least 4 examples; 0 when one set is constant.
double distance_correlation(const Distances& a, const Distances& b);

}  // namespace splitnet::detail
