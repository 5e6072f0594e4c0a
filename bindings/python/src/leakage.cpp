// SPDX-License-Identifier: Apache-2.0
#include "splitnet/leakage.hpp"

#include <utility>
#include <vector>

#include "bindings.hpp"
#include "interrupt.hpp"
#include "value_class.hpp"

namespace splitnet::python {

void register_leakage(py::module_& module) {
  value_class<AttackSettings>(module, "AttackSettings", field("learning_rate", &AttackSettings::learning_rate),
                              field("total_variation", &AttackSettings::total_variation));
  using O = LeakageOptions;
  value_class<O>(module, "LeakageOptions", field("cuts", &O::cuts), field("codecs", &O::codecs),
                 field("attacked", &O::attacked), field("attacks", &O::attacks), field("steps", &O::steps),
                 field("statement_db", &O::statement_db), field("seed", &O::seed), field("stage", &O::stage),
                 field("progress", &O::progress))
      .def("validate", &O::validate, doc("LeakageOptions::validate"));
  value_class<Similarity>(module, "Similarity", field("psnr_db", &Similarity::psnr_db),
                          field("ssim", &Similarity::ssim));
  using L = Leakage;
  value_class<L>(module, "Leakage", field("head", &L::head), field("codec", &L::codec), field("examples", &L::examples),
                 field("distance_correlation", &L::distance_correlation), field("sends_input", &L::sends_input),
                 field("attacked", &L::attacked), field("rebuilt", &L::rebuilt),
                 field("highest_psnr_db", &L::highest_psnr_db), field("trivial", &L::trivial),
                 field("no_statement", &L::no_statement));
  module.def(
      "measure_leakage",
      [](const Model& model, const std::vector<std::vector<Value>>& examples, LeakageOptions options) {
        options.progress = interruptible(std::move(options.progress));
        return measure_leakage(model, examples, options);
      },
      py::arg("model"), py::arg("examples"), shown_default("options", LeakageOptions{}),
      py::call_guard<py::gil_scoped_release>(), doc("measure_leakage"));
  module.def("leakage_profiles", &profiles_of, py::arg("measured"), doc("profiles_of"));
}

}  // namespace splitnet::python
