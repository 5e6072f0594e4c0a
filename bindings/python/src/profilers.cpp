// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "interrupt.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/link_probe.hpp"
#include "splitnet/tier_profiler.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

void register_device_profiler(py::module_& module) {
  using P = ProfileOptions;
  value_class<P>(module, "ProfileOptions", field("stage", &P::stage), field("warm_up_passes", &P::warm_up_passes),
                 field("layer_passes", &P::layer_passes), field("whole_passes", &P::whole_passes),
                 field("stage_passes", &P::stage_passes), field("pause_s", &P::pause), field("progress", &P::progress))
      .def("validate", &P::validate, doc("ProfileOptions::validate"));
  module.def(
      "profile_device",
      [](const Model& model, const std::vector<Value>& inputs, ProfileOptions options) {
        options.progress = interruptible(std::move(options.progress));
        return profile_device(model, inputs, options);
      },
      py::arg("model"), py::arg("inputs"), shown_default("options", ProfileOptions{}),
      py::call_guard<py::gil_scoped_release>(), doc("profile_device"));
  module.def(
      "measure_codec_speed",
      [](const std::string& name, const Codec& codec, const LayerGraph& graph) {
        return measure_codec_speed(name, codec, graph);
      },
      py::arg("name"), py::arg("codec"), py::arg("graph"), py::call_guard<py::gil_scoped_release>(),
      doc("measure_codec_speed"));
  module.def(
      "measure_load_factor",
      [](const Model& model, const std::vector<Value>& inputs, const DeviceProfile& profile, std::size_t passes,
         const StageOptions& options, double pause_s) {
        return measure_load_factor(model, inputs, profile, passes, options, from_seconds(pause_s));
      },
      py::arg("model"), py::arg("inputs"), py::arg("profile"), py::arg("passes") = 3,
      shown_default("options", StageOptions{}), py::arg("pause_s") = to_seconds(ProfileOptions{}.pause),
      py::call_guard<py::gil_scoped_release>(), doc("measure_load_factor"));
  module.def("stage_memory_bytes", &stage_memory_bytes, py::arg("profile"), py::arg("info"), py::arg("key"),
             doc("stage_memory_bytes"));
}

void register_link_probe(py::module_& module) {
  using L = LinkProbeOptions;
  value_class<L>(module, "LinkProbeOptions", field("small_messages", &L::small_messages),
                 field("large_messages", &L::large_messages), field("pause_s", &L::pause),
                 field("message_s", &L::message_s), field("max_bytes", &L::max_bytes), field("timeout_s", &L::timeout))
      .def("validate", &L::validate, doc("LinkProbeOptions::validate"));
  module.def(
      "probe_link",
      [](const std::shared_ptr<Connection>& connection, const LinkProbeOptions& options) {
        return wait_interruptibly([connection, options] { return probe_link(*connection, options); });
      },
      py::arg("connection"), shown_default("options", LinkProbeOptions{}), doc("probe_link"));
}

void register_tier_profiler(py::module_& module) {
  value_class<WorkerProfile>(module, "WorkerProfile", field("profile", &WorkerProfile::profile),
                             field("stage_memory_bytes", &WorkerProfile::stage_memory_bytes));
  using R = WorkerProfileRequest;
  value_class<R>(module, "WorkerProfileRequest", field("model_name", &R::model_name), field("stage", &R::stage),
                 field("codec", &R::codec), field("codec_tables", &R::codec_tables), field("timeout_s", &R::timeout));
  module.def(
      "request_worker_profile",
      [](const std::shared_ptr<Connection>& connection, const std::shared_ptr<Model>& model,
         const WorkerProfileRequest& request) {
        return wait_interruptibly(
            [connection, model, request] { return request_worker_profile(*connection, *model, request); });
      },
      py::arg("connection"), py::arg("model"), shown_default("request", WorkerProfileRequest{}),
      doc("request_worker_profile"));
  using T = TwoTierOptions;
  value_class<T>(module, "TwoTierOptions", field("device", &T::device), field("worker", &T::worker),
                 field("link", &T::link), field("codecs", &T::codecs), field("power", &T::power),
                 field("leakages", &T::leakages), field("device_options", &T::device_options),
                 field("link_options", &T::link_options), field("worker_timeout_s", &T::worker_timeout),
                 field("model_name", &T::model_name), field("codec_registry", &T::codec_registry));
  module.def(
      "profile_two_tiers",
      [](const std::shared_ptr<Model>& model, const std::shared_ptr<Connection>& connection,
         const TwoTierOptions& options) {
        return wait_interruptibly(
            [model, connection, options] { return profile_two_tiers(*model, *connection, options); });
      },
      py::arg("model"), py::arg("connection"), shown_default("options", TwoTierOptions{}), doc("profile_two_tiers"));
}

}  // namespace

void register_profilers(py::module_& module) {
  register_device_profiler(module);
  register_link_probe(module);
  register_tier_profiler(module);
}

}  // namespace splitnet::python
