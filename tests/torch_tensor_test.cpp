// SPDX-License-Identifier: Apache-2.0
#include "splitnet/torch_tensor.hpp"

#include <gtest/gtest.h>
#include <torch/script.h>

#include <bit>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "error_of.hpp"

namespace splitnet {
namespace {

using testing::throws;

const c10::TypePtr tensor_type = c10::TensorType::get();

TEST(TorchTensor, EveryDtypeThatTravelsComesBack) {
  const std::vector<std::pair<c10::ScalarType, DType>> pairs = {
      {c10::ScalarType::Byte, DType::u8},    {c10::ScalarType::Char, DType::i8},
      {c10::ScalarType::Short, DType::i16},  {c10::ScalarType::Int, DType::i32},
      {c10::ScalarType::Long, DType::i64},   {c10::ScalarType::Half, DType::f16},
      {c10::ScalarType::Float, DType::f32},  {c10::ScalarType::BFloat16, DType::bf16},
      {c10::ScalarType::Double, DType::f64}, {c10::ScalarType::Bool, DType::boolean}};
  for (const auto& [torch, ours] : pairs) {
    SCOPED_TRACE(c10::toString(torch));
    EXPECT_EQ(dtype_from_torch(torch), ours);
    EXPECT_EQ(dtype_to_torch(ours), torch);
    const auto original = at::arange(6, at::kInt).view({2, 3}).to(torch);
    const auto tensor = to_tensor(original);
    EXPECT_EQ(tensor.dtype, ours);
    EXPECT_EQ(tensor.packed_bytes(), original.nbytes());
    const auto back = to_torch(tensor);
    EXPECT_EQ(back.scalar_type(), torch);
    EXPECT_TRUE(back.equal(original));
  }
}

TEST(TorchTensor, DtypesThatNoMessageCarriesAreRefused) {
  for (const auto type : {c10::ScalarType::ComplexFloat, c10::ScalarType::ComplexHalf, c10::ScalarType::QInt8,
                          c10::ScalarType::Float8_e4m3fn}) {
    EXPECT_FALSE(dtype_from_torch(type)) << c10::toString(type);
  }
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "Float8_e4m3fn",
                     [] { to_tensor(at::zeros({2}).to(c10::ScalarType::Float8_e4m3fn)); }));
}

TEST(TorchTensor, UndefinedSparseAndQuantisedTensorsAreRefused) {
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "undefined", [] { to_tensor(at::Tensor()); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "sparse", [] { to_tensor(at::eye(3).to_sparse()); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "quantised",
                     [] { to_tensor(at::quantize_per_tensor(at::ones({3}), 0.1, 0, at::kQInt8)); }));
}

/// Sizes, strides and offset of a tensor and of what comes back for it are the same, and so are the bytes.
void expect_same_view(const at::Tensor& original) {
  const auto tensor = to_tensor(original);
  EXPECT_NO_THROW(tensor.validate());
  EXPECT_EQ(tensor.sizes, original.sizes().vec());
  EXPECT_EQ(tensor.strides, original.strides().vec());
  EXPECT_EQ(tensor.data(), static_cast<const std::byte*>(original.const_data_ptr()));
  const auto back = to_torch(tensor);
  EXPECT_EQ(back.sizes(), original.sizes());
  EXPECT_EQ(back.strides(), original.strides());
  EXPECT_EQ(back.storage_offset(), original.storage_offset());
  EXPECT_TRUE(back.equal(original));
}

TEST(TorchTensor, StridesAndOffsetsStayAsTheyAre) {
  const auto base = at::arange(2 * 3 * 4 * 5, at::kFloat).view({2, 3, 4, 5});
  {
    SCOPED_TRACE("channels last");
    const auto channels_last = base.contiguous(at::MemoryFormat::ChannelsLast);
    expect_same_view(channels_last);
    EXPECT_TRUE(to_torch(to_tensor(channels_last)).is_contiguous(at::MemoryFormat::ChannelsLast));
  }
  {
    SCOPED_TRACE("transposed slice");
    expect_same_view(base.transpose(1, 3).slice(1, 1, 4, 2));
  }
  {
    SCOPED_TRACE("expanded");
    expect_same_view(at::arange(3, at::kFloat).view({1, 3}).expand({4, 3}));
  }
  {
    SCOPED_TRACE("scalar");
    expect_same_view(at::scalar_tensor(2.5));
  }
}

