// SPDX-License-Identifier: Apache-2.0
#include "interrupt.hpp"

namespace splitnet::python {

namespace py = pybind11;

bool is_main_thread() {
  const py::gil_scoped_acquire acquired;
  const auto main = py::module_::import("threading").attr("main_thread")();
  return main.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

void handle_signals() {
  const py::gil_scoped_acquire acquired;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

std::function<void(std::size_t, std::size_t)> interruptible(std::function<void(std::size_t, std::size_t)> callback) {
  return [callback = std::move(callback)](std::size_t done, std::size_t total) {
    handle_signals();
    if (callback) callback(done, total);
  };
}

}  // namespace splitnet::python
