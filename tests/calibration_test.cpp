// SPDX-License-Identifier: Apache-2.0
#include "splitnet/calibration.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "arithmetic_model.hpp"
#include "error_of.hpp"
#include "picture_samples.hpp"
#include "served_model.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

using testing::throws;

std::vector<std::vector<Value>> examples(std::size_t count) {
  std::vector<std::vector<Value>> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back({testing::arithmetic_input({16, 24}, i + 1)});
  return result;
}

CalibrationOptions options_for(OutputKind kind) {
  CalibrationOptions options;
  options.output = kind;
  options.cuts = {Cut::after_index(3)};
  return options;
}

const CalibratedCodec* find(const std::vector<CalibratedCodec>& found, const std::string& name) {
  const auto at = std::find_if(found.begin(), found.end(),
                               [&](const auto& codec) { return codec.profile.name.substr(0, name.size()) == name; });
  return at == found.end() ? nullptr : &*at;
}

TEST(Calibration, SaysWhatCodecsDoToAnswers) {
  const auto model = testing::branch_model();
  const auto found = calibrate(*model, examples(12), options_for(OutputKind::numbers)).codecs;
  const auto* half = find(found, "f16");
  const auto* rough = find(found, "int4");
  ASSERT_NE(half, nullptr);
  ASSERT_NE(rough, nullptr);
  EXPECT_EQ(half->effect.examples, 6U);
  EXPECT_NEAR(half->profile.ratio, 0.5, 0.03);
  EXPECT_GT(half->effect.agreement, 0.999);
  EXPECT_LT(rough->effect.agreement, half->effect.agreement);
  EXPECT_LE(rough->effect.agreement_low, rough->effect.agreement);
  EXPECT_GE(rough->effect.agreement_high, rough->effect.agreement);
  EXPECT_GT(rough->effect.largest_error, half->effect.largest_error);
  EXPECT_NEAR(rough->profile.accuracy_loss, 1 - rough->effect.agreement, 1e-12);
  EXPECT_EQ(rough->profile.head, (LayerSet{0, 1, 2, 3}));
  EXPECT_GT(half->speed.encode_bytes_per_s, 0);
  EXPECT_EQ(half->kept_exact, 0U);
}

TEST(Calibration, CountsClassesThatStayTheSame) {
  const auto model = testing::branch_model();
  for (const OutputKind kind : {OutputKind::logits, OutputKind::embedding}) {
    const auto found = calibrate(*model, examples(12), options_for(kind)).codecs;
    const auto* half = find(found, "f16");
    const auto* rough = find(found, "int4");
    ASSERT_NE(half, nullptr);
    ASSERT_NE(rough, nullptr);
    EXPECT_GT(half->effect.agreement, 0.98);
    EXPECT_LE(rough->effect.agreement, half->effect.agreement);
    if (kind == OutputKind::logits) {
      EXPECT_GT(rough->effect.divergence_nat, half->effect.divergence_nat);
    }
  }
}

TEST(Calibration, CountsRightAnswersWhereTheyAreKnown) {
  const auto model = testing::branch_model();
  auto options = options_for(OutputKind::logits);
  options.codecs = {"f16", "int2"};
  std::vector<std::vector<Value>> given;
  for (std::size_t i = 0; i < 60; ++i) {
    given.push_back({testing::arithmetic_input({1, 24}, i + 1)});
    options.labels.push_back(i % 24);
  }
  const auto found = calibrate(*model, given, options).codecs;
  ASSERT_EQ(found.size(), 2U);
  const auto& fine = found[0].effect;
  const auto& rough = found[1].effect;
  ASSERT_TRUE(fine.accuracy && rough.accuracy);
  EXPECT_LE(std::abs(fine.accuracy->lost), 1 - fine.agreement);
  EXPECT_EQ(fine.accuracy->exact, rough.accuracy->exact);
  EXPECT_LE(rough.accuracy->lost_low, rough.accuracy->lost);
  EXPECT_LE(std::abs(rough.accuracy->lost), 1 - rough.agreement);
  EXPECT_EQ(found[1].profile.accuracy_loss, std::max(0.0, rough.accuracy->lost));
}

