// SPDX-License-Identifier: Apache-2.0
/// \file
/// Between libtorch's values and splitnet's, without copying tensor bytes in either direction.
#pragma once

#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>

#include "splitnet/value.hpp"

namespace splitnet {

/// The element type that travels for `type`, or nothing (complex, quantised, …).
std::optional<DType> dtype_from_torch(c10::ScalarType type) noexcept;
c10::ScalarType dtype_to_torch(DType dtype) noexcept;

/// Shares the tensor's bytes and keeps them alive; sizes and strides stay as they are. A tensor on an
/// accelerator is moved to the CPU first. Throws invalid_argument for an undefined, sparse or quantised
/// tensor, or a dtype that can't travel.
Tensor to_tensor(const at::Tensor& tensor);

/// Shares the bytes of `tensor`; they live as long as the result or any view of it. Bytes that came from
/// libtorch come back as the same at::Storage. Throws invalid_argument when `tensor` is not valid.
at::Tensor to_torch(const Tensor& tensor);

/// Tensors share bytes, containers are copied. A complex tensor becomes the tuple ("complex", its real view
/// [..., 2]), which to_ivalue turns back; the wire has no complex dtype. Throws invalid_argument for a type that can't
/// travel, naming it.
Value to_value(const c10::IValue& value);

/// The IValue of static type `type`. Throws invalid_argument when `value` is not of that type, naming
/// both.
c10::IValue to_ivalue(const Value& value, const c10::TypePtr& type);

template <>
struct ValueTraits<at::Tensor> {
  static Value make(const at::Tensor& tensor) { return Value(to_tensor(tensor)); }
};
template <>
struct ValueTraits<c10::IValue> {
  static Value make(const c10::IValue& value) { return to_value(value); }
};

}  // namespace splitnet
