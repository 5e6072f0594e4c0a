// SPDX-License-Identifier: Apache-2.0
// What a worker's log says about single requests. Private.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "splitnet/log.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// Thread-safe as its sink is.
class RequestLog {
 public:
  explicit RequestLog(LogSink sink) : sink_(std::move(sink)) {}

  /// Of the worker as a whole.
  void say(LogLevel level, std::string_view message, std::vector<LogField> fields = {}) const;
  /// Where a request comes from, and for which model it is; empty: for none.
  struct Origin {
    const Message& request;
    const std::string& peer;
    const std::string& model;
  };
  void answered(const Origin& origin, const Message& reply) const;
  void failed(const Origin& origin, ErrorCode code, std::string_view why) const;
  void say(LogLevel level, std::string_view message, const Origin& origin) const;

 private:
  const LogSink sink_;
};

}  // namespace splitnet::detail
