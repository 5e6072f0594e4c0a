// SPDX-License-Identifier: Apache-2.0
#include "picture_inputs.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "picture_samples.hpp"
#include "served_model.hpp"
#include "splitnet/encoded_picture.hpp"

namespace splitnet {
namespace {

using testing::throws;

/// Says that it takes two pictures, the second without a batch, a vector and a text.
class ManyInputs : public testing::HookedModel {
 public:
  ManyInputs() : HookedModel(testing::branch_model(), {}) {}
  const std::vector<Value>& example_inputs() const noexcept override { return examples_; }

 private:
  const std::vector<Value> examples_{testing::arithmetic_input({4, 3, 8, 16}), testing::arithmetic_input({1, 8, 16}),
                                     testing::arithmetic_input({5}), "words"};
};

StageInfo first_stage() {
  StageInfo info;
  info.inputs = {{0, "Tensor"}, {1, "Tensor"}, {2, "Tensor"}, {3, "str"}};
  return info;
}

EncodedPicture picture(std::int64_t channels, const std::string& format = "jpeg") {
  return EncodedPicture::of(testing::file_of(format, testing::smooth_picture(channels, 8, 16)), "mean=0;std=1");
}

TEST(FramePictures, LeavesInputsWithoutPicturesAsTheyWere) {
  const ManyInputs model;
  const std::vector<Value> given{testing::arithmetic_input({1, 3, 8, 16}), testing::arithmetic_input({1, 8, 16}),
                                 Tuple{{"jpeg:", 1}}, Tuple{{"jpeg:mean=0;std=1", picture(1).file}}};
  auto inputs = given;
  EXPECT_EQ(detail::frame_pictures(model, first_stage(), inputs), "");
  for (std::size_t i = 0; i < given.size(); ++i) EXPECT_TRUE(bit_identical(inputs[i], given[i])) << i;
}

TEST(FramePictures, GivesWhatTheCodecDecodes) {
  const ManyInputs model;
  const Value vector = testing::arithmetic_input({5});
  std::vector<Value> inputs{picture(3), picture(1), vector, "words"};
  const std::string codec = detail::frame_pictures(model, first_stage(), inputs);
  ASSERT_EQ(codec, "jpeg:mean=0;std=1");
  const auto values = decode_values(*CodecRegistry::with_defaults().make(codec), std::move(inputs));
  EXPECT_TRUE(bit_identical(values[0], picture(3).decode(3)));
  EXPECT_EQ(values[1].tensor().sizes, (std::vector<std::int64_t>{1, 8, 16})) << "as the model's example";
  EXPECT_TRUE(bit_identical(values[2], vector));
  EXPECT_EQ(values[3].string(), "words");
}

TEST(FramePictures, NamesTheInputThatIsWrong) {
  const ManyInputs model;
  const auto refused = [&](const char* words, std::vector<Value> inputs) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, words, [&] {
      (void)detail::frame_pictures(model, first_stage(), inputs);
    })) << words;
  };
  const Value vector = testing::arithmetic_input({5});
  refused("input 1: found a picture of 16×8 in 3 channels, the model takes 16×8 in 1",
          {picture(3), picture(3), vector, "words"});
  refused("input 1: found a picture for codec jpeg:mean=0;std=1, expected webp:mean=0;std=1",
          {picture(3, "webp"), picture(1), vector, "words"});
  refused("input 2: found a picture, expected a value as in the model's example, tensor f32[5]",
          {picture(3), picture(1), picture(1), "words"});
}

}  // namespace
}  // namespace splitnet
