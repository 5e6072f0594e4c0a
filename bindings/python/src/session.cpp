// SPDX-License-Identifier: Apache-2.0
#include "splitnet/session.hpp"

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings.hpp"
#include "error_object.hpp"
#include "interrupt.hpp"
#include "policies.hpp"
#include "released.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

using Released = py::call_guard<py::gil_scoped_release>;

std::shared_ptr<Session> open(const std::shared_ptr<Model>& model, SessionOptions options, const py::object& policy) {
  options.policy = policy_factory(policy);
  return wait_interruptibly([model, options = std::move(options)]() mutable {
    return destroyed_without_gil(Session::open(model, std::move(options)));
  });
}

Answer run(Session& session, std::vector<Value> inputs, std::optional<double> deadline_s, TraceContext trace) {
  RunOptions options{.deadline = from_seconds(deadline_s), .trace = std::move(trace)};
  if (is_main_thread()) options.while_waiting = handle_signals;
  const py::gil_scoped_release released;
  return session.run(std::move(inputs), options);
}

/// Calls `done(answer, None)` or `done(None, error)`, with the GIL.
Session::Done told_to(const py::function& done) {
  return [done = kept_object(done)](std::variant<Answer, Error> outcome) {
    const py::gil_scoped_acquire acquired;
    try {
      if (const auto* const error = std::get_if<Error>(&outcome)) {
        (*done)(py::none(), error_object(*error));
      } else {
        (*done)(std::get<Answer>(std::move(outcome)), py::none());
      }
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("Session.submit");
    }
  };
}

std::stop_source submit(Session& session, std::vector<Value> inputs, const py::function& done,
                        std::optional<double> deadline_s, TraceContext trace) {
  std::stop_source stop;
  RunOptions options{.deadline = from_seconds(deadline_s), .stop = stop.get_token(), .trace = std::move(trace)};
  if (is_main_thread()) options.while_waiting = handle_signals;
  auto told = told_to(done);
  const py::gil_scoped_release released;
  session.submit(std::move(inputs), std::move(told), options);
  return stop;
}

void register_options(py::module_& module) {
  using O = SessionOptions;
  value_class<O>(module, "SessionOptions", field("worker", &O::worker), field("cut", &O::cut),
                 field("workers", &O::workers), field("cuts", &O::cuts), field("forward", &O::forward),
                 field("codec", &O::codec), field("codec_tables", &O::codec_tables),
                 field("refinement", &O::refinement), field("objective", &O::objective),
                 field("constraints", &O::constraints), field("planning", &O::planning),
                 field("spare_workers", &O::spare_workers), field("finish_on_device", &O::finish_on_device),
                 field("max_retries", &O::max_retries), field("kept_decisions", &O::kept_decisions),
                 field("model_name", &O::model_name), field("threads", &O::threads), field("deadline_s", &O::deadline),
                 field("prepare_timeout_s", &O::prepare_timeout), field("max_in_flight", &O::max_in_flight),
                 field("registry", &O::registry), field("codec_registry", &O::codec_registry),
                 field("connect", &O::connect), field("trace_recorder", &O::trace_recorder));
}

void register_answer(py::module_& module) {
  using H = HopTimes;
  value_class<H>(module, "HopTimes", field("encode_s", &H::encode_s), field("transport_s", &H::transport_s),
                 field("queue_s", &H::queue_s), field("decode_s", &H::decode_s), field("run_s", &H::run_s),
                 field("request_bytes", &H::request_bytes), field("reply_bytes", &H::reply_bytes));
  using S = StepTimes;
  value_class<S>(module, "StepTimes", field("wait_s", &S::wait_s), field("input_decode_s", &S::input_decode_s),
                 field("head_s", &S::head_s), field("encode_s", &S::encode_s), field("transport_s", &S::transport_s),
                 field("queue_s", &S::queue_s), field("decode_s", &S::decode_s), field("tail_s", &S::tail_s),
                 field("device_wait_s", &S::device_wait_s), field("rest_s", &S::rest_s), field("total_s", &S::total_s),
                 field("boundary_bytes", &S::boundary_bytes), field("hops", &S::hops));
  using A = Answer;
  value_class<A>(module, "Answer", field("output", &A::output), field("times", &A::times),
                 field("kept_exact", &A::kept_exact), field("refined", &A::refined), field("decision", &A::decision),
                 field("answered_by", &A::answered_by), field("hedged", &A::hedged), field("requests", &A::requests));
}

void register_bookkeeping(py::module_& module) {
  using D = DecisionRecord;
  value_class<D>(module, "DecisionRecord", field("inference", &D::inference), field("at_s", &D::at_s),
                 field("decision", &D::decision), field("codec", &D::codec));
  using S = SessionStats;
  value_class<S>(module, "SessionStats", field("answered", &S::answered), field("failed", &S::failed),
                 field("requests", &S::requests), field("retries", &S::retries),
                 field("failed_requests", &S::failed_requests), field("late_replies", &S::late_replies),
                 field("finished_here", &S::finished_here), field("finishing_s", &S::finishing_s),
                 field("probes", &S::probes));
}

}  // namespace

void register_session(py::module_& module) {
  py::class_<std::stop_source>(module, "StopSource", "Cancels one inference.")
      .def("request_stop", &std::stop_source::request_stop, Released(),
           "The inference ends with Cancelled; a pass that has begun runs to its end unseen. False: it was asked "
           "before.");
  register_options(module);
  register_answer(module);
  register_bookkeeping(module);
  py::class_<Session, std::shared_ptr<Session>>(module, "Session", doc("Session"))
      .def_static("open", &open, py::arg("model"), shown_default("options", SessionOptions{}),
                  py::arg("policy") = py::none(), doc("Session::open"))
      .def("run", &run, py::arg("inputs"), py::arg("deadline_s") = py::none(), shown_default("trace", TraceContext{}),
           doc("Session::run"))
      .def("submit", &submit, py::arg("inputs"), py::arg("done"), py::arg("deadline_s") = py::none(),
           shown_default("trace", TraceContext{}), doc("Session::submit"))
      .def_property_readonly("plan", &Session::plan, py::return_value_policy::reference_internal, doc("Session::plan"))
      .def("explain", &Session::explain, py::arg("rows") = 20, doc("Session::explain"))
      .def_property_readonly("decisions", read_without_gil(&Session::decisions), doc("Session::decisions"))
      .def_property_readonly("stats", read_without_gil(&Session::stats), "Counters since the session was opened.")
      .def("close", &Session::close, Released(), doc("Session::close"));
}

}  // namespace splitnet::python
