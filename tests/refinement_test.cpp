// SPDX-License-Identifier: Apache-2.0
#include "splitnet/refinement.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "codec_samples.hpp"
#include "error_of.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

using testing::tensor_of;
using testing::throws;

TEST(Refinement, MarginIsHowMuchLikelierTheBestClassIs) {
  EXPECT_DOUBLE_EQ(margin_nat(tensor_of({1, 4, 2.5F}, {3}), OutputKind::logits), 1.5);
  EXPECT_NEAR(margin_nat(tensor_of({0.6F, 0.1F, 0.3F}, {1, 3}), OutputKind::probabilities), std::log(2.0), 1e-6);
  EXPECT_DOUBLE_EQ(margin_nat(tensor_of({5, 5}, {2}), OutputKind::logits), 0);
  EXPECT_GT(margin_nat(tensor_of({1, 0}, {2}), OutputKind::probabilities), 60);  // Sure, and still a number.
}

TEST(Refinement, MarginOfSeveralRowsIsTheLeast) {
  EXPECT_DOUBLE_EQ(margin_nat(tensor_of({9, 1, 3, 2.5F, 0, 7}, {3, 2}), OutputKind::logits), 0.5);
  EXPECT_DOUBLE_EQ(margin_nat(tensor_of({9, 3, 0, 1, 2.5F, 7}, {3, 2}, {1, 3}), OutputKind::logits), 0.5);
}

TEST(Refinement, NothingLeadsWhereScoresAreNoNumbers) {
  const float none = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(margin_nat(tensor_of({none, none}, {2}), OutputKind::logits), 0);
  EXPECT_EQ(margin_nat(tensor_of({infinity, infinity}, {2}), OutputKind::logits), 0);
}

TEST(Refinement, SaysWhatHasNoMargin) {
  const auto refused = [](const Tensor& output, OutputKind kind) {
    EXPECT_TRUE(
        throws(ErrorCode::invalid_argument, "a margin needs two classes", [&] { (void)margin_nat(output, kind); }));
  };
  refused(tensor_of({1, 2}, {2, 1}), OutputKind::logits);
  refused(tensor_of({1}, {}), OutputKind::logits);
  refused(tensor_of({1, 2}, {2}), OutputKind::embedding);
  refused(Tensor::empty(DType::f16, {2}), OutputKind::logits);
  refused(Tensor::empty(DType::f32, {0, 2}), OutputKind::logits);
}

TEST(Refinement, ChecksItself) {
  const Refinement good{"int4", "int8", 0.35};
  good.validate();
  EXPECT_EQ(good.name(), "int4, below 0.35 nat int8");
  const auto refused = [&](const char* message, auto&& change) {
    Refinement wrong = good;
    change(wrong);
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, message, [&] { wrong.validate(); })) << message;
  };
  refused("found the codecs 'int4' and 'int4'", [](auto& r) { r.second_codec = "int4"; });
  refused("found the codecs '' and 'int8'", [](auto& r) { r.first_codec = ""; });
  refused("min_margin_nat is -1", [](auto& r) { r.min_margin_nat = -1; });
  refused("min_margin_nat is nan", [](auto& r) { r.min_margin_nat = std::nan(""); });
  refused("has no classes", [](auto& r) { r.output = OutputKind::embedding; });
}

}  // namespace
}  // namespace splitnet