TEST(TorchTensor, AnEmptyTensorKeepsItsSizes) {
  const auto back = to_torch(to_tensor(at::empty({3, 0, 2})));
  EXPECT_EQ(back.sizes().vec(), (std::vector<std::int64_t>{3, 0, 2}));
  EXPECT_EQ(back.numel(), 0);
}

TEST(TorchTensor, NanAndInfinityKeepEveryBit) {
  const std::vector<std::uint32_t> bits = {0x7fc00001, 0xffc12345, 0x7f800001, 0x7f800000, 0xff800000, 0x80000000, 1};
  const auto original = at::empty({static_cast<std::int64_t>(bits.size())}, at::kInt);
  std::memcpy(original.mutable_data_ptr(), bits.data(), original.nbytes());
  const auto back = to_torch(to_tensor(original.view(at::kFloat)));
  EXPECT_EQ(std::memcmp(back.const_data_ptr(), bits.data(), original.nbytes()), 0);
}

TEST(TorchTensor, ViewsShareOneStorageInBothDirections) {
  const auto base = at::zeros({10});
  const auto first = to_tensor(base);
  const auto second = to_tensor(base.slice(0, 4, 8));
  EXPECT_EQ(first.storage, second.storage);
  EXPECT_EQ(second.offset_bytes, 16U);

  auto torch_first = to_torch(first);
  const auto torch_second = to_torch(second);
  torch_first[5] = 7;
  EXPECT_EQ(torch_second[1].item<float>(), 7);
  EXPECT_EQ(base[5].item<float>(), 7);
}

TEST(TorchTensor, BytesOfLibtorchComeBackAsTheSameStorage) {
  const auto base = at::zeros({10});
  const auto back = to_torch(to_tensor(base));
  EXPECT_EQ(back.storage().unsafeGetStorageImpl(), base.storage().unsafeGetStorageImpl());
  EXPECT_TRUE(back.is_alias_of(base));
}

TEST(TorchTensor, BytesOfLibtorchLiveAsLongAsTheTensor) {
  auto base = at::full({1000}, 3.0F);
  const auto impl = base.storage().getWeakStorageImpl();
  auto tensor = to_tensor(base);
  base = at::Tensor();
  EXPECT_FALSE(impl.expired());
  EXPECT_EQ(reinterpret_cast<const float*>(tensor.data())[999], 3.0F);
  tensor = Tensor();
  EXPECT_TRUE(impl.expired());
}

TEST(TorchTensor, OurBytesLiveAsLongAsAnyViewOfThem) {
  auto tensor = Tensor::empty(DType::f32, {2, 3});
  for (int i = 0; i < 6; ++i) reinterpret_cast<float*>(tensor.data())[i] = static_cast<float>(i);
  const std::weak_ptr<void> owner = tensor.storage.owner();
  auto torch = to_torch(tensor);
  EXPECT_EQ(torch.const_data_ptr(), tensor.data());
  tensor = Tensor();
  auto view = torch[1];
  torch = at::Tensor();
  EXPECT_FALSE(owner.expired());
  EXPECT_EQ(view[2].item<float>(), 5);
  view = at::Tensor();
  EXPECT_TRUE(owner.expired());
}

TEST(TorchTensor, AnInvalidTensorIsRefused) {
  auto beyond = Tensor::empty(DType::f32, {4});
  beyond.sizes = {5};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "", [&] { to_torch(beyond); }));
  auto crooked = Tensor::empty(DType::f32, {4});
  crooked.sizes = {3};
  crooked.offset_bytes = 2;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "byte 2", [&] { to_torch(crooked); }));
}

