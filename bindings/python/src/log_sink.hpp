// SPDX-License-Identifier: Apache-2.0
/// \file
/// Log records for Python, and sinks from there.
#pragma once

#include <pybind11/typing.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "callback.hpp"
#include "splitnet/log.hpp"
#include "value_class.hpp"

namespace splitnet::python {

/// A record that a sink may keep.
struct KeptLogRecord {
  LogLevel level;
  std::string message;
  std::vector<LogField> fields;
  std::chrono::system_clock::time_point time;

  explicit KeptLogRecord(const LogRecord& record)
      : level(record.level), message(record.message), fields(record.fields), time(record.time) {}
  /// Lives as long as this.
  [[nodiscard]] LogRecord view() const { return {level, message, fields, time}; }
};

/// Sinks must not throw: what Python's raises goes to sys.unraisablehook.
class PythonLogSink {
 public:
  explicit PythonLogSink(py::object function) : sink_(std::move(function)) {}
  void operator()(const LogRecord& record) const {
    const py::gil_scoped_acquire acquired;
    try {
      sink_(KeptLogRecord(record));
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("a log sink");
    }
  }
  [[nodiscard]] const py::object& object() const { return sink_.object(); }

 private:
  Callback<void(KeptLogRecord)> sink_;
};

template <>
struct Seen<LogSink> {
  using Callable = py::typing::Callable<void(const KeptLogRecord&)>;
  using Type = std::optional<Callable>;
  static Type to_python(const LogSink& member) {
    const auto* const sink = member.target<PythonLogSink>();
    return sink == nullptr ? std::nullopt : Type(sink->object());
  }
  static LogSink from_python(Type value) { return value ? LogSink(PythonLogSink(*std::move(value))) : nullptr; }
};

}  // namespace splitnet::python
