// SPDX-License-Identifier: Apache-2.0
#include "value_caster.hpp"

#include <torch/csrc/autograd/python_variable.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "splitnet/encoded_picture.hpp"
#include "splitnet/error.hpp"
#include "splitnet/torch_tensor.hpp"

namespace splitnet::python {
namespace {

namespace py = pybind11;

std::int64_t integer_from(py::handle object) {
  int overflow = 0;
  const std::int64_t value = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
  if (overflow != 0) {
    throw Error(ErrorCode::invalid_argument,
                "found the integer " + std::string(py::str(object)) + ", expected one of 64 bits");
  }
  return value;
}

/// Throws RecursionError (as error_already_set): a list that contains itself, say.
class Nesting {
 public:
  Nesting() {
    if (Py_EnterRecursiveCall(" while a value is read") != 0) throw py::error_already_set();
  }
  ~Nesting() { Py_LeaveRecursiveCall(); }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
};

template <class Container>
Container items_from(py::handle object) {
  const Nesting nesting;
  Container container;
  for (const py::handle item : object) container.items.push_back(value_from_python(item));
  return container;
}

Dict dict_from(py::handle object) {
  const Nesting nesting;
  Dict dict;
  for (const auto& [key, item] : py::reinterpret_borrow<py::dict>(object)) {
    dict.items.emplace_back(value_from_python(key), value_from_python(item));
  }
  return dict;
}

py::object to_python(None) {
  return py::none();
}
py::object to_python(Uninitialized) {
  return py::none();
}
/// Of bytes that another process lends (`shm:`) Python gets a copy: it may write to its tensors, which would end this
/// process there.
py::object to_python(const Tensor& tensor) {
  const at::Tensor shared = to_torch(tensor);
  return py::reinterpret_steal<py::object>(THPVariable_Wrap(tensor.storage.is_foreign() ? shared.clone() : shared));
}
py::object to_python(const List& list) {
  py::list result(list.items.size());
  for (std::size_t i = 0; i < list.items.size(); ++i) result[i] = value_to_python(list.items[i]);
  return result;
}
py::object to_python(const Tuple& tuple) {
  py::tuple result(tuple.items.size());
  for (std::size_t i = 0; i < tuple.items.size(); ++i) result[i] = value_to_python(tuple.items[i]);
  return result;
}
py::object to_python(const Dict& dict) {
  py::dict result;
  for (const auto& [key, item] : dict.items) result[value_to_python(key)] = value_to_python(item);
  return result;
}
py::object to_python(bool value) {
  return py::bool_(value);
}
py::object to_python(std::int64_t value) {
  return py::int_(value);
}
py::object to_python(double value) {
  return py::float_(value);
}
py::object to_python(const std::complex<double>& value) {
  return py::reinterpret_steal<py::object>(PyComplex_FromDoubles(value.real(), value.imag()));
}
py::object to_python(const std::string& value) {
  return py::str(value);
}

}  // namespace

Value value_from_python(py::handle object) {
  PyObject* const raw = object.ptr();
  if (THPVariable_Check(raw)) return to_tensor(THPVariable_Unpack(raw));
  if (raw == Py_None) return None{};
  if (PyBool_Check(raw)) return raw == Py_True;
  if (PyLong_Check(raw)) return integer_from(object);
  if (PyFloat_Check(raw)) return PyFloat_AS_DOUBLE(raw);
  if (PyComplex_Check(raw)) return std::complex<double>(PyComplex_RealAsDouble(raw), PyComplex_ImagAsDouble(raw));
  if (PyUnicode_Check(raw)) return object.cast<std::string>();
  if (PyList_Check(raw)) return items_from<List>(object);
  if (PyTuple_Check(raw)) return items_from<Tuple>(object);
  if (PyDict_Check(raw)) return dict_from(object);
  if (py::isinstance<EncodedPicture>(object)) return object.cast<const EncodedPicture&>();
  throw Error(ErrorCode::invalid_argument,
              "found a value of type " + std::string(py::str(py::type::of(object).attr("__name__"))) +
                  ", expected torch.Tensor, EncodedPicture, None, bool, int, float, complex, "
                  "str, or a list, tuple or dict of them");
}

py::object value_to_python(const Value& value) {
  return std::visit([](const auto& held) { return to_python(held); }, value.variant());
}

}  // namespace splitnet::python
