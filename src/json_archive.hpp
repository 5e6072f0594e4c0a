// SPDX-License-Identifier: Apache-2.0
// Readable files through cereal's JSON archives, with errors of ours. Private.
#pragma once

#include <cereal/archives/json.hpp>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "splitnet/error.hpp"

namespace splitnet::detail {

[[noreturn]] inline void corrupt_json(const std::string& what) {
  throw Error(ErrorCode::corrupt, what);
}

template <class T>
const char* json_kind() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_integral_v<T>) return "an integer in range";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  if constexpr (requires { typename T::value_type; }) return "a list";
  return "an object";
}

/// One field of an object, to be called by serialize functions. What reading throws names the field, and
/// those around it: "layers: time_s: …". NaN and infinity are no JSON: validate before writing.
template <class Archive, class T>
void json_field(Archive& archive, const char* name, T& value) {
  const std::string field = name;
  try {
    archive(cereal::make_nvp(name, value));
  } catch (const Error& inner) {
    corrupt_json(field + ": " + inner.what());
  } catch (const cereal::RapidJSONException&) {  // An assertion about the type of what was found.
    corrupt_json(field + ": found something else, expected " + json_kind<T>());
  } catch (const cereal::Exception&) {
    corrupt_json(field + ": missing, expected " + json_kind<T>());
  }
}

/// The parser calls itself for everything nested; no document of ours goes deeper than a few levels.
inline void check_json_depth(std::string_view json) {
  constexpr int most = 32;
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > most) corrupt_json("nested deeper than " + std::to_string(most));
  }
}

/// T has a schema_version, and a cereal serialize function that uses json_field.
template <class T>
std::string write_json(T value) {
  std::ostringstream text;
  {
    cereal::JSONOutputArchive archive(text);  // Its destructor writes the end.
    int version = T::schema_version;
    json_field(archive, "schema_version", version);
    CEREAL_SERIALIZE_FUNCTION_NAME(archive, value);
  }
  text << '\n';
  return text.str();
}

template <class T>
T parse_json(const std::string& json) {
  check_json_depth(json);
  std::istringstream text(json);
  T value;
  try {
    cereal::JSONInputArchive archive(text);
    int version = 0;
    json_field(archive, "schema_version", version);
    if (version != T::schema_version) {
      throw Error(ErrorCode::incompatible,
                  "schema_version is " + std::to_string(version) + ", expected " + std::to_string(T::schema_version));
    }
    CEREAL_SERIALIZE_FUNCTION_NAME(archive, value);
  } catch (const cereal::Exception&) {
    corrupt_json("not JSON, or not an object");
  }
  return value;
}

/// `what` is named by the errors, which are corrupt and incompatible; validating is the caller's.
template <class T>
T read_json(const std::string& json, const char* what) {
  try {
    return parse_json<T>(json);
  } catch (const Error& error) {
    throw Error(error.code(), std::string(what) + ": " + error.what());
  }
}

}  // namespace splitnet::detail
