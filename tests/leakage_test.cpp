// SPDX-License-Identifier: Apache-2.0
#include "splitnet/leakage.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "linear_model.hpp"

namespace splitnet {
namespace {

using testing::LinearModel;
using testing::LinearOptions;
using testing::mean_of;
using testing::pooling;
using testing::scaling;
using testing::throws;
using Examples = std::vector<std::vector<Value>>;

constexpr std::size_t side = 16;
constexpr std::size_t pixels = side * side;

/// Waves of other lengths and directions in each, with something fine on top.
Examples pictures(std::size_t count = 8) {
  Examples result;
  for (std::size_t e = 0; e < count; ++e) {
    Tensor picture = Tensor::empty(DType::f32, {1, 1, side, side});
    auto* items = reinterpret_cast<float*>(picture.data());
    for (std::size_t i = 0; i < pixels; ++i) {
      const auto x = static_cast<double>(i % side);
      const auto y = static_cast<double>(i / side);
      const auto phase = static_cast<double>(e);
      const double wave = std::sin(0.2 * (1 + phase) * x + phase) * std::cos(0.15 * (9 - phase) * y - phase);
      items[i] = static_cast<float>(wave + 0.2 * std::sin(2.5 * x + 1.9 * y + phase));
    }
    result.push_back({picture});
  }
  return result;
}

LinearOptions chain(std::vector<testing::LinearMap> layers) {
  return {std::move(layers), {1, 1, side, side}};
}
LinearOptions coarser_and_coarser() {
  return chain({scaling(pixels, 2), pooling(side), pooling(side / 2), mean_of(pixels / 16)});
}

LeakageOptions options_for(std::vector<Cut> cuts, const std::vector<std::string>& codecs = {"raw"}) {
  LeakageOptions options;
  options.cuts = std::move(cuts);
  options.codecs.clear();
  options.steps = 300;
  for (const auto& name : codecs) options.codecs.push_back({.name = name});
  return options;
}

TEST(Leakage, FallsWithWhatTheHeadThrowsAway) {
  const LinearModel model(coarser_and_coarser());
  const auto found =
      measure_leakage(model, pictures(), options_for({Cut::after_index(0), Cut::after_index(1), Cut::after_index(2)}));
  ASSERT_EQ(found.size(), 3U);
  for (const Leakage& leakage : found) {
    EXPECT_EQ(leakage.no_statement, "");
    ASSERT_TRUE(leakage.rebuilt && leakage.trivial && leakage.rebuilt->ssim && leakage.distance_correlation);
    EXPECT_EQ(leakage.attacked, 2U);
    EXPECT_GE(*leakage.highest_psnr_db, leakage.rebuilt->psnr_db);
    EXPECT_EQ(leakage.trivial, found[0].trivial);
    EXPECT_FALSE(leakage.sends_input);
  }
  EXPECT_GT(found[0].rebuilt->psnr_db, 35);
  EXPECT_GT(*found[0].rebuilt->ssim, 0.97);
  EXPECT_LT(found[1].rebuilt->psnr_db, found[0].rebuilt->psnr_db - 6);
  EXPECT_LT(found[2].rebuilt->psnr_db, found[1].rebuilt->psnr_db);
  EXPECT_LT(*found[2].rebuilt->ssim, *found[1].rebuilt->ssim);
  EXPECT_GT(found[1].rebuilt->psnr_db, found[1].trivial->psnr_db + 3);
  EXPECT_NEAR(*found[0].distance_correlation, 1, 1e-6) << "a scaling keeps distances";
  EXPECT_LT(*found[2].distance_correlation, *found[0].distance_correlation - 0.01);
}

TEST(Leakage, FallsWithWhatTheCodecThrowsAway) {
  const LinearModel model(coarser_and_coarser());
  const auto found = measure_leakage(model, pictures(), options_for({Cut::after_index(0)}, {"raw", "int8", "int2"}));
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[2].codec, "int2");
  EXPECT_EQ(found[2].head, LayerSet{0});
  EXPECT_LT(found[1].rebuilt->psnr_db, 60);
  EXPECT_LT(found[2].rebuilt->psnr_db, found[1].rebuilt->psnr_db - 6);
  EXPECT_LT(*found[2].distance_correlation, *found[0].distance_correlation);
  const auto profiles = profiles_of(found);
  ASSERT_EQ(profiles.size(), 3U);
  EXPECT_EQ(profiles[2], (LeakageProfile{{0}, "int2", *found[2].highest_psnr_db}));
}

TEST(Leakage, MakesNoStatementWhereTheFirstLayerCannotBeInverted) {
  const LinearModel model(chain({mean_of(pixels), scaling(1, 2)}));
  const auto found = measure_leakage(model, pictures(), options_for({Cut::after_index(0), Cut::at_input()}));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_FALSE(found[0].rebuilt || found[0].highest_psnr_db || found[0].trivial);
  EXPECT_NE(found[0].no_statement.find("can't even invert the first layer"), std::string::npos)
      << found[0].no_statement;
  EXPECT_TRUE(found[0].distance_correlation);
  EXPECT_EQ(found[1].no_statement, "") << "the input itself needs no attack";
  EXPECT_EQ(profiles_of(found).size(), 1U);
}

TEST(Leakage, SaysWhyItMakesNoStatement) {
  const auto reason_of = [](LinearOptions model, const Examples& examples, std::size_t layer = 0) {
    auto options = options_for({Cut::after_index(layer)});
    options.steps = 50;
    const auto found = measure_leakage(LinearModel(std::move(model)), examples, options);
    EXPECT_FALSE(found.front().rebuilt);
    EXPECT_TRUE(found.front().distance_correlation);
    return found.front().no_statement;
  };
  auto opaque = coarser_and_coarser();
  opaque.can_be_differentiated = false;
  EXPECT_NE(reason_of(opaque, pictures()).find("can't be differentiated"), std::string::npos);
  auto stepped = coarser_and_coarser();
  stepped.layers[1].rounds = true;
  EXPECT_EQ(reason_of(stepped, pictures(), 1), "no gradient of the boundary reaches the input");
  Examples integers;
  for (std::int64_t e = 0; e < 5; ++e) {
    Tensor tokens = Tensor::empty(DType::i64, {1, 4});
    for (std::int64_t i = 0; i < 4; ++i) reinterpret_cast<std::int64_t*>(tokens.data())[i] = (e * 5 + i * i) % 7;
    integers.push_back({tokens});
  }
  EXPECT_EQ(reason_of({{scaling(4, 2), mean_of(4)}, {1, 4}}, integers), "no input is a tensor of f32");
  EXPECT_EQ(reason_of(coarser_and_coarser(), Examples(4, pictures().front())),
            "all examples have the same inputs of f32");
  auto crossing = coarser_and_coarser();
  crossing.last_reads_input = true;
  const auto found =
      measure_leakage(LinearModel(crossing), pictures(), options_for({Cut::after_index(2)}, {"raw", "int4"}));
  EXPECT_TRUE(found[0].sends_input);
  EXPECT_EQ(found[0].rebuilt->psnr_db, std::numeric_limits<double>::infinity());
  EXPECT_GT(found[1].rebuilt->psnr_db, 20);
  EXPECT_LT(found[1].rebuilt->psnr_db, 60);
}

TEST(Leakage, OfOtherThanPicturesHasNoStructuralSimilarity) {
  Examples vectors;
  for (auto& example : pictures()) {
    Tensor vector = example.front().tensor();
    vector.sizes = {1, pixels};
    vector.strides = {pixels, 1};
    vectors.push_back({vector});
  }
  LinearOptions linear = coarser_and_coarser();
  linear.input_sizes = {1, pixels};
  const auto found = measure_leakage(LinearModel(linear), vectors, options_for({Cut::after_index(0)}));
  ASSERT_TRUE(found.front().rebuilt);
  EXPECT_GT(found.front().rebuilt->psnr_db, 35);
  EXPECT_FALSE(found.front().rebuilt->ssim || found.front().trivial->ssim);
}

TEST(Leakage, IsRepeatableAndSaysHowFarItIs) {
  const LinearModel model(coarser_and_coarser());
  auto options = options_for({Cut::after_index(1)}, {"raw", "int4"});
  options.steps = 20;
  options.statement_db = 0;
  std::vector<std::pair<std::size_t, std::size_t>> told;
  options.progress = [&](std::size_t done, std::size_t total) { told.emplace_back(done, total); };
  const auto found = measure_leakage(model, pictures(), options);
  EXPECT_EQ(measure_leakage(model, pictures(), options), found);
  ASSERT_FALSE(told.empty());
  EXPECT_TRUE(std::is_sorted(told.begin(), told.begin() + static_cast<std::ptrdiff_t>(told.size() / 2)));
  EXPECT_EQ(told.back().first, told.back().second);
  options.seed = 2;
  EXPECT_NE(measure_leakage(model, pictures(), options), found);
}

TEST(Leakage, TriesCodecsWhereTheyApply) {
  const LinearModel model(coarser_and_coarser());
  LeakageOptions options;
  options.steps = 10;
  options.codecs = {{.name = "int8", .head = LayerSet{0, 1}}, {.name = "u8:mean=0.5;std=0.5"}};
  options.cuts = {Cut::at_input(), Cut::after_index(0), Cut::after_index(1)};
  const auto found = measure_leakage(model, pictures(), options);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].head, LayerSet{});
  EXPECT_EQ(found[0].codec, "u8:mean=0.5;std=0.5");
  EXPECT_EQ(found[1].head, (LayerSet{0, 1}));
  options.cuts = {};
  options.codecs = {{.name = "raw"}};
  const auto by_default = measure_leakage(model, pictures(), options);
  ASSERT_FALSE(by_default.empty());
  EXPECT_EQ(by_default.front().head, LayerSet{0});
}

