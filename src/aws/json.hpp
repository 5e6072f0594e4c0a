// SPDX-License-Identifier: Apache-2.0
// What services and events say, as JSON, by simdjson: bodies of megabytes are read in a few milliseconds.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace splitnet::detail {

/// Reads a document once. Whatever is not there, or is of another kind, is nothing.
class JsonObject {
 public:
  /// Anything may stand in `text`: what is no JSON has no members.
  explicit JsonObject(std::string text);
  ~JsonObject();
  JsonObject(const JsonObject&) = delete;
  JsonObject& operator=(const JsonObject&) = delete;

  /// `pointer`: RFC 6901, the slash in front left out ("requestContext/http/path"). Good as long as this object.
  [[nodiscard]] std::optional<std::string_view> text(std::string_view pointer) const;
  [[nodiscard]] bool is_true(std::string_view pointer) const;
  /// Of a list.
  [[nodiscard]] std::size_t size(std::string_view pointer) const;
  /// Of the members of an object.
  [[nodiscard]] std::vector<std::string> names(std::string_view pointer) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// With quotes, and escapes where they are needed. What is no UTF-8 is replaced.
std::string json_text(std::string_view text);

}  // namespace splitnet::detail