TEST(Calibration, FindsTwoCodecsForAnswersThatAreClose) {
  const auto model = testing::branch_model();
  auto options = options_for(OutputKind::logits);
  options.codecs = {"f16"};
  options.coarsenesses = {-16, -8, 0, 4, 8, 16, 24};
  options.refined_losses = {0.05};
  std::vector<std::vector<Value>> given;
  for (std::size_t i = 0; i < 200; ++i) {  // Answers from close to clear.
    Tensor input = testing::arithmetic_input({1, 256}, i + 1);
    auto* const items = reinterpret_cast<float*>(input.data());
    for (std::size_t c = 0; c < 256; ++c) items[c] *= 0.2F;
    items[i / 2 % 8] = 0.02F * static_cast<float>(i * 37 % 200);
    given.push_back({std::move(input)});
  }
  const auto found = calibrate(*model, given, options).codecs;
  ASSERT_FALSE(found.empty());
  const CalibratedCodec& refined = found.back();
  ASSERT_TRUE(refined.profile.refinement);
  EXPECT_EQ(refined.profile.name, refined.profile.refinement->name());
  EXPECT_GT(refined.profile.refinement->min_margin_nat, 0);
  EXPECT_GT(refined.profile.refined_share, 0);
  EXPECT_LT(refined.profile.refined_share, 1);
  const auto* first = find(found, refined.profile.refinement->first_codec);
  const auto* second = find(found, refined.profile.refinement->second_codec);
  ASSERT_TRUE(first != nullptr && second != nullptr);
  EXPECT_NEAR(refined.profile.ratio, first->profile.ratio + refined.profile.refined_share * second->profile.ratio,
              0.05 * refined.profile.ratio);
  EXPECT_GT(refined.effect.agreement, first->effect.agreement);
  EXPECT_LT(refined.speed.encode_bytes_per_s, first->speed.encode_bytes_per_s);
}

TEST(Calibration, KeepsGroupsTogetherAndCountsThem) {
  const auto model = testing::branch_model();
  auto options = options_for(OutputKind::numbers);
  options.codecs = {"int4"};
  const auto given = examples(12);
  const auto alone = calibrate(*model, given, options).codecs;
  EXPECT_EQ(alone.front().effect.examples, 6U);

  options.groups = {1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 4, 3};  // Groups 3 and 4 come last: 6 examples.
  const auto together = calibrate(*model, given, options).codecs;
  EXPECT_EQ(together.front().effect.examples, 6U);
  EXPECT_NE(together.front().effect.agreement, alone.front().effect.agreement);

  // The same examples again and again say no more than once.
  std::vector<std::vector<Value>> repeated;
  options.groups.clear();
  for (std::size_t i = 0; i < 120; ++i) {
    repeated.push_back(given[i % 12]);
    options.groups.push_back(i % 12);
  }
  const auto width = [](const CodecEffect& effect) { return effect.agreement_high - effect.agreement_low; };
  const auto grouped = calibrate(*model, repeated, options).codecs;
  options.groups.clear();
  const auto mistaken = calibrate(*model, repeated, options).codecs;
  EXPECT_GT(width(grouped.front().effect), 2 * width(mistaken.front().effect));
}

/// The arithmetic model has no gradients: all directions count alike.
TEST(Calibration, LearnsTablesThatAnyoneCanMakeTheCodecFrom) {
  const auto model = testing::branch_model();
  auto options = options_for(OutputKind::numbers);
  options.coarsenesses = {-16, 8};
  const auto found = calibrate(*model, examples(40), options).codecs;
  std::vector<const CalibratedCodec*> transforms;
  for (const auto& codec : found) {
    if (codec.profile.tables) transforms.push_back(&codec);
  }
  ASSERT_EQ(transforms.size(), 2U);
  EXPECT_EQ(transforms[0]->profile.tables, transforms[1]->profile.tables);
  EXPECT_GT(transforms[0]->profile.ratio, transforms[1]->profile.ratio);
  EXPECT_GT(transforms[0]->effect.agreement, transforms[1]->effect.agreement);
  const auto registry = CodecRegistry::with_defaults();
  EXPECT_NE(registry.make(transforms[0]->profile.name, transforms[0]->profile.tables), nullptr);
  EXPECT_TRUE(
      throws(ErrorCode::incompatible, "are not here", [&] { (void)registry.make(transforms[0]->profile.name); }));
  EXPECT_TRUE(throws(ErrorCode::incompatible, "expected", [&] {
    (void)registry.make(transforms[0]->profile.name, std::make_shared<const std::string>("other"));
  }));
}

/// Of pictures of 8-bit pixels.
std::vector<CalibratedCodec> calibrated_pictures(CalibrationOptions options) {
  const auto model = testing::ArithmeticModel::make({.sizes = {1, 3, 24, 40}});
  std::vector<std::vector<Value>> examples;
  for (int i = 0; i < 6; ++i) {
    examples.push_back({testing::through("u8:mean=0;std=1", testing::smooth_picture(3, 24, 40, i))});
  }
  return calibrate(*model, examples, options).codecs;
}

