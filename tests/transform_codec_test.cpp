// SPDX-License-Identifier: Apache-2.0
#include "transform_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "codec_samples.hpp"
#include "damaged_bytes.hpp"
#include "error_of.hpp"
#include "splitnet/error.hpp"
#include "transform_samples.hpp"

namespace splitnet::detail {
namespace {

using namespace splitnet::testing;  // NOLINT(google-build-using-namespace)

double error_of_codec(const Codec& codec, const Tensor& tensor) {
  const auto expected = elements_of(tensor);
  const auto found = elements_of(decoded_from(codec, coded_bytes(codec, tensor), tensor));
  double error = 0;
  double square = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(found[i]) - static_cast<double>(expected[i]), 2);
    square += std::pow(static_cast<double>(expected[i]), 2);
  }
  return error / square;
}

TEST(TransformCodec, TradesBytesForError) {
  const auto tables = tables_for(16, 14, 14);
  const Tensor tensor = smooth_maps(1, 16, 14, 14, 7);
  double last_error = 0;
  std::size_t last_bytes = tensor.packed_bytes();
  for (const int coarseness : {-16, -8, 0, 8, 16}) {
    const auto codec = make_transform_codec({tables}, coarseness);
    const std::size_t bytes = coded_bytes(*codec, tensor).size();
    const double error = error_of_codec(*codec, tensor);
    EXPECT_LT(bytes, last_bytes) << coarseness;
    EXPECT_GT(error, last_error) << coarseness;
    last_bytes = bytes;
    last_error = error;
  }
  const auto codec = make_transform_codec({tables}, 0);
  EXPECT_LT(error_of_codec(*codec, tensor), 0.02);
  EXPECT_LT(coded_bytes(*codec, tensor).size(), tensor.packed_bytes() / 12);
}

TEST(TransformCodec, WorksOnBatchesTilesTokensAndVectors) {
  const auto tables = tables_for(8, 12, 10);
  const auto codec = make_transform_codec({tables}, -8);
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{
           {1, 8, 12, 10}, {3, 8, 12, 10}, {2, 8, 24, 30}, {2, 8, 13, 10}, {2, 8, 17, 29}}) {
    const Tensor tensor = smooth_maps(sizes[0], sizes[1], sizes[2], sizes[3], 8);
    ASSERT_TRUE(codec->takes(tensor));
    EXPECT_LT(error_of_codec(*codec, tensor), 0.01);
  }
  const Tensor last = tensor_of(elements_of(smooth_maps(1, 8, 12, 10, 9)), {1, 8, 12, 10}, {960, 1, 80, 8});
  EXPECT_LT(error_of_codec(*codec, last), 0.6);  // Other numbers than calibration saw.
  EXPECT_EQ(decoded_from(*codec, coded_bytes(*codec, last), last).strides, last.strides);

  std::vector<TransformExample> examples;
  for (unsigned i = 0; i < 12; ++i) examples.push_back({tokens(9, 50 + i), {}});
  const auto words = make_transform_codec({train_transform(examples).value()}, -8);
  const Tensor sentence = tokens(31, 7);
  ASSERT_TRUE(words->takes(sentence));
  EXPECT_LT(error_of_codec(*words, sentence), 0.01);
  EXPECT_TRUE(words->takes(Tensor::empty(DType::f32, {5, 24})));
}

TEST(TransformCodec, HasRoomForLargerNumbersThanCalibrationSaw) {
  const auto codec = make_transform_codec({tables_for(16, 14, 14)}, -24);
  const Tensor tensor = smooth_maps(1, 16, 14, 14, 7);
  const double error = error_of_codec(*codec, tensor);
  auto* const items = reinterpret_cast<float*>(tensor.data());
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) items[i] *= 1.9F;
  EXPECT_LT(error_of_codec(*codec, tensor), 1.5 * error);
}

/// Tables in whole numbers, which no library of mathematics has touched.
TransformTables repeatable_tables() {
  TransformTables tables;
  tables.channels = 3;
  tables.components = 2;
  tables.height = tables.width = 4;
  tables.mean = {0.5F, -0.25F, 0};
  tables.per_unit = {256, 128, 512};
  tables.unit = {1.0F / 256, 1.0F / 128, 1.0F / 512};
  tables.cosine_height = {4096, 4096,  4096,  4096, 5352, 2217,  -2217, -5352,
                          4096, -4096, -4096, 4096, 2217, -5352, 5352,  -2217};
  tables.cosine_width = tables.cosine_height;
  tables.extra_shift = 1;
  tables.band_of = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  tables.bands = {{{700, 300, -200, -100, 500, 600}, {800, -150, 300, 650, -250, 700}, 10, 10},
                  {{400, -600, 100, 300, 200, 800}, {500, 250, -700, 150, 200, 900}, 10, 10}};
  tables.radial_of = {0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6};
  for (std::size_t i = 0; i < radial_bands * 2; ++i) tables.steps.push_back(static_cast<std::uint16_t>(64 + 3 * i));
  for (std::size_t i = 0; i < 32; ++i) tables.spread.push_back(static_cast<std::uint8_t>(30 + 2 * i));
  for (std::size_t c = 0; c < context_count; ++c) {
    SymbolFrequencies frequencies{};
    frequencies.fill(512);
    frequencies[0] = static_cast<std::uint16_t>(probability_one - 15 * 512);
    tables.frequencies.push_back(frequencies);
  }
  tables.shrink = {20, 10, -5};
  return tables;
}

