// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "bindings.hpp"
#include "splitnet/device_profile.hpp"
#include "splitnet/layer_time_predictor.hpp"
#include "splitnet/link_estimator.hpp"
#include "splitnet/link_profile.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

void register_device_profile(py::module_& module) {
  value_class<LayerTime>(module, "LayerTime", field("name", &LayerTime::name), field("time_s", &LayerTime::time_s),
                         field("spread_s", &LayerTime::spread_s), field("peak_bytes", &LayerTime::peak_bytes));
  value_class<CodecSpeed>(module, "CodecSpeed", field("codec", &CodecSpeed::codec),
                          field("encode_bytes_per_s", &CodecSpeed::encode_bytes_per_s),
                          field("decode_bytes_per_s", &CodecSpeed::decode_bytes_per_s));
  using P = DeviceProfile;
  auto profile = value_class<P>(
      module, "DeviceProfile", field("fingerprint", &P::fingerprint), field("machine", &P::machine),
      field("framework", &P::framework), field("inputs", &P::inputs), field("threads", &P::threads),
      field("load", &P::load), field("pass_s", &P::pass_s), field("pass_spread_s", &P::pass_spread_s),
      field("stage_overhead_s", &P::stage_overhead_s), field("calibration", &P::calibration),
      field("relative_error", &P::relative_error), field("layers", &P::layers), field("codecs", &P::codecs));
  profile.def("validate", &P::validate, doc("DeviceProfile::validate"))
      .def("check_fits", &P::check_fits, py::arg("graph"), doc("DeviceProfile::check_fits"))
      .def("scaled", &P::scaled, py::arg("factor"), doc("DeviceProfile::scaled"))
      .def(
          "to_json", [](const P& self) { return to_json(self); }, "Readable JSON with its schema version.")
      .def_static("from_json", &device_profile_from_json, py::arg("json"), doc("device_profile_from_json"))
      .def(
          "save", [](const P& self, const std::string& path) { save(self, path); }, py::arg("path"),
          "As to_json, to a file. Raises Unavailable when it can't be written.")
      .def_static("from_file", &load_device_profile, py::arg("path"), doc("load_device_profile"));
  show_as(profile, [](const P& self) {
    return "<DeviceProfile of " + std::to_string(self.layers.size()) + " layers on " + self.machine + ", a pass in " +
           std::to_string(self.pass_s * 1e3) + " ms>";
  });
}

void register_link_profile(py::module_& module) {
  value_class<LinkTrace>(module, "LinkTrace", field("bin_s", &LinkTrace::bin_s),
                         field("bytes_per_s", &LinkTrace::bytes_per_s))
      .def("validate", &LinkTrace::validate, doc("LinkTrace::validate"))
      .def_property_readonly("length_s", &LinkTrace::length_s)
      .def_property_readonly("mean_bytes_per_s", &LinkTrace::mean_bytes_per_s)
      .def("finish_s", &LinkTrace::finish_s, py::arg("start_s"), py::arg("bytes"), doc("LinkTrace::finish_s"))
      .def_static("from_file", &read_link_trace, py::arg("path"), doc("read_link_trace"));
  using L = LinkProfile;
  value_class<L>(module, "LinkProfile", field("rtt_s", &L::rtt_s), field("jitter_s", &L::jitter_s),
                 field("overhead_s", &L::overhead_s), field("up_bytes_per_s", &L::up_bytes_per_s),
                 field("down_bytes_per_s", &L::down_bytes_per_s))
      .def("validate", &L::validate, doc("LinkProfile::validate"))
      .def(
          "to_json", [](const L& self) { return to_json(self); }, "Readable JSON with its schema version.")
      .def_static("from_json", &link_profile_from_json, py::arg("json"), doc("link_profile_from_json"));
}

void register_link_estimator(py::module_& module) {
  using D = LinkDynamics;
  value_class<D>(module, "LinkDynamics", field("bandwidth_swing", &D::bandwidth_swing), field("memory_s", &D::memory_s),
                 field("bandwidth_drift_per_s", &D::bandwidth_drift_per_s), field("rtt_swing", &D::rtt_swing),
                 field("rtt_memory_s", &D::rtt_memory_s), field("measurement", &D::measurement),
                 field("prior_bandwidth", &D::prior_bandwidth), field("prior_rtt", &D::prior_rtt))
      .def("validate", &D::validate, doc("LinkDynamics::validate"));
  using T = LinkEstimator::Transfer;
  value_class<T>(module, {"Transfer", "LinkEstimator::Transfer"}, field("at_s", &T::at_s),
                 field("bytes_up", &T::bytes_up), field("bytes_down", &T::bytes_down),
                 field("transport_s", &T::transport_s));
  using Doubt = LinkEstimator::Doubt;
  value_class<Doubt>(module, {"Doubt", "LinkEstimator::Doubt"}, field("rtt", &Doubt::rtt),
                     field("bandwidth", &Doubt::bandwidth));
  py::class_<LinkEstimator>(module, "LinkEstimator", doc("LinkEstimator"))
      .def(py::init<const LinkProfile&, const LinkDynamics&>(), py::arg("first"),
           shown_default("dynamics", LinkDynamics{}), doc("LinkEstimator::LinkEstimator"))
      .def("observe", &LinkEstimator::observe, py::arg("transfer"), doc("LinkEstimator::observe"))
      .def("observe_at_least", &LinkEstimator::observe_at_least, py::arg("so_far"),
           doc("LinkEstimator::observe_at_least"))
      .def("profile", &LinkEstimator::profile, py::arg("at_s"), doc("LinkEstimator::profile"))
      .def("expected_profile", &LinkEstimator::expected_profile, py::arg("at_s"), py::arg("transfer_s") = 0.0,
           doc("LinkEstimator::expected_profile"))
      .def("doubt", &LinkEstimator::doubt, py::arg("at_s"), "Standard deviations of the logarithms at this time.")
      .def_property_readonly("observed_at_s", &LinkEstimator::observed_at_s, doc("LinkEstimator::observed_at_s"));
}

void register_layer_time_predictor(py::module_& module) {
  using C = LayerTimePredictor::Coefficients;
  value_class<C>(module, {"Coefficients", "LayerTimePredictor"}, field("s_per_layer", &C::s_per_layer),
                 field("s_per_flop", &C::s_per_flop), field("s_per_byte", &C::s_per_byte));
  using P = LayerTimePredictor;
  value_class<P>(module, "LayerTimePredictor", field("operators", &P::operators), field("any", &P::any),
                 field("stage_overhead_s", &P::stage_overhead_s), field("relative_error", &P::relative_error))
      .def_static(
          "fit",
          [](const std::vector<std::pair<LayerGraph, DeviceProfile>>& samples) {
            std::vector<ProfiledModel> models;
            for (const auto& [graph, profile] : samples) models.push_back({graph, profile});
            return P::fit(models);
          },
          py::arg("samples"), doc("LayerTimePredictor::fit"))
      .def("predict", &P::predict, py::arg("graph"), doc("LayerTimePredictor::predict"));
  module.def("lambda_time_factor", &lambda_time_factor, py::arg("memory_megabyte"), doc("lambda_time_factor"));
}

}  // namespace

void register_profiles(py::module_& module) {
  register_device_profile(module);
  register_link_profile(module);
  register_link_estimator(module);
  register_layer_time_predictor(module);
  module.def("inputs_of", &inputs_of, py::arg("graph"), doc("inputs_of"));
}

}  // namespace splitnet::python
