// SPDX-License-Identifier: Apache-2.0
#include "splitnet/calibration.hpp"

#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "interrupt.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

void register_effects(py::module_& module) {
  using A = AccuracyEffect;
  value_class<A>(module, "AccuracyEffect", field("exact", &A::exact), field("lost", &A::lost),
                 field("lost_low", &A::lost_low), field("lost_high", &A::lost_high));
  using E = CodecEffect;
  value_class<E>(module, "CodecEffect", field("examples", &E::examples), field("agreement", &E::agreement),
                 field("agreement_low", &E::agreement_low), field("agreement_high", &E::agreement_high),
                 field("divergence_nat", &E::divergence_nat), field("largest_error", &E::largest_error),
                 field("accuracy", &E::accuracy));
  using C = CalibratedCodec;
  value_class<C>(module, "CalibratedCodec", field("profile", &C::profile), field("effect", &C::effect),
                 field("speed", &C::speed), field("kept_exact", &C::kept_exact));
  using All = Calibration;
  auto calibration =
      value_class<All>(module, "Calibration", field("fingerprint", &All::fingerprint), field("codecs", &All::codecs));
  calibration.def("profiles", &All::profiles, py::arg("max_accuracy_loss") = 1.0, doc("Calibration::profiles"))
      .def("validate", &All::validate, doc("Calibration::validate"))
      .def("check_fits", &All::check_fits, py::arg("graph"), doc("Calibration::check_fits"))
      .def(
          "to_json", [](const All& self) { return to_json(self); },
          "Readable JSON with its schema version. Raises as validate.")
      .def_static("from_json", &calibration_from_json, py::arg("json"), doc("calibration_from_json"))
      .def(
          "save", [](const All& self, const std::string& path) { save(self, path); }, py::arg("path"),
          "As to_json, to a file. Raises Unavailable when it can't be written.")
      .def_static("from_file", &load_calibration, py::arg("path"), doc("load_calibration"));
  show_as(calibration, [](const All& self) {
    return "<Calibration of " + std::to_string(self.codecs.size()) + " codecs and cuts, fingerprint " +
           self.fingerprint + ">";
  });
}

}  // namespace

void register_calibration(py::module_& module) {
  using O = CalibrationOptions;
  value_class<O>(module, "CalibrationOptions", field("output", &O::output), field("output_slots", &O::output_slots),
                 field("cuts", &O::cuts), field("codecs", &O::codecs), field("coarsenesses", &O::coarsenesses),
                 field("refined_losses", &O::refined_losses), field("held_out", &O::held_out),
                 field("groups", &O::groups), field("labels", &O::labels), field("pixels", &O::pixels),
                 field("qualities", &O::qualities), field("gradients", &O::gradients), field("seed", &O::seed),
                 field("stage", &O::stage), field("progress", &O::progress))
      .def("validate", &O::validate, doc("CalibrationOptions::validate"));
  register_effects(module);
  module.def(
      "calibrate",
      [](const Model& model, const std::vector<std::vector<Value>>& examples, CalibrationOptions options) {
        options.progress = interruptible(std::move(options.progress));
        return calibrate(model, examples, options);
      },
      py::arg("model"), py::arg("examples"), shown_default("options", CalibrationOptions{}),
      py::call_guard<py::gil_scoped_release>(), doc("calibrate"));
  module.def("smallest_picture", &smallest_picture, py::arg("calibrated"), py::arg("max_accuracy_loss"),
             doc("smallest_picture"));
  module.def(
      "profile_of_files",
      [](const Model& model, const std::vector<EncodedPicture>& typical) { return profile_of_files(model, typical); },
      py::arg("model"), py::arg("typical"), doc("profile_of_files"));
}

}  // namespace splitnet::python
