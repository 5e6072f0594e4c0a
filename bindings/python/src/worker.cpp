// SPDX-License-Identifier: Apache-2.0
#include "splitnet/worker.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "bindings.hpp"
#include "interrupt.hpp"
#include "log_sink.hpp"
#include "released.hpp"
#include "splitnet/metrics.hpp"
#include "splitnet/status_server.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

using namespace std::chrono_literals;
using Released = py::call_guard<py::gil_scoped_release>;

void register_options(py::module_& module) {
  using B = BatchingOptions;
  value_class<B>(module, "BatchingOptions", field("max_rows", &B::max_rows), field("max_wait_s", &B::max_wait),
                 field("tolerance", &B::tolerance));
  using L = StageCacheLimits;
  value_class<L>(module, "StageCacheLimits", field("max_stages", &L::max_stages),
                 field("max_parameter_bytes", &L::max_parameter_bytes));
  using O = WorkerOptions;
  value_class<O>(
      module, "WorkerOptions", field("stage", &O::stage), field("executor_threads", &O::executor_threads),
      field("cache", &O::cache), field("codecs", &O::codecs), field("max_codec_table_bytes", &O::max_codec_table_bytes),
      field("max_queued_requests", &O::max_queued_requests), field("max_queued_bytes", &O::max_queued_bytes),
      field("log", &O::log), field("batching", &O::batching), field("replaced_model_grace_s", &O::replaced_model_grace),
      field("forward_to", &O::forward_to), field("registry", &O::registry), field("connect", &O::connect))
      .def("validate", &O::validate, doc("WorkerOptions::validate"));
}

void register_stats(py::module_& module) {
  using C = StageCacheStats;
  value_class<C>(module, "StageCacheStats", field("hits", &C::hits), field("misses", &C::misses),
                 field("evictions", &C::evictions), field("stages", &C::stages),
                 field("parameter_bytes", &C::parameter_bytes));
  using M = ModelStats;
  value_class<M>(module, "ModelStats", field("answered", &M::answered), field("failed", &M::failed),
                 field("queue_s", &M::queue_s), field("slice_s", &M::slice_s), field("decode_s", &M::decode_s),
                 field("run_s", &M::run_s), field("request_bytes", &M::request_bytes),
                 field("reply_bytes", &M::reply_bytes));
  using S = WorkerStats;
  value_class<S>(module, "WorkerStats", field("answered", &S::answered), field("failed", &S::failed),
                 field("stages_run", &S::stages_run), field("batches", &S::batches),
                 field("batched_requests", &S::batched_requests), field("forwarded", &S::forwarded),
                 field("queued", &S::queued), field("running", &S::running), field("forwarding", &S::forwarding),
                 field("held_bytes", &S::held_bytes), field("cache", &S::cache), field("models", &S::models))
      .def(
          "to_prometheus", [](const S& self) { return to_prometheus(self); }, doc("to_prometheus"));
}

std::shared_ptr<StatusServer> serve_status(const std::shared_ptr<Worker>& worker, const std::string& endpoint,
                                           bool allow_remote) {
  StatusPages pages;
  pages.ready = [worker] { return worker->readiness(); };
  pages.metrics = [worker] { return to_prometheus(worker->stats()); };
  return destroyed_without_gil(StatusServer::start(endpoint, std::move(pages), {.allow_remote = allow_remote}));
}

/// In steps, between which signals are handled.
bool drain(Worker& worker, double timeout_s) {
  const py::gil_scoped_release released;
  const auto end = std::chrono::steady_clock::now() + from_seconds(timeout_s);
  while (!worker.drain(
      std::min<std::chrono::nanoseconds>(signal_pause, std::max(end - std::chrono::steady_clock::now(), 0ns)))) {
    if (std::chrono::steady_clock::now() >= end) return false;
    handle_signals();
  }
  return true;
}

void register_worker_itself(py::module_& module) {
  py::class_<StatusServer, std::shared_ptr<StatusServer>>(module, "StatusServer", doc("StatusServer"))
      .def_property_readonly("address", &StatusServer::address, doc("StatusServer::address"))
      .def("close", &StatusServer::close, Released(), doc("StatusServer::close"));
  py::class_<Worker, std::shared_ptr<Worker>>(module, "Worker", doc("Worker"))
      .def(py::init([](const WorkerOptions& options) { return destroyed_without_gil(Worker::create(options)); }),
           shown_default("options", WorkerOptions{}), doc("Worker::create"))
      .def(
          "add_model",
          [](Worker& self, const std::string& name, const std::shared_ptr<Model>& model) {
            self.add_model(name, model);
          },
          py::arg("name"), py::arg("model"), Released(), doc("Worker::add_model"))
      .def(
          "replace_model",
          [](Worker& self, const std::string& name, const std::shared_ptr<Model>& model) {
            return self.replace_model(name, model);
          },
          py::arg("name"), py::arg("model"), Released(), doc("Worker::replace_model"))
      .def_property_readonly("model_names", read_without_gil(&Worker::model_names), doc("Worker::model_names"))
      .def("serve", &Worker::serve, py::arg("registry"), py::arg("endpoint"), shown_default("options", ListenOptions{}),
           Released(), doc("Worker::serve"))
      .def("serve_status", &serve_status, py::arg("endpoint"), py::arg("allow_remote") = false, Released(),
           doc("StatusServer::start"))
      .def_property_readonly("readiness", read_without_gil(&Worker::readiness), doc("Worker::readiness"))
      .def("drain", &drain, py::arg("timeout_s"), doc("Worker::drain"))
      .def("close", &Worker::close, Released(), doc("Worker::close"))
      .def_property_readonly("stats", read_without_gil(&Worker::stats),
                             "Counters since the worker was made, and what it does now.");
}

}  // namespace

void register_worker(py::module_& module) {
  register_options(module);
  register_stats(module);
  register_worker_itself(module);
}

}  // namespace splitnet::python
