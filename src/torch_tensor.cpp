// SPDX-License-Identifier: Apache-2.0
#include "splitnet/torch_tensor.hpp"

#include <ATen/ATen.h>

#include "splitnet/error.hpp"
#include "torch_storage.hpp"

namespace splitnet {
namespace {

[[noreturn]] void cannot_travel(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what + " can't travel between stages");
}

[[noreturn]] void wrong_type(const Value& found, const c10::TypePtr& expected) {
  throw Error(ErrorCode::invalid_argument,
              "expected a value of type " + expected->annotation_str() + ", found " + describe(found));
}

/// What keeps the bytes of a storage of ours alive in libtorch.
void release(void* storage) {
  delete static_cast<Storage*>(storage);
}
bool is_foreign(const c10::Storage& storage) {
  const auto& data = storage.data_ptr();
  return data.get_deleter() == &release && static_cast<const Storage*>(data.get_context())->is_foreign();
}

c10::Storage share_storage(const Storage& storage) {
  if (const auto* torch = detail::torch_storage_of(storage)) return *torch;
  at::DataPtr data(storage.data(), new Storage(storage), &release, at::Device(at::kCPU));
  return c10::Storage(c10::Storage::use_byte_size_t(), storage.size_bytes(), std::move(data), nullptr,
                      /*resizable=*/false);
}

/// A complex tensor travels as its real view, [..., 2], marked so that the receiver knows.
constexpr const char* complex_mark = "complex";

Value complex_to_value(const at::Tensor& tensor) {
  return Tuple{{Value(complex_mark), Value(to_tensor(at::view_as_real(tensor.resolve_conj())))}};
}

/// The complex tensor that `value` stands for, or nothing.
std::optional<at::Tensor> complex_from_value(const Value& value) {
  const auto* pair = value.get_if<Tuple>();
  if (pair == nullptr || pair->items.size() != 2) return std::nullopt;
  const auto* mark = pair->items[0].get_if<std::string>();
  const auto* real = pair->items[1].get_if<Tensor>();
  if (mark == nullptr || *mark != complex_mark || real == nullptr) return std::nullopt;
  const bool fits = !real->sizes.empty() && real->sizes.back() == 2 && real->strides.back() == 1 &&
                    (real->dtype == DType::f32 || real->dtype == DType::f64);
  return fits ? std::optional(at::view_as_complex(to_torch(*real))) : std::nullopt;
}

Value list_to_value(const c10::IValue& value) {
  List list;
  const auto items = value.toListRef();
  list.items.reserve(items.size());
  for (const auto& item : items) list.items.push_back(to_value(item));
  return list;
}

Value dict_to_value(const c10::IValue& value) {
  Dict dict;
  for (const auto& entry : value.toGenericDict()) {
    dict.items.emplace_back(to_value(entry.key()), to_value(entry.value()));
  }
  return dict;
}

c10::IValue list_to_ivalue(const Value& value, const c10::TypePtr& type) {
  const auto* list = value.get_if<List>();
  if (list == nullptr) wrong_type(value, type);
  const auto element_type = type->expectRef<c10::ListType>().getElementType();
  c10::impl::GenericList result(element_type);
  result.reserve(list->items.size());
  for (const auto& item : list->items) result.push_back(to_ivalue(item, element_type));
  return c10::IValue(std::move(result));
}

c10::IValue tuple_to_ivalue(const Value& value, const c10::TypePtr& type) {
  const auto* tuple = value.get_if<Tuple>();
  const auto& types = type->expectRef<c10::TupleType>().elements();
  if (tuple == nullptr || tuple->items.size() != types.size()) wrong_type(value, type);
  std::vector<c10::IValue> items;
  items.reserve(types.size());
  for (std::size_t i = 0; i < types.size(); ++i) items.push_back(to_ivalue(tuple->items[i], types[i]));
  const auto named = type->cast<c10::TupleType>();
  return named->schema() ? c10::ivalue::Tuple::createNamed(std::move(items), named)
                         : c10::ivalue::Tuple::create(std::move(items));
}

c10::IValue dict_to_ivalue(const Value& value, const c10::TypePtr& type) {
  const auto* dict = value.get_if<Dict>();
  if (dict == nullptr) wrong_type(value, type);
  const auto& dict_type = type->expectRef<c10::DictType>();
  c10::impl::GenericDict result(dict_type.getKeyType(), dict_type.getValueType());
  for (const auto& [key, item] : dict->items) {
    result.insert(to_ivalue(key, dict_type.getKeyType()), to_ivalue(item, dict_type.getValueType()));
  }
  return result;
}

/// For `number`, `Any` and the members of a union: the value's own kind decides.
c10::IValue scalar_to_ivalue(const Value& value, const c10::TypePtr& type) {
  if (const auto* v = value.get_if<bool>()) return *v;
  if (const auto* v = value.get_if<std::int64_t>()) return *v;
  if (const auto* v = value.get_if<double>()) return *v;
  if (const auto* v = value.get_if<std::complex<double>>()) {
    return c10::complex<double>(v->real(), v->imag());
  }
  wrong_type(value, type);
}

c10::IValue union_to_ivalue(const Value& value, const c10::TypePtr& type) {
  for (const auto& member : type->expectRef<c10::UnionType>().containedTypes()) {
    try {
      return to_ivalue(value, member);
    } catch (const Error&) {  // another member may fit
    }
  }
  wrong_type(value, type);
}

}  // namespace

