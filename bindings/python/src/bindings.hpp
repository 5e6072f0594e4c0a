// SPDX-License-Identifier: Apache-2.0
/// \file
/// What each file of this folder adds to the module, in the order in which module.cpp calls them: what stands in a
/// signature has been registered before.
#pragma once

#include <pybind11/pybind11.h>

namespace splitnet::python {

void register_errors(pybind11::module_& module);
void register_graph(pybind11::module_& module);
void register_profiles(pybind11::module_& module);
void register_codecs(pybind11::module_& module);
void register_cost_model(pybind11::module_& module);
void register_planners(pybind11::module_& module);
void register_model(pybind11::module_& module);
void register_observing(pybind11::module_& module);
void register_transports(pybind11::module_& module);
void register_profilers(pybind11::module_& module);
void register_calibration(pybind11::module_& module);
void register_leakage(pybind11::module_& module);
void register_policies(pybind11::module_& module);
void register_session(pybind11::module_& module);
void register_worker(pybind11::module_& module);
void register_sweep(pybind11::module_& module);

}  // namespace splitnet::python
