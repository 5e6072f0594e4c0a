// SPDX-License-Identifier: Apache-2.0
/// \file
/// What splitnet has to say, for a sink that the host program gives: the library writes nothing anywhere by itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace splitnet {

enum class LogLevel : unsigned char {
  debug,    ///< About single requests: as many records as requests.
  info,     ///< What happens seldom, and is as it should be.
  warning,  ///< Somebody may have to look at it.
  error,    ///< A fault of splitnet or of the machine.
};

/// As in this enumeration: "warning".
std::string_view to_string(LogLevel level) noexcept;

/// A fact of a record under a name: seconds and bytes have their unit in it.
struct LogField {
  using Value = std::variant<std::string, std::uint64_t, double>;
  std::string_view key;  ///< A literal.
  Value value;
};

/// One thing that happened. Valid as long as the sink's call lasts.
struct LogRecord {
  LogLevel level = LogLevel::info;
  std::string_view message;  ///< For people. May hold anything that a peer has sent: format it before it is shown.
  std::vector<LogField> fields = {};
  std::chrono::system_clock::time_point time = std::chrono::system_clock::now();
};

/// Called from any thread, also from several at once; must not throw, and should be quick. Empty: silence.
using LogSink = std::function<void(const LogRecord&)>;

/// One line without a line break, `2026-11-27T17:01:02.345Z warning MESSAGE key=value key="two words"`. Bytes that are
/// no UTF-8 become U+FFFD, control characters '?', so that no peer can write lines or move cursors.
std::string to_text(const LogRecord& record);
/// One line without a line break, an object with "time" (UTC, ISO 8601), "level", "message", and a member for each
/// field. Bytes that are no UTF-8 become U+FFFD; a number that is not finite becomes null.
std::string to_json(const LogRecord& record);

}  // namespace splitnet
