// SPDX-License-Identifier: Apache-2.0
/// \file
/// A cut: which layers belong to the head.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

namespace splitnet {

/// A wish, not yet checked against a model: `LayerGraph::resolve` turns it into a set of layers.
/// A plain value.
class Cut {
 public:
  struct Empty {
    friend bool operator==(Empty, Empty) { return true; }
  };

  /// The head ends with the last layer of the module path `name` ("features.3"), or with the one layer
  /// that has this name.
  static Cut after(std::string name) { return Cut(Kind(std::move(name))); }
  /// The head is layers 0…index.
  static Cut after_index(std::size_t index) { return Cut(Kind(index)); }
  /// The head is exactly these layers, in any order; they must be closed under the graph's edges.
  static Cut of(std::vector<std::size_t> layers) { return Cut(Kind(std::move(layers))); }
  /// Nothing in the head: the whole model is the tail.
  static Cut at_input() { return Cut(Kind(Empty{})); }

  using Kind = std::variant<Empty, std::string, std::size_t, std::vector<std::size_t>>;
  [[nodiscard]] const Kind& kind() const noexcept { return kind_; }
  friend bool operator==(const Cut&, const Cut&) = default;

 private:
  explicit Cut(Kind kind) : kind_(std::move(kind)) {}
  Kind kind_;
};

/// A short form for messages and tables: "after features.3", "after layer 17", "3 layers", "at input".
std::string to_string(const Cut& cut);

}  // namespace splitnet
