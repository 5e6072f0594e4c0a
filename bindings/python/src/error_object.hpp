// SPDX-License-Identifier: Apache-2.0
/// \file
/// An Error as an exception of Python.
#pragma once

#include <pybind11/pybind11.h>

#include "splitnet/error.hpp"

namespace splitnet::python {

/// An instance of the class in splitnet.errors that stands for its code. Needs the GIL.
pybind11::object error_object(const Error& error);

}  // namespace splitnet::python
