// SPDX-License-Identifier: Apache-2.0
#include "splitnet/log.hpp"

#include <cstdio>
#include <ctime>

#include "json_writer.hpp"
#include "text.hpp"
#include "utf8.hpp"

namespace splitnet {
namespace {

std::string iso_8601(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time - whole).count();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(whole);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  const auto length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(ms));
  return text;
}

/// As it is where it is one plain word, else between quotes.
std::string word_of(const std::string& text) {
  const std::string line = detail::one_line(text);
  if (!line.empty() && line.find_first_of(" \"=\\") == std::string::npos) return line;
  std::string quoted = "\"";
  for (const char c : line) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string word_of(std::uint64_t number) {
  return std::to_string(number);
}
std::string word_of(double number) {
  return detail::short_number(number);
}

}  // namespace

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "unknown";
}

std::string to_text(const LogRecord& record) {
  std::string line = iso_8601(record.time) + " ";
  line += to_string(record.level);
  line += " " + detail::one_line(record.message);
  for (const LogField& field : record.fields) {
    line += " " + detail::one_line(field.key) + "=";
    line += std::visit([](const auto& value) { return word_of(value); }, field.value);
  }
  return line;
}

std::string to_json(const LogRecord& record) {
  detail::JsonWriter json;
  json.begin_object();
  json.key("time");
  json.text(iso_8601(record.time));
  json.key("level");
  json.text(to_string(record.level));
  json.key("message");
  json.text(record.message);
  for (const LogField& field : record.fields) {
    json.key(field.key);
    if (const auto* const text = std::get_if<std::string>(&field.value)) json.text(*text);
    if (const auto* const number = std::get_if<std::uint64_t>(&field.value)) json.number(*number);
    if (const auto* const number = std::get_if<double>(&field.value)) json.number(*number);
  }
  json.end_object();
  return json.take();
}

}  // namespace splitnet
