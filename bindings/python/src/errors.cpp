// SPDX-License-Identifier: Apache-2.0
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <exception>
#include <string>

#include "bindings.hpp"
#include "docs.hpp"
#include "error_object.hpp"

namespace splitnet::python {

namespace py = pybind11;

py::object error_object(const Error& error) {
  const auto from_code = py::module_::import("splitnet.errors").attr("from_code");
  return from_code(std::string(to_string(error.code())), std::string(error.what()), error.retry_after_s());
}

void register_errors(py::module_& module) {
  py::native_enum<ErrorCode> codes(module, "ErrorCode", "enum.Enum", doc("ErrorCode"));
  for (unsigned number = 1; is_error_code(number); ++number) {
    const auto code = static_cast<ErrorCode>(number);
    const std::string name(to_string(code));
    codes.value(name.c_str(), code, doc("ErrorCode::" + name));
  }
  codes.finalize();
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& error) {
      const py::object object = error_object(error);
      PyErr_SetObject(py::type::of(object).ptr(), object.ptr());
    }
  });
}

}  // namespace splitnet::python
