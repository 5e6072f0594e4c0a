// SPDX-License-Identifier: Apache-2.0
/// \file
/// Functions of Python where the library wants a std::function.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#include "released.hpp"

namespace splitnet::python {

/// Callable, copied and destroyed on any thread; comes back to Python as the same object.
template <class Signature>
class Callback;
template <class Result, class... Args>
class Callback<Result(Args...)> {
 public:
  explicit Callback(pybind11::object function) : function_(kept_object(std::move(function))) {}

  /// Throws error_already_set, cast_error (it returned something else).
  Result operator()(Args... args) const {
    const pybind11::gil_scoped_acquire acquired;
    return (*function_)(std::forward<Args>(args)...).template cast<Result>();
  }
  [[nodiscard]] const pybind11::object& object() const { return *function_; }

 private:
  std::shared_ptr<pybind11::object> function_;
};

}  // namespace splitnet::python
