// SPDX-License-Identifier: Apache-2.0
#include "splitnet/sweep.hpp"

#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "background.hpp"
#include "bindings.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

/// A sweep on a thread of its own, so that Python can wait for it bit by bit.
class SweepRun {
 public:
  SweepRun(std::shared_ptr<Model> model, SweepOptions options) {
    options.stop = stop_.get_token();
    auto task = std::make_shared<std::packaged_task<Sweep()>>(
        [model = std::move(model), options = std::move(options)] { return run_sweep(model, options); });
    result_ = task->get_future();
    run_in_background([task = std::move(task)] { (*task)(); });
  }
  SweepRun(const SweepRun&) = delete;
  SweepRun& operator=(const SweepRun&) = delete;
  ~SweepRun() { stop(); }
  void stop() { stop_.request_stop(); }
  [[nodiscard]] bool wait(double timeout_s) const {
    return result_.wait_for(from_seconds(timeout_s)) == std::future_status::ready;
  }
  [[nodiscard]] Sweep result() { return result_.get(); }

 private:
  std::stop_source stop_;
  std::future<Sweep> result_;
};

void register_results(py::module_& module) {
  using T = SweepTimes;
  value_class<T>(module, "SweepTimes", field("head_s", &T::head_s), field("encode_s", &T::encode_s),
                 field("transport_s", &T::transport_s), field("decode_s", &T::decode_s), field("tail_s", &T::tail_s),
                 field("total_s", &T::total_s));
  using R = SweepRow;
  value_class<R>(module, "SweepRow", field("head_layers", &R::head_layers), field("cut", &R::cut),
                 field("codec", &R::codec), field("bytes_up", &R::bytes_up), field("predicted", &R::predicted),
                 field("profiled_s", &R::profiled_s), field("measured", &R::measured), field("first_s", &R::first_s),
                 field("second_s", &R::second_s), field("not_measured", &R::not_measured))
      .def_property_readonly("prediction_error", &R::prediction_error, doc("SweepRow::prediction_error"))
      .def_property_readonly("profile_error", &R::profile_error, doc("SweepRow::profile_error"))
      .def_property_readonly("repetition_error", &R::repetition_error, doc("SweepRow::repetition_error"));
  using L = LinkSweep;
  value_class<L>(module, "LinkSweep", field("worker", &L::worker), field("link", &L::link),
                 field("device_load_factor", &L::device_load_factor),
                 field("worker_load_factor", &L::worker_load_factor), field("rows", &L::rows),
                 field("chosen", &L::chosen), field("best", &L::best), field("regret", &L::regret),
                 field("split_wins", &L::split_wins));
  auto sweep = value_class<Sweep>(module, "Sweep", field("fingerprint", &Sweep::fingerprint),
                                  field("device", &Sweep::device), field("worker", &Sweep::worker),
                                  field("links", &Sweep::links), field("failure", &Sweep::failure));
  sweep
      .def(
          "to_json", [](const Sweep& self) { return to_json(self); }, "Readable JSON with its schema version.")
      .def_static("from_json", &sweep_from_json, py::arg("json"), doc("sweep_from_json"));
  show_as(sweep, [](const Sweep& self) {
    return "<Sweep over " + std::to_string(self.links.size()) + " links, fingerprint " + self.fingerprint + ">";
  });
}

}  // namespace

void register_sweep(py::module_& module) {
  register_results(module);
  using O = SweepOptions;
  value_class<O>(module, "SweepOptions", field("workers", &O::workers), field("connect", &O::connect),
                 field("planning", &O::planning), field("links", &O::links), field("threads", &O::threads),
                 field("max_cuts", &O::max_cuts), field("repetitions", &O::repetitions), field("pause_s", &O::pause),
                 field("max_plan_s", &O::max_plan_s), field("registry", &O::registry), field("progress", &O::progress))
      .def("validate", &O::validate, doc("SweepOptions::validate"));
  py::class_<SweepRun>(module, "SweepRun", doc("run_sweep"))
      .def(py::init<std::shared_ptr<Model>, SweepOptions>(), py::arg("model"), py::arg("options"))
      .def("stop", &SweepRun::stop,
           "Ends it after the inference under way; the result is what was measured until then.")
      .def("wait", &SweepRun::wait, py::arg("timeout_s"), py::call_guard<py::gil_scoped_release>(),
           "Whether it is done, at the latest after so many seconds.")
      .def("result", &SweepRun::result, py::call_guard<py::gil_scoped_release>(),
           "Waits for it; once. Raises what the sweep failed with.");
}

}  // namespace splitnet::python
