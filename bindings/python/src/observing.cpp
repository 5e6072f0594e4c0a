// SPDX-License-Identifier: Apache-2.0
#include <pybind11/chrono.h>

#include <memory>
#include <string>
#include <utility>

#include "bindings.hpp"
#include "log_sink.hpp"
#include "splitnet/histogram.hpp"
#include "splitnet/trace.hpp"
#include "splitnet/trace_recorder.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

void register_logs(py::module_& module) {
  py::native_enum<LogLevel>(module, "LogLevel", "enum.Enum", "How much a record matters.")
      .value("debug", LogLevel::debug, doc("LogLevel::debug"))
      .value("info", LogLevel::info, doc("LogLevel::info"))
      .value("warning", LogLevel::warning, doc("LogLevel::warning"))
      .value("error", LogLevel::error, doc("LogLevel::error"))
      .finalize();
  using R = KeptLogRecord;
  py::class_<R>(module, "LogRecord", "One thing that happened.")
      .def_readonly("level", &R::level)
      .def_readonly("message", &R::message, doc("LogRecord::message"))
      .def_property_readonly(
          "fields",
          [](const R& self) {
            std::map<std::string, LogField::Value> fields;
            for (const LogField& item : self.fields) fields.emplace(item.key, item.value);
            return fields;
          },
          "Facts by name: seconds and bytes have their unit in it.")
      .def_readonly("time", &R::time, "When it was (local time).")
      .def(
          "to_text", [](const R& self) { return to_text(self.view()); }, "One line for people.")
      .def(
          "to_json", [](const R& self) { return to_json(self.view()); }, "One line, an object.");
}

void register_traces(py::module_& module) {
  value_class<TraceContext>(module, "TraceContext", field("traceparent", &TraceContext::traceparent),
                            field("tracestate", &TraceContext::tracestate));
  module.def("new_trace", &new_trace, py::arg("sampled") = true, doc("new_trace"));
  module.def("child_of", &child_of, py::arg("context"), doc("child_of"));
  using S = TraceSpan;
  value_class<S>(module, "TraceSpan", field("name", &S::name), field("trace_id", &S::trace_id),
                 field("span_id", &S::span_id), field("process", &S::process), field("start_s", &S::start_s),
                 field("duration_s", &S::duration_s), field("args", &S::args));
  using R = TraceRecorder;
  py::class_<R, std::shared_ptr<R>>(module, "TraceRecorder", doc("TraceRecorder"))
      .def(py::init<std::size_t>(), py::arg("max_spans") = 65536)
      .def("add", &R::add, py::arg("span"), doc("TraceRecorder::add"))
      .def_property_readonly("spans", &R::spans, doc("TraceRecorder::spans"))
      .def_property_readonly("dropped", &R::dropped, doc("TraceRecorder::dropped"))
      .def("clear", &R::clear, "Forgets all spans.")
      .def("to_chrome_json", &R::to_chrome_json, doc("TraceRecorder::to_chrome_json"))
      .def("save", &R::save, py::arg("path"), "As to_chrome_json, into a file. Raises Unavailable.");
}

}  // namespace

void register_observing(py::module_& module) {
  register_logs(module);
  register_traces(module);
  value_class<Histogram>(module, "Histogram", field("bounds", &Histogram::bounds), field("counts", &Histogram::counts),
                         field("sum", &Histogram::sum))
      .def_property_readonly("count", &Histogram::count, "Of all values.");
}

}  // namespace splitnet::python
