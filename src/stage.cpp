// SPDX-License-Identifier: Apache-2.0
#include "splitnet/stage.hpp"

#include "splitnet/error.hpp"

namespace splitnet {
namespace {

Value pick(const ResultSlot& slot, const std::vector<Value>& slots) {
  if (slot.index < slots.size()) return slots[slot.index];
  throw Error(ErrorCode::internal, "result slot " + std::to_string(slot.index) + " is missing: the stages gave " +
                                       std::to_string(slots.size()));
}

Value put_together(ResultShape::Container container, std::vector<Value> items) {
  switch (container) {
    case ResultShape::Container::list: return List{std::move(items)};
    case ResultShape::Container::tuple: return Tuple{std::move(items)};
    case ResultShape::Container::dict: break;
  }
  if (items.size() % 2 != 0) {
    throw Error(ErrorCode::internal, "a dict in the result's shape has a key without a value");
  }
  Dict dict;
  dict.items.reserve(items.size() / 2);
  for (std::size_t i = 0; i < items.size(); i += 2) {
    dict.items.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  }
  return dict;
}

}  // namespace

std::unique_ptr<DifferentiablePass> Stage::differentiate(std::vector<Value> /*inputs*/) const {
  throw Error(ErrorCode::unsupported_model, "stages of this kind can't be differentiated");
}

Value ResultShape::assemble(const std::vector<Value>& slots) const {
  if (const auto* slot = std::get_if<Slot>(&tree)) return pick(*slot, slots);
  const auto& node = std::get<Node>(tree);
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const auto& item : node.items) items.push_back(item.assemble(slots));
  return put_together(node.container, std::move(items));
}

}  // namespace splitnet