TEST(Leakage, ChecksWhatItIsGiven) {
  const LinearModel model(coarser_and_coarser());
  const auto refused = [&](const char* message, auto&& change) {
    auto options = options_for({Cut::after_index(0)});
    change(options);
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, message, [&] {
      (void)measure_leakage(model, pictures(), options);
    })) << message;
  };
  refused("codecs: the number is 0", [](auto& o) { o.codecs.clear(); });
  refused("LeakageOptions::attacked is 0", [](auto& o) { o.attacked = 0; });
  refused("attacks: the number is 0", [](auto& o) { o.attacks.clear(); });
  refused("LeakageOptions::steps is 0", [](auto& o) { o.steps = 0; });
  refused("statement_db is -1", [](auto& o) { o.statement_db = -1; });
  refused("learning_rate is 2", [](auto& o) { o.attacks = {{2, 0}}; });
  refused("total_variation is -1", [](auto& o) { o.attacks = {{0.1, -1}}; });
  refused("unknown codec 'zip'", [](auto& o) { o.codecs = {{.name = "zip"}}; });
  const auto refused_examples = [&](const char* message, const Examples& examples) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, message, [&] {
      (void)measure_leakage(model, examples, options_for({Cut::after_index(0)}));
    })) << message;
  };
  refused_examples("number of examples is 3, expected at least 4", pictures(3));
  auto examples = pictures();
  examples[2].push_back(1);
  refused_examples("example 2 has 2 inputs, expected 1", examples);
  examples = pictures();
  examples[1][0] = Tensor::empty(DType::f32, {1, 1, 2, 2});
  refused_examples("example 1: input 0 is a tensor f32[1, 1, 2, 2], expected one as in example 0", examples);
  examples = pictures();
  reinterpret_cast<float*>(examples[3][0].tensor().data())[5] = std::nanf("");
  refused_examples("input 0 has elements that are not finite", examples);
}

}  // namespace
}  // namespace splitnet
