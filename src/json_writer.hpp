// SPDX-License-Identifier: Apache-2.0
// Writes JSON that nobody reads back: logs, traces. Private.
#pragma once

#include <cereal/archives/json.hpp>  // Brings rapidjson, from where cereal has it, with one setting for all of us.
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "utf8.hpp"

namespace splitnet::detail {

/// The caller sees to it that what it begins it ends.
class JsonWriter {
 public:
  void begin_object() { writer_.StartObject(); }
  void end_object() { writer_.EndObject(); }
  void begin_list() { writer_.StartArray(); }
  void end_list() { writer_.EndArray(); }
  void key(std::string_view name) { text(name); }
  void text(std::string_view value) {
    const std::string valid = valid_utf8(value);
    writer_.String(valid.data(), static_cast<rapidjson::SizeType>(valid.size()));
  }
  void number(std::uint64_t value) { writer_.Uint64(value); }
  /// What is not finite is written as null.
  void number(double value) { std::isfinite(value) ? writer_.Double(value) : writer_.Null(); }

  [[nodiscard]] std::string take() const { return {buffer_.GetString(), buffer_.GetSize()}; }

 private:
  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_{buffer_};
};

}  // namespace splitnet::detail