TEST(TransformCodec, GivesTheSameBytesOnEveryMachine) {
  const Tensor tensor = tensor_of(repeatable_floats(2 * 3 * 8 * 4), {2, 3, 8, 4});
  struct Expected {
    int coarseness;
    std::uint64_t coded;
    std::uint64_t decoded;
  };
  for (const Expected& expected : std::vector<Expected>{
           {-11, 7258242154795407973U, 14098447539000468373U},
           {0, 5173687010985928190U, 17393816004909339191U},
           {13, 15947588058677042621U, 7275765687641058356U},
       }) {
    const auto codec = make_transform_codec({repeatable_tables()}, expected.coarseness);
    const auto coded = coded_bytes(*codec, tensor);
    const Tensor back = decoded_from(*codec, coded, tensor);
    EXPECT_EQ(digest_of(coded.data(), coded.size()), expected.coded) << expected.coarseness;
    EXPECT_EQ(digest_of(back.data(), back.packed_bytes()), expected.decoded) << expected.coarseness;
  }
}

TEST(TransformCodec, TakesOnlyWhatItsTablesAreFor) {
  const auto codec = make_transform_codec({tables_for(8, 12, 10)}, 0);
  EXPECT_TRUE(codec->takes(Tensor::empty(DType::f32, {1, 8, 12, 10})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {1, 9, 12, 10})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {1, 8, 11, 10})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {1, 8, 12, 9})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {8, 12, 10})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f64, {1, 8, 12, 10})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {0, 8, 12, 10})));
}

TEST(TransformCodec, PrefersTablesWhoseTilesFit) {
  const auto small = tables_for(8, 12, 10);
  const auto large = tables_for(8, 20, 15);
  const Tensor tensor = smooth_maps(1, 8, 20, 15, 4);
  const auto alone = coded_bytes(*make_transform_codec({large}, 0), tensor);
  EXPECT_EQ(coded_bytes(*make_transform_codec({small, large}, 0), tensor), alone);
  EXPECT_EQ(coded_bytes(*make_transform_codec({large, small}, 0), tensor), alone);
  EXPECT_NE(coded_bytes(*make_transform_codec({small}, 0), tensor), alone);
}

TEST(TransformCodec, KeepsWhatIsNoNumberAndSurvivesNumbersFarOut) {
  const auto codec = make_transform_codec({tables_for(8, 12, 10)}, 0);
  auto items = elements_of(smooth_maps(1, 8, 12, 10, 3));
  items[500] = not_a_number;
  const Tensor odd = tensor_of(items, {1, 8, 12, 10});
  EXPECT_TRUE(bit_identical(decoded_from(*codec, coded_bytes(*codec, odd), odd), odd));
  std::fill(items.begin(), items.end(), 1e30F);
  const Tensor far = tensor_of(items, {1, 8, 12, 10});
  for (const float item : elements_of(decoded_from(*codec, coded_bytes(*codec, far), far)))
    EXPECT_TRUE(std::isfinite(item));
}