std::optional<DType> dtype_from_torch(c10::ScalarType type) noexcept {
  switch (type) {
    case c10::ScalarType::Byte: return DType::u8;
    case c10::ScalarType::Char: return DType::i8;
    case c10::ScalarType::Short: return DType::i16;
    case c10::ScalarType::Int: return DType::i32;
    case c10::ScalarType::Long: return DType::i64;
    case c10::ScalarType::Half: return DType::f16;
    case c10::ScalarType::BFloat16: return DType::bf16;
    case c10::ScalarType::Float: return DType::f32;
    case c10::ScalarType::Double: return DType::f64;
    case c10::ScalarType::Bool: return DType::boolean;
    default: return std::nullopt;
  }
}

c10::ScalarType dtype_to_torch(DType dtype) noexcept {
  switch (dtype) {
    case DType::u8: return c10::ScalarType::Byte;
    case DType::i8: return c10::ScalarType::Char;
    case DType::i16: return c10::ScalarType::Short;
    case DType::i32: return c10::ScalarType::Int;
    case DType::i64: return c10::ScalarType::Long;
    case DType::f16: return c10::ScalarType::Half;
    case DType::bf16: return c10::ScalarType::BFloat16;
    case DType::f32: return c10::ScalarType::Float;
    case DType::f64: return c10::ScalarType::Double;
    case DType::boolean: return c10::ScalarType::Bool;
  }
  return c10::ScalarType::Undefined;
}

Tensor to_tensor(const at::Tensor& tensor) {
  if (!tensor.defined()) cannot_travel("an undefined tensor");
  if (tensor.layout() != at::kStrided || tensor.is_quantized()) cannot_travel("a sparse or quantised tensor");
  const auto dtype = dtype_from_torch(tensor.scalar_type());
  if (!dtype) cannot_travel("a tensor of dtype " + std::string(c10::toString(tensor.scalar_type())));
  if (!tensor.device().is_cpu()) return to_tensor(tensor.cpu());
  if (tensor.is_neg()) return to_tensor(tensor.resolve_neg());

  const auto& storage = tensor.storage();
  void* data = storage.mutable_data();
  Tensor result;
  std::shared_ptr<void> owner(data, detail::TorchStorageOwner{storage});
  result.storage = is_foreign(storage) ? Storage::adopt_foreign(data, storage.nbytes(), std::move(owner))
                                       : Storage::adopt(data, storage.nbytes(), std::move(owner));
  result.dtype = *dtype;
  result.sizes = tensor.sizes().vec();
  result.strides = tensor.strides().vec();
  result.offset_bytes = static_cast<std::size_t>(tensor.storage_offset()) * size_bytes(*dtype);
  return result;
}

