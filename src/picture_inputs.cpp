// SPDX-License-Identifier: Apache-2.0
#include "picture_inputs.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "framed_picture.hpp"
#include "splitnet/encoded_picture.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

[[noreturn]] void wrong(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what);
}

}  // namespace

std::vector<std::int64_t> picture_sizes(const Model& model, std::size_t index) {
  const auto& examples = model.example_inputs();
  if (index >= examples.size()) {
    wrong("found a picture, and the model was made without example inputs, which say what size it takes");
  }
  const auto* example = examples[index].get_if<Tensor>();
  if (example == nullptr || example->dtype != DType::f32 || example->sizes.size() < 3) {
    wrong("found a picture, expected a value as in the model's example, " + describe(examples[index]));
  }
  auto sizes = example->sizes;
  std::fill(sizes.begin(), sizes.end() - 3, 1);  // Whatever the batch of the example.
  return sizes;
}

std::string frame_pictures(const Model& model, const StageInfo& first, std::vector<Value>& inputs) {
  std::string codec;
  std::vector<std::optional<Value>> framed(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (first.inputs[i].type != "Tensor") continue;
    try {
      const auto picture = EncodedPicture::in(inputs[i]);
      if (!picture) continue;
      if (codec.empty()) codec = picture->codec;
      if (codec != picture->codec) {
        wrong("found a picture for codec " + picture->codec + ", expected " + codec + " as of the one before it");
      }
      framed[i] = framed_picture(*picture, picture_sizes(model, i), "the model");
    } catch (const Error& error) {
      throw Error(error.code(), "input " + std::to_string(i) + ": " + error.what());
    }
  }
  if (codec.empty()) return codec;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs[i] = framed[i] ? std::move(*framed[i]) : Value(Tuple{{false, std::move(inputs[i])}});
  }
  return codec;
}

}  // namespace splitnet::detail