TEST(TorchTensor, LazyConjugationAndNegationAreResolved) {
  const auto complex = at::complex(at::arange(3, at::kFloat), at::ones({3}));
  const auto back = to_ivalue(to_value(complex.conj()), tensor_type).toTensor();
  EXPECT_TRUE(back.equal(complex.conj().resolve_conj()));
  const auto negative = at::imag(complex.conj());
  ASSERT_TRUE(negative.is_neg());
  EXPECT_TRUE(to_torch(to_tensor(negative)).equal(at::full({3}, -1.0F)));
}

TEST(TorchTensor, AComplexTensorTravelsAsItsRealView) {
  for (const auto type : {at::kComplexFloat, at::kComplexDouble}) {
    const auto original = at::arange(6, at::kDouble).view({3, 2});
    const auto complex = at::view_as_complex(original).to(type);
    const auto value = to_value(complex);
    ASSERT_NE(value.get_if<Tuple>(), nullptr);
    EXPECT_EQ(value.get_if<Tuple>()->items.at(0).string(), "complex");
    EXPECT_EQ(value.get_if<Tuple>()->items.at(1).tensor().sizes, (std::vector<std::int64_t>{3, 2}));
    const auto back = to_ivalue(value, tensor_type).toTensor();
    EXPECT_EQ(back.scalar_type(), type);
    EXPECT_TRUE(back.equal(complex));
    EXPECT_TRUE(back.is_alias_of(complex));
  }
  const Value wrong = Tuple{{Value("complex"), Value(Tensor::empty(DType::f32, {3}))}};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "Tensor", [&] { to_ivalue(wrong, tensor_type); }));
}

/// `value` of static type `type`, to us and back.
c10::IValue round_trip(const c10::IValue& value, const c10::TypePtr& type) {
  return to_ivalue(to_value(value), type);
}

TEST(TorchValue, ScalarsComeBackExactly) {
  EXPECT_EQ(round_trip(std::int64_t{-5}, c10::IntType::get()).toInt(), -5);
  EXPECT_EQ(round_trip(true, c10::BoolType::get()).toBool(), true);
  EXPECT_EQ(round_trip("däta", c10::StringType::get()).toStringRef(), "däta");
  EXPECT_TRUE(round_trip(c10::IValue(), c10::NoneType::get()).isNone());
  const auto nan = std::bit_cast<double>(std::uint64_t{0x7ff8000000000123});
  EXPECT_EQ(std::bit_cast<std::uint64_t>(round_trip(nan, c10::FloatType::get()).toDouble()), 0x7ff8000000000123U);
  EXPECT_TRUE(std::signbit(round_trip(-0.0, c10::FloatType::get()).toDouble()));
  const auto complex = round_trip(c10::complex<double>(1, -2), c10::ComplexType::get()).toComplexDouble();
  EXPECT_EQ(complex, c10::complex<double>(1, -2));
}

TEST(TorchValue, ANumberKeepsItsKind) {
  const auto number = c10::NumberType::get();
  EXPECT_TRUE(round_trip(std::int64_t{3}, number).isInt());
  EXPECT_TRUE(round_trip(3.0, number).isDouble());
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "found", [&] { to_ivalue(Value("3"), number); }));
}

TEST(TorchValue, AnOptionalMayBeEmpty) {
  const auto type = c10::OptionalType::create(tensor_type);
  EXPECT_TRUE(to_ivalue(None{}, type).isNone());
  EXPECT_TRUE(to_ivalue(to_value(at::ones({2})), type).toTensor().equal(at::ones({2})));
  EXPECT_NE(to_value(at::Tensor()).get_if<None>(), nullptr);
  EXPECT_FALSE(to_ivalue(None{}, tensor_type).toTensor().defined());
}

TEST(TorchValue, AnUninitialisedVariableStaysOne) {
  const auto value = to_value(c10::IValue::uninitialized());
  EXPECT_NE(value.get_if<Uninitialized>(), nullptr);
  EXPECT_EQ(to_ivalue(value, c10::IntType::get()).tagKind(), "Uninitialized");
}

