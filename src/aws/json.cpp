// SPDX-License-Identifier: Apache-2.0
#include "aws/json.hpp"

#include <simdjson.h>

#include <utility>

#include "json_writer.hpp"

namespace splitnet::detail {

class JsonObject::Impl {
 public:
  explicit Impl(std::string text) {
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    is_object_ = parser_.parse(text.data(), text.size(), false).get(root_) == simdjson::SUCCESS && root_.is_object();
  }
  [[nodiscard]] simdjson::simdjson_result<simdjson::dom::element> at(std::string_view pointer) const {
    if (!is_object_) return simdjson::NO_SUCH_FIELD;
    return root_.at_pointer("/" + std::string(pointer));
  }

 private:
  simdjson::dom::parser parser_;  // Has what root_ refers to.
  simdjson::dom::element root_;
  bool is_object_ = false;
};

JsonObject::JsonObject(std::string text) : impl_(std::make_unique<Impl>(std::move(text))) {}
JsonObject::~JsonObject() = default;

std::optional<std::string_view> JsonObject::text(std::string_view pointer) const {
  std::string_view found;
  if (impl_->at(pointer).get(found) != simdjson::SUCCESS) return std::nullopt;
  return found;
}

bool JsonObject::is_true(std::string_view pointer) const {
  bool found = false;
  return impl_->at(pointer).get(found) == simdjson::SUCCESS && found;
}

std::size_t JsonObject::size(std::string_view pointer) const {
  simdjson::dom::array found;
  return impl_->at(pointer).get(found) == simdjson::SUCCESS ? found.size() : 0;
}

std::vector<std::string> JsonObject::names(std::string_view pointer) const {
  std::vector<std::string> names;
  simdjson::dom::object found;
  if (impl_->at(pointer).get(found) != simdjson::SUCCESS) return names;
  for (const auto& member : found) names.emplace_back(member.key);
  return names;
}

std::string json_text(std::string_view text) {
  JsonWriter writer;
  writer.text(text);
  return writer.take();
}

}  // namespace splitnet::detail
