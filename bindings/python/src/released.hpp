// SPDX-License-Identifier: Apache-2.0
/// \file
/// What must not be destroyed, or read, under the GIL: its threads may be waiting for it.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

namespace splitnet::python {

/// Destroys without the GIL, whether or not the thread has it.
template <class T>
std::shared_ptr<T> destroyed_without_gil(std::unique_ptr<T> object) {
  return std::shared_ptr<T>(object.release(), [](T* last) {
    if (PyGILState_Check() == 0) {
      delete last;
      return;
    }
    const pybind11::gil_scoped_release released;
    delete last;
  });
}

/// A property that is read without the GIL: a thread that wants the GIL may hold the lock that it needs.
template <class T, class Result>
auto read_without_gil(Result (T::*read)() const) {
  return [read](const T& self) {
    const pybind11::gil_scoped_release released;
    return (self.*read)();
  };
}

/// An object of Python that threads without the GIL may hold and let go.
inline std::shared_ptr<pybind11::object> kept_object(pybind11::object object) {
  return std::shared_ptr<pybind11::object>(new pybind11::object(std::move(object)), [](pybind11::object* last) {
    const pybind11::gil_scoped_acquire acquired;
    delete last;
  });
}

}  // namespace splitnet::python
