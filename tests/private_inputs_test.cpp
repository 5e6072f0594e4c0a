// SPDX-License-Identifier: Apache-2.0
#include "private_inputs.hpp"

#include <gtest/gtest.h>
#include <torch/script.h>

#include <cstring>
#include <utility>
#include <vector>

#include "splitnet/torch_tensor.hpp"

namespace splitnet::detail {
namespace {

/// Four floats that nobody else holds.
Tensor floats() {
  auto tensor = Tensor::empty(DType::f32, {4});
  for (int i = 0; i < 4; ++i) reinterpret_cast<float*>(tensor.data())[i] = static_cast<float>(i);
  return tensor;
}

std::vector<Value> inputs_of(Value value) {
  std::vector<Value> inputs;
  inputs.push_back(std::move(value));
  return inputs;
}

TEST(PrivateInputs, WhatIsOnlyReadIsNotCopied) {
  const auto held = floats();
  auto inputs = inputs_of(held);
  make_private(inputs, {false});
  EXPECT_EQ(inputs[0].tensor().data(), held.data());
}

TEST(PrivateInputs, WrittenBytesThatTheCallerSeesAreCopied) {
  const auto held = floats();
  auto inputs = inputs_of(held);
  make_private(inputs, {true});
  EXPECT_NE(inputs[0].tensor().data(), held.data());
  EXPECT_TRUE(bit_identical(inputs[0].tensor(), held));
}

TEST(PrivateInputs, WrittenBytesThatWereMovedInAreNotCopied) {
  auto tensor = floats();
  const auto* data = tensor.data();
  auto inputs = inputs_of(std::move(tensor));
  make_private(inputs, {true});
  EXPECT_EQ(inputs[0].tensor().data(), data);
}

TEST(PrivateInputs, LibtorchsBytesThatWereMovedInAreNotCopied) {
  auto torch = at::ones({4});
  const auto* data = static_cast<const std::byte*>(torch.const_data_ptr());
  auto inputs = inputs_of(Value(torch));
  torch = at::Tensor();
  make_private(inputs, {true});
  EXPECT_EQ(inputs[0].tensor().data(), data);
}

TEST(PrivateInputs, LibtorchsBytesThatTheCallerHoldsAreCopied) {
  const auto torch = at::ones({4});
  auto inputs = inputs_of(Value(torch));
  make_private(inputs, {true});
  EXPECT_NE(inputs[0].tensor().data(), static_cast<const std::byte*>(torch.const_data_ptr()));
}

TEST(PrivateInputs, AViewThatTheCallerHoldsCountsToo) {
  auto torch = at::ones({4});
  const auto view = torch.slice(0, 1, 2);
  auto inputs = inputs_of(Value(torch));
  torch = at::Tensor();
  make_private(inputs, {true});
  to_torch(inputs[0].tensor()).fill_(9);
  EXPECT_EQ(view[0].item<float>(), 1);
}

TEST(PrivateInputs, TwoHandlesInsideTheInputsAreStillPrivate) {
  auto torch = at::ones({4});
  const auto* data = static_cast<const std::byte*>(torch.const_data_ptr());
  std::vector<Value> inputs;
  inputs.emplace_back(torch);  // two handles with a control block each …
  inputs.emplace_back(torch.slice(0, 1, 3));
  inputs.push_back(inputs[0]);  // … and one more of the first
  torch = at::Tensor();
  make_private(inputs, {true, false, false});
  EXPECT_EQ(inputs[0].tensor().data(), data);
  EXPECT_EQ(inputs[1].tensor().data(), data + sizeof(float));
}

TEST(PrivateInputs, InputsThatOverlapStillDoWhenOneIsWritten) {
  const auto torch = at::arange(4, at::kFloat);
  std::vector<Value> inputs;
  inputs.emplace_back(torch);
  inputs.emplace_back(torch.slice(0, 1, 3));
  make_private(inputs, {true, false});
  EXPECT_EQ(inputs[1].tensor().data(), inputs[0].tensor().data() + sizeof(float));
  to_torch(inputs[0].tensor()).fill_(5);
  EXPECT_EQ(to_torch(inputs[1].tensor())[0].item<float>(), 5);
  EXPECT_EQ(torch[1].item<float>(), 1) << "the caller's bytes";
}

TEST(PrivateInputs, SizesStridesAndAlignmentStay) {
  for (std::size_t shift = 0; shift < 64; shift += 4) {
    const auto memory = Storage::allocate(256);
    Tensor tensor;
    tensor.storage = Storage::adopt(memory.data() + shift, 128, memory.owner());
    tensor.sizes = {3, 2};
    tensor.strides = {1, 8};
    tensor.offset_bytes = 16;
    std::memset(memory.data(), static_cast<int>(shift), 256);
    auto inputs = inputs_of(tensor);
    make_private(inputs, {true});
    const auto& copy = inputs[0].tensor();
    ASSERT_NE(copy.storage, tensor.storage);
    EXPECT_EQ(copy.sizes, tensor.sizes);
    EXPECT_EQ(copy.strides, tensor.strides);
    EXPECT_EQ(copy.offset_bytes, tensor.offset_bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(copy.data()) % 64, reinterpret_cast<std::uintptr_t>(tensor.data()) % 64);
    EXPECT_TRUE(bit_identical(copy, tensor));
  }
}

TEST(PrivateInputs, TensorsInsideContainersAreSeen) {
  const auto a = floats();
  const auto b = floats();
  const auto c = floats();
  auto inputs =
      inputs_of(Tuple{{Value(List{{Value(a)}}), Value(Dict{{{Value("k"), Value(b)}}}), Value(c), Value(None{})}});
  make_private(inputs, {true});
  std::vector<const std::byte*> found;
  for_each_tensor(inputs[0], [&](const Tensor& tensor) { found.push_back(tensor.data()); });
  ASSERT_EQ(found.size(), 3U);
  EXPECT_NE(found[0], a.data());
  EXPECT_NE(found[1], b.data());
  EXPECT_NE(found[2], c.data());
}

TEST(PrivateInputs, OnlyWrittenPiecesAreCopied) {
  const auto read = floats();
  const auto written = floats();
  std::vector<Value> inputs = {Value(read), Value(written)};
  make_private(inputs, {false, true});
  EXPECT_EQ(inputs[0].tensor().data(), read.data());
  EXPECT_NE(inputs[1].tensor().data(), written.data());
}

TEST(PrivateInputs, EmptyTensorsAndScalarsPass) {
  std::vector<Value> inputs = {Value(at::empty({0, 3})), Value(1), Value(Tensor::empty(DType::f32, {0}))};
  make_private(inputs, {true, true, true});
  EXPECT_EQ(inputs[0].tensor().sizes, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(inputs[1].integer(), 1);
}

}  // namespace
}  // namespace splitnet::detail