at::Tensor to_torch(const Tensor& tensor) {
  tensor.validate();
  const auto item_bytes = size_bytes(tensor.dtype);
  if (tensor.offset_bytes % item_bytes != 0) {
    throw Error(ErrorCode::invalid_argument, "a tensor starts at byte " + std::to_string(tensor.offset_bytes) +
                                                 ", which is not a multiple of its element size " +
                                                 std::to_string(item_bytes));
  }
  auto result = at::empty({0}, dtype_to_torch(tensor.dtype));
  result.set_(share_storage(tensor.storage), static_cast<std::int64_t>(tensor.offset_bytes / item_bytes), tensor.sizes,
              tensor.strides);
  return result;
}

Value to_value(const c10::IValue& value) {
  if (value.isTensor()) {
    if (value.toTensor().defined() && value.toTensor().is_complex()) return complex_to_value(value.toTensor());
    // An optional tensor without a value may arrive as an undefined tensor.
    return value.toTensor().defined() ? Value(to_tensor(value.toTensor())) : Value(None{});
  }
  if (value.isNone()) return None{};
  if (value.tagKind() == "Uninitialized") return Uninitialized{};
  if (value.isBool()) return value.toBool();
  if (value.isInt()) return value.toInt();
  if (value.isDouble()) return value.toDouble();
  if (value.isComplexDouble()) {
    const auto v = value.toComplexDouble();
    return std::complex<double>(v.real(), v.imag());
  }
  if (value.isString()) return value.toStringRef();
  if (value.isTuple()) {
    Tuple tuple;
    for (const auto& item : value.toTupleRef().elements()) tuple.items.push_back(to_value(item));
    return tuple;
  }
  if (value.isList()) return list_to_value(value);
  if (value.isGenericDict()) return dict_to_value(value);
  cannot_travel("a value of kind " + value.tagKind());
}

c10::IValue to_ivalue(const Value& value, const c10::TypePtr& type) {
  if (value.get_if<Uninitialized>() != nullptr) return c10::IValue::uninitialized();
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
      if (const auto* tensor = value.get_if<Tensor>()) return to_torch(*tensor);
      if (value.get_if<None>() != nullptr) return at::Tensor();
      if (auto tensor = complex_from_value(value)) return *tensor;
      break;
    case c10::TypeKind::IntType:
      if (const auto* v = value.get_if<std::int64_t>()) return *v;
      break;
    case c10::TypeKind::FloatType:
      if (const auto* v = value.get_if<double>()) return *v;
      break;
    case c10::TypeKind::BoolType:
      if (const auto* v = value.get_if<bool>()) return *v;
      break;
    case c10::TypeKind::ComplexType:
    case c10::TypeKind::NumberType: return scalar_to_ivalue(value, type);
    case c10::TypeKind::StringType:
      if (const auto* v = value.get_if<std::string>()) return *v;
      break;
    case c10::TypeKind::NoneType:
      if (value.get_if<None>() != nullptr) return c10::IValue();
      break;
    case c10::TypeKind::OptionalType:
      if (value.get_if<None>() != nullptr) return c10::IValue();
      return to_ivalue(value, type->expectRef<c10::OptionalType>().getElementType());
    case c10::TypeKind::ListType: return list_to_ivalue(value, type);
    case c10::TypeKind::TupleType: return tuple_to_ivalue(value, type);
    case c10::TypeKind::DictType: return dict_to_ivalue(value, type);
    case c10::TypeKind::UnionType: return union_to_ivalue(value, type);
    default: break;
  }
  wrong_type(value, type);
}

}  // namespace splitnet
