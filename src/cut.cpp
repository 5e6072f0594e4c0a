// SPDX-License-Identifier: Apache-2.0
#include "splitnet/cut.hpp"

namespace splitnet {
namespace {

std::string text_of(Cut::Empty) {
  return "at input";
}
std::string text_of(const std::string& name) {
  return "after " + name;
}
std::string text_of(std::size_t index) {
  return "after layer " + std::to_string(index);
}
std::string text_of(const std::vector<std::size_t>& layers) {
  return std::to_string(layers.size()) + (layers.size() == 1 ? " layer" : " layers");
}

}  // namespace

std::string to_string(const Cut& cut) {
  return std::visit([](const auto& kind) { return text_of(kind); }, cut.kind());
}

}  // namespace splitnet
