// SPDX-License-Identifier: Apache-2.0
/// \file
/// Values cross between Python and C++: tensors without a copy, in either direction.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "splitnet/codec.hpp"
#include "splitnet/value.hpp"

namespace splitnet::python {

/// None, bool, int, float, complex, str, torch.Tensor, EncodedPicture, and lists, tuples and dicts of them. A tensor
/// shares its memory with what comes out, and is kept alive by it. Needs the GIL. Throws invalid_argument for another
/// type, naming it, and as to_tensor.
Value value_from_python(pybind11::handle object);
/// The other way round; a tensor keeps the memory alive, or is a copy where that is another process's
/// (Storage::is_foreign). Needs the GIL.
pybind11::object value_to_python(const Value& value);

}  // namespace splitnet::python

namespace pybind11::detail {

template <>
struct type_caster<splitnet::Value> {
  PYBIND11_TYPE_CASTER(splitnet::Value, const_name("typing.Any"));
  bool load(handle source, bool) {
    value = splitnet::python::value_from_python(source);
    return true;
  }
  static handle cast(const splitnet::Value& source, return_value_policy, handle) {
    return splitnet::python::value_to_python(source).release();
  }
};

/// A tensor of the library where nothing else can stand.
template <>
struct type_caster<splitnet::Tensor> {
  PYBIND11_TYPE_CASTER(splitnet::Tensor, const_name("torch.Tensor"));
  bool load(handle source, bool) {
    value = splitnet::python::value_from_python(source).tensor();
    return true;
  }
  static handle cast(const splitnet::Tensor& source, return_value_policy, handle) {
    return splitnet::python::value_to_python(source).release();
  }
};

/// CodecTables: bytes, or None.
template <>
struct type_caster<splitnet::CodecTables> {
  PYBIND11_TYPE_CASTER(splitnet::CodecTables, const_name("bytes | None"));
  bool load(handle source, bool) {
    if (source.is_none()) return true;
    if (!isinstance<bytes>(source)) return false;
    value = std::make_shared<const std::string>(reinterpret_borrow<bytes>(source));
    return true;
  }
  static handle cast(const splitnet::CodecTables& source, return_value_policy, handle) {
    if (!source) return none().release();
    return bytes(*source).release();
  }
};

}  // namespace pybind11::detail