TEST(TorchValue, ListsKeepTheirElementType) {
  const auto ints = round_trip(c10::List<std::int64_t>({1, 2, 3}), c10::ListType::ofInts());
  EXPECT_EQ(ints.toIntVector(), (std::vector<std::int64_t>{1, 2, 3}));
  const auto floats = round_trip(c10::List<double>({0.5}), c10::ListType::ofFloats());
  EXPECT_EQ(floats.toDoubleVector(), std::vector<double>{0.5});
  const auto bools = round_trip(c10::List<bool>({true, false}), c10::ListType::ofBools());
  EXPECT_EQ(bools.toBoolList().vec(), (std::vector<bool>{true, false}));
  const auto tensors = round_trip(c10::List<at::Tensor>({at::ones({1}), at::zeros({2})}), c10::ListType::ofTensors());
  EXPECT_EQ(tensors.toTensorVector().at(1).sizes().vec(), std::vector<std::int64_t>{2});
  // An empty list has nothing but its type, and operators ask for it.
  EXPECT_TRUE(round_trip(c10::List<std::int64_t>(), c10::ListType::ofInts()).isIntList());
  EXPECT_TRUE(round_trip(c10::List<at::Tensor>(), c10::ListType::ofTensors()).isTensorList());
}

TEST(TorchValue, DictsKeepTypesAndOrder) {
  c10::Dict<std::string, at::Tensor> dict;
  dict.insert("z", at::zeros({1}));
  dict.insert("a", at::ones({2}));
  const auto type = c10::DictType::create(c10::StringType::get(), tensor_type);
  const auto back = round_trip(dict, type).toGenericDict();
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back.begin()->key().toStringRef(), "z");
  EXPECT_EQ(*back.keyType(), *c10::StringType::get());
  EXPECT_EQ(*back.valueType(), *tensor_type);
  EXPECT_TRUE(back.at("a").toTensor().equal(at::ones({2})));
}

TEST(TorchValue, NestedContainersComeBack) {
  const auto inner = c10::ListType::create(c10::OptionalType::create(tensor_type));
  const auto type = c10::TupleType::create({c10::IntType::get(), inner});
  const Value value = Tuple{{Value(3), Value(List{{Value(None{}), Value(at::ones({2}))}})}};
  const auto back = to_ivalue(value, type);
  EXPECT_TRUE(bit_identical(to_value(back), value));
  EXPECT_TRUE(back.toTupleRef().elements().at(1).toListRef().at(0).isNone());
}

TEST(TorchValue, AUnionTakesItsMembers) {
  const auto type = c10::UnionType::create({c10::IntType::get(), c10::StringType::get()});
  EXPECT_EQ(to_ivalue(Value(4), type).toInt(), 4);
  EXPECT_EQ(to_ivalue(Value("s"), type).toStringRef(), "s");
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "found", [&] { to_ivalue(Value(0.5), type); }));
}

TEST(TorchValue, AWrongTypeNamesBothSides) {
  const Value tensor(at::ones({2}));
  const std::vector<std::pair<c10::TypePtr, Value>> wrong = {
      {c10::IntType::get(), Value(0.5)},
      {c10::IntType::get(), tensor},
      {c10::FloatType::get(), Value(1)},
      {c10::BoolType::get(), Value(1)},
      {c10::StringType::get(), Value(1)},
      {c10::NoneType::get(), Value(1)},
      {tensor_type, Value("text")},
      {c10::ListType::ofInts(), tensor},
      {c10::ListType::ofInts(), List{{tensor}}},
      {c10::TupleType::create({tensor_type}), Tuple{}},
      {c10::DictType::create(c10::StringType::get(), tensor_type), List{}}};
  for (const auto& [type, value] : wrong) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected a value of type",
                       [&, &t = type, &v = value] { to_ivalue(v, t); }))
        << type->annotation_str() << " from " << describe(value);
  }
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected a value of type int, found tensor f32[2]",
                     [&] { to_ivalue(tensor, c10::IntType::get()); }));
}

TEST(TorchValue, WhatCanNotTravelIsNamed) {
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "Device", [] { to_value(c10::IValue(at::Device(at::kCPU))); }));
  const torch::jit::Module module("Object");
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "Object", [&] { to_value(module._ivalue()); }));
}

}  // namespace
}  // namespace splitnet