TEST(TransformCodec, SurvivesDamagedBytes) {
  std::mt19937 random(3);
  const auto codec = make_transform_codec({tables_for(8, 12, 10)}, 0);
  const Tensor tensor = smooth_maps(1, 8, 12, 10, 3);
  const auto good = coded_bytes(*codec, tensor);
  int refused = 0;
  for (int round = 0; round < 1000; ++round) {
    const auto bad = damaged(good, round, random);
    try {
      (void)decoded_from(*codec, bad, tensor);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt);
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

/// Gradients that see only the first channel: the others may be as wrong as they like.
TEST(TransformCodec, SpendsBytesWhereTheOutputIsSensitive) {
  std::vector<TransformExample> examples;
  for (unsigned i = 0; i < 12; ++i) {
    TransformExample example{smooth_maps(1, 8, 12, 10, 100 + i), {}};
    Tensor gradient = Tensor::empty(DType::f32, {1, 8, 12, 10});
    auto* const items = reinterpret_cast<float*>(gradient.data());
    const auto noise = random_floats(960, 1, i);
    for (std::size_t j = 0; j < 960; ++j) items[j] = j < 120 ? noise[j] : 0.001F * noise[j];
    example.gradients.push_back(gradient);
    examples.push_back(std::move(example));
  }
  const auto codec = make_transform_codec({train_transform(examples).value()}, 0);
  const Tensor tensor = smooth_maps(1, 8, 12, 10, 3);
  const auto expected = elements_of(tensor);
  const auto found = elements_of(decoded_from(*codec, coded_bytes(*codec, tensor), tensor));
  double first = 0;
  double others = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    (i < 120 ? first : others) += std::pow(static_cast<double>(found[i] - expected[i]), 2) / (i < 120 ? 1 : 7);
  }
  EXPECT_LT(4 * first, others);
}

/// With one channel that never moves, and an output that feels next to nothing.
TEST(TransformCodec, LearnsFromBoundariesThatHardlyMatter) {
  for (const float feels : {1.0F, 1e-3F, 1e-6F, 1e-12F}) {
    std::vector<TransformExample> examples;
    for (unsigned i = 0; i < 12; ++i) {
      auto items = elements_of(smooth_maps(1, 8, 12, 10, 100 + i));
      std::fill_n(items.begin() + 3 * 120, 120, 0.0F);
      TransformExample example{tensor_of(items, {1, 8, 12, 10}), {}};
      example.gradients.push_back(tensor_of(random_floats(960, feels, i), {1, 8, 12, 10}));
      examples.push_back(std::move(example));
    }
    const auto tables = train_transform(examples);
    ASSERT_TRUE(tables) << feels;
    const auto codec = make_transform_codec({*tables}, 0);
    const Tensor& tensor = examples.front().value;
    EXPECT_LT(error_of_codec(*codec, tensor), 1.1) << feels;
    EXPECT_LT(coded_bytes(*codec, tensor).size(), tensor.packed_bytes() / 4) << feels;
    const auto finest = make_transform_codec({*tables}, -40);
    EXPECT_LE(error_of_codec(*finest, tensor), error_of_codec(*codec, tensor)) << feels;
  }
}

TEST(TransformTables, ComeBackFromBytes) {
  const auto tables = tables_for(8, 12, 10);
  const std::string bytes = to_bytes({tables, tables});
  const auto as_bytes = [](const std::string& text) {
    return std::span(reinterpret_cast<const std::byte*>(text.data()), text.size());
  };
  EXPECT_EQ(to_bytes(tables_from_bytes(as_bytes(bytes))), bytes);
  for (std::size_t size = 0; size < bytes.size(); size += 97) {
    EXPECT_TRUE(throws(ErrorCode::corrupt, "tables of codec transform",
                       [&] { (void)tables_from_bytes(as_bytes(bytes.substr(0, size))); }));
  }
  EXPECT_TRUE(throws(ErrorCode::corrupt, "1 bytes behind", [&] { (void)tables_from_bytes(as_bytes(bytes + "x")); }));
  EXPECT_TRUE(throws(ErrorCode::incompatible, "version 7", [&] {
    std::string other = bytes;
    other[0] = 7;
    (void)tables_from_bytes(as_bytes(other));
  }));
}

TEST(TransformTables, AreChecked) {
  const auto tables = tables_for(8, 12, 10);
  const auto refused = [&](const char* message, auto&& damage) {
    auto bad = tables;
    damage(bad);
    EXPECT_TRUE(throws(ErrorCode::corrupt, message, [&] { bad.validate(); })) << message;
  };
  refused("0 channels", [](auto& t) { t.channels = 0; });
  refused("9 components of 8", [](auto& t) { t.components = 9; });
  refused("maps of 0", [](auto& t) { t.height = 0; });
  refused("mean has 7 items, expected 8", [](auto& t) { t.mean.pop_back(); });
  refused("unit has something that is not finite", [](auto& t) { t.unit[3] = infinity; });
  refused("could overflow",
          [](auto& t) { std::fill(t.cosine_width.begin(), t.cosine_width.end(), std::int16_t{32767}); });
  refused("band_of has 200", [](auto& t) { t.band_of[5] = 200; });
  refused("a shift of 0", [](auto& t) { t.bands[0].analysis_shift = 0; });
  refused("a step of 0", [](auto& t) { t.steps[9] = 0; });
  refused("never comes", [](auto& t) { t.frequencies[4][2] = 0; });
  refused("spread has", [](auto& t) { t.spread.clear(); });
}

}  // namespace
}  // namespace splitnet::detail
