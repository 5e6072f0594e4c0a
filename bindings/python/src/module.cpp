// SPDX-License-Identifier: Apache-2.0
#include "background.hpp"
#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace splitnet::python;
  module.doc() = "The C++ library splitnet, class by class. The package splitnet is what to import.";
  // Imports torch first, whichever way this module is imported (pickles do it by its name).
  pybind11::module_::import("splitnet._torch_version").attr("check")();
  register_errors(module);
  register_graph(module);
  register_profiles(module);
  register_codecs(module);
  register_cost_model(module);
  register_planners(module);
  register_model(module);
  register_observing(module);
  register_transports(module);
  register_profilers(module);
  register_calibration(module);
  register_leakage(module);
  register_policies(module);
  register_session(module);
  register_worker(module);
  register_sweep(module);
  module.def("wait_for_background", &wait_for_background,
             "Waits until what Ctrl-C left to itself has ended. The package calls it at the end of the program.");
}