TEST(Calibration, TriesPicturesInFrontOfTheFirstLayer) {
  auto options = options_for(OutputKind::numbers);
  options.pixels = "mean=0;std=1";
  options.qualities = {90, 20};
  options.coarsenesses = {};
  std::size_t done = 0;
  std::size_t total = 0;
  options.progress = [&](std::size_t now, std::size_t all) {
    done = now;
    total = all;
  };
  const auto found = calibrated_pictures(options);
  EXPECT_EQ(done, total);
  const auto* exact = find(found, "u8:");
  ASSERT_NE(exact, nullptr);
  EXPECT_NEAR(exact->profile.ratio, 0.25, 0.01);
  EXPECT_EQ(exact->effect.agreement, 1);
  for (const std::string format : {"jpeg:mean=0;std=1;subsampling=420;", "webp:mean=0;std=1;"}) {
    const auto* fine = find(found, format + "quality=90");
    const auto* coarse = find(found, format + "quality=20");
    ASSERT_TRUE(fine != nullptr && coarse != nullptr) << format;
    EXPECT_LT(coarse->profile.ratio, fine->profile.ratio);
    EXPECT_LT(coarse->effect.agreement, fine->effect.agreement);
    EXPECT_LT(fine->effect.agreement, 1);
    EXPECT_TRUE(fine->profile.only_inputs);
    EXPECT_EQ(fine->profile.head, LayerSet{});
  }
  const auto* behind = find(found, "f16");
  ASSERT_NE(behind, nullptr);
  EXPECT_FALSE(behind->profile.only_inputs);
}

TEST(Calibration, FindsTheQualityThatKeepsAsMuch) {
  auto options = options_for(OutputKind::numbers);
  options.pixels = "mean=0;std=1";
  options.coarsenesses = {};
  const auto found = calibrated_pictures(options);
  EXPECT_EQ(smallest_picture(found, 0)->profile.name, "u8:mean=0;std=1");
  EXPECT_FALSE(smallest_picture({}, 1));
  double last_ratio = 1;
  for (const double loss : {0.0, 0.005, 0.02, 1.0}) {
    const auto best = smallest_picture(found, loss);
    ASSERT_TRUE(best);
    EXPECT_TRUE(best->profile.only_inputs);
    EXPECT_LE(best->profile.accuracy_loss, loss);
    EXPECT_LE(best->profile.ratio, last_ratio);
    for (const auto& other : found) {
      if (!other.profile.only_inputs || other.profile.accuracy_loss > loss) continue;
      EXPECT_GE(other.profile.ratio, best->profile.ratio);
    }
    last_ratio = best->profile.ratio;
  }
  EXPECT_LT(last_ratio, 0.05);
}

TEST(ProfileOfFiles, IsForInputsThatArrive) {
  const auto model = testing::ArithmeticModel::make({.sizes = {2, 3, 24, 40}});
  const auto file = [](const char* codec, const char* pixels = "mean=0;std=1") {
    return EncodedPicture::of(testing::file_of(codec, testing::smooth_picture(3, 24, 40)), pixels);
  };
  const auto small = file("jpeg:quality=20");
  const auto large = file("jpeg:quality=98");
  const auto profile = profile_of_files(*model, {small, large});
  EXPECT_EQ(profile.name, "jpeg:mean=0;std=1");
  const auto mean_bytes = static_cast<double>(small.file.packed_bytes() + large.file.packed_bytes()) / 2;
  EXPECT_NEAR(profile.ratio, mean_bytes / (3 * 24 * 40 * 4), 0.002);
  EXPECT_EQ(profile.accuracy_loss, 0);
  EXPECT_TRUE(profile.inputs_arrive && profile.only_inputs);
  EXPECT_EQ(profile.head, LayerSet{});
  const auto refused = [](const Model& other, const char* words, const std::vector<EncodedPicture>& files) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, words, [&] { (void)profile_of_files(other, files); })) << words;
  };
  refused(*model, "number of files is 0", {});
  refused(*model, "for codec webp:mean=0;std=1, expected jpeg:", {small, file("webp")});
  refused(*testing::ArithmeticModel::make({.sizes = {1, 3, 8, 8}}), "the model takes 8×8", {small});
  refused(*testing::branch_model(), "found a picture, expected a value as in the model's example", {small});
}

TEST(Calibration, IsTheSameInAFile) {
  const auto model = testing::branch_model();
  auto options = options_for(OutputKind::logits);
  options.codecs = {"int8"};
  options.coarsenesses = {-16, 8};
  Calibration calibration = calibrate(*model, examples(40), options);
  ASSERT_EQ(calibration.codecs.size(), 3U);
  CalibratedCodec& refined = calibration.codecs.emplace_back(calibration.codecs.back());
  refined.profile.refinement = Refinement{"a", "b", 0.5, OutputKind::probabilities, 1};
  refined.profile.name = refined.profile.refinement->name();
  refined.profile.refined_share = 0.125;
  refined.effect.accuracy = AccuracyEffect{0.9, 0.01, -0.01, 0.03};

  const std::string json = to_json(calibration);
  const Calibration again = calibration_from_json(json);
  EXPECT_EQ(to_json(again), json);
  EXPECT_EQ(again, calibration);
  ASSERT_EQ(again.codecs.size(), 4U);
  EXPECT_EQ(again.codecs[1].profile.tables, again.codecs[2].profile.tables) << "kept once";
  CodecProfile other = again.codecs[1].profile;
  other.tables = std::make_shared<const std::string>(*other.tables + "x");
  EXPECT_NE(other, again.codecs[1].profile);
  again.check_fits(model->layers());
  EXPECT_TRUE(throws(ErrorCode::incompatible, "calibration of model",
                     [&] { again.check_fits(testing::chain_model()->layers()); }));

  const auto profiles = again.profiles(again.codecs[1].profile.accuracy_loss);
  EXPECT_EQ(profiles.front(), CodecProfile{});
  EXPECT_LE(profiles.size(), 5U);
  EXPECT_EQ(again.profiles().size(), 5U);
}

TEST(Calibration, RefusesDamagedFiles) {
  auto options = options_for(OutputKind::numbers);
  options.codecs = {};
  options.coarsenesses = {0};
  const std::string json = to_json(calibrate(*testing::branch_model(), examples(40), options));
  const auto refused = [&](ErrorCode code, const char* message, const std::string& found, const std::string& put) {
    std::string damaged = json;
    const auto at = damaged.find(found);
    ASSERT_NE(at, std::string::npos) << found;
    damaged.replace(at, found.size(), put);
    EXPECT_TRUE(throws(code, message, [&] { (void)calibration_from_json(damaged); })) << message;
  };
  refused(ErrorCode::incompatible, "schema_version is 7", "\"schema_version\": 1", "\"schema_version\": 7");
  refused(ErrorCode::corrupt, "ratio: found something else, expected a number", "\"ratio\": 0",
          "\"ratio\": \"\", \"r\": 0");
  refused(ErrorCode::corrupt, "codecs: name: missing", "\"name\"", "\"nome\"");
  refused(ErrorCode::corrupt, "is not base64", "\"base64\": \"", "\"base64\": \"!");
  refused(ErrorCode::corrupt, "tables: found the digest", "\"base64\": \"AQ", "\"base64\": \"AR");
  refused(ErrorCode::corrupt, "are missing", "\"tables\": \"", "\"tables\": \"0");
  refused(ErrorCode::invalid_argument, "agreement is 3, expected 0 … 1", "\"agreement\": 0",
          "\"agreement\": 3, \"a\": 0");
  EXPECT_TRUE(throws(ErrorCode::corrupt, "not JSON", [] { (void)calibration_from_json("{"); }));
  EXPECT_TRUE(throws(ErrorCode::unavailable, "calibration '/nowhere/x' can't be read",
                     [] { (void)load_calibration("/nowhere/x"); }));
}

TEST(Calibration, ChecksWhatItIsGiven) {
  const auto model = testing::branch_model();
  const auto refused = [&](const char* message, auto&& change) {
    auto options = options_for(OutputKind::numbers);
    change(options);
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, message, [&] { (void)calibrate(*model, examples(6), options); }))
        << message;
  };
  refused("held_out is 1", [](auto& o) { o.held_out = 1; });
  refused("coarsenesses is 65", [](auto& o) { o.coarsenesses = {65}; });
  refused("qualities is 101", [](auto& o) { o.qualities = {101}; });
  refused("no mean=", [](auto& o) { o.pixels = "std=1"; });
  refused("no input is a picture", [](auto& o) { o.pixels = "mean=0;std=1"; });
  refused("unknown codec 'zip'", [](auto& o) { o.codecs = {"zip"}; });
  refused("output_slots: 9 of 2 results", [](auto& o) { o.output_slots = {9}; });
  refused("groups has 2 items, expected none or one for each of the 6 examples", [](auto& o) { o.groups = {1, 2}; });
  refused("labels are there, expected logits", [](auto& o) { o.labels.assign(6, 0); });
  refused("number of rows of an output is 16, expected 1", [](auto& o) {
    o.output = OutputKind::logits;
    o.labels.assign(6, 0);
  });
  refused("that are not held out is 0, expected at least 2", [](auto& o) { o.groups.assign(6, 1); });
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "number of examples is 3, expected at least 4",
                     [&] { (void)calibrate(*model, examples(3), options_for(OutputKind::numbers)); }));
}

}  // namespace
}  // namespace splitnet
