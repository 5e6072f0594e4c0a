// SPDX-License-Identifier: Apache-2.0
#include "splitnet/device_profile.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "error_of.hpp"
#include "planning_samples.hpp"

namespace splitnet {
namespace {

using testing::throws;

DeviceProfile sample() {
  DeviceProfile profile = testing::profile_of(testing::layers_only(3), {1e-3, 2.5e-3, 0});
  profile.machine = "a \"quoted\" machine, 2 cores";
  profile.framework = "torch 2.13.0";
  profile.threads = 2;
  profile.load = 0.25;
  profile.pass_spread_s = 1e-5;
  profile.stage_overhead_s = 4e-6;
  profile.calibration = 0.97;
  profile.layers[1].spread_s = 1.5e-5;
  profile.layers[1].peak_bytes = 1'234'567;
  return profile;
}

TEST(DeviceProfile, NamesTheFieldThatIsWrong) {
  const auto refuses = [](const char* words, const auto& spoil) {
    auto profile = sample();
    spoil(profile);
    return throws(ErrorCode::invalid_argument, words, [&] { profile.validate(); });
  };
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_NO_THROW(sample().validate());
  EXPECT_TRUE(refuses("pass_s is 0", [](auto& p) { p.pass_s = 0; }));
  EXPECT_TRUE(refuses("pass_s", [&](auto& p) { p.pass_s = infinity; }));
  EXPECT_TRUE(refuses("time_s of layer '1' is -1", [](auto& p) { p.layers[1].time_s = -1; }));
  EXPECT_TRUE(refuses("nan", [&](auto& p) { p.layers[1].time_s = infinity - infinity; }));
  EXPECT_TRUE(refuses("no layers", [](auto& p) { p.layers.clear(); }));
  EXPECT_TRUE(refuses("encode_bytes_per_s of codec 'half'", [](auto& p) { p.codecs[0].encode_bytes_per_s = 0; }));
  EXPECT_TRUE(refuses("calibration", [](auto& p) { p.calibration = 0; }));
}

TEST(DeviceProfile, FitsOneModelOnly) {
  const auto graph = testing::layers_only(3);
  EXPECT_NO_THROW(sample().check_fits(graph));
  const auto refuses = [&](const char* words, const auto& change) {
    auto other = graph;
    change(other);
    return throws(ErrorCode::incompatible, words, [&] { sample().check_fits(other); });
  };
  EXPECT_TRUE(refuses("fingerprint", [](auto& g) { g.fingerprint = "beef"; }));
  EXPECT_TRUE(refuses("3 layers, the model has 2", [](auto& g) { g.layers.pop_back(); }));
  EXPECT_TRUE(refuses("layer 2 is '2', in the model 'other'", [](auto& g) { g.layers[2].name = "other"; }));
}

TEST(DeviceProfile, ScalesTimesAndSpeeds) {
  const auto twice = sample().scaled(2);
  EXPECT_DOUBLE_EQ(twice.pass_s, 7e-3);
  EXPECT_DOUBLE_EQ(twice.layers[1].time_s, 5e-3);
  EXPECT_DOUBLE_EQ(twice.stage_overhead_s, 8e-6);
  EXPECT_DOUBLE_EQ(twice.codecs[0].encode_bytes_per_s, 0.5e9);
  EXPECT_EQ(twice.layers[1].peak_bytes, 1'234'567);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "factor", [] { (void)sample().scaled(0); }));
}

TEST(DeviceProfileJson, ComesBackAsItWas) {
  const auto json = to_json(sample());
  EXPECT_NE(json.find("\"schema_version\": 1"), std::string::npos) << json;
  EXPECT_EQ(device_profile_from_json(json), sample());
}

TEST(DeviceProfileJson, SaysWhatIsWrong) {
  const auto json = to_json(sample());
  const auto refuses = [](ErrorCode code, const char* words, const std::string& text) {
    return throws(code, words, [&] { (void)device_profile_from_json(text); });
  };
  const auto replaced = [&](const std::string& from, const std::string& to) {
    auto text = json;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_TRUE(refuses(ErrorCode::corrupt, "device profile", ""));
  EXPECT_TRUE(refuses(ErrorCode::corrupt, "device profile", "[1, 2"));
  EXPECT_TRUE(refuses(ErrorCode::corrupt, "schema_version", "{}"));
  EXPECT_TRUE(refuses(ErrorCode::corrupt, "pass_s", replaced("\"pass_s\"", "\"past_s\"")));
  EXPECT_TRUE(refuses(ErrorCode::corrupt, "threads", replaced("\"threads\": 2", "\"threads\": \"two\"")));
  EXPECT_TRUE(refuses(ErrorCode::corrupt, "layers", replaced("\"time_s\"", "\"time\"")));
  EXPECT_TRUE(refuses(ErrorCode::corrupt, "deeper", std::string(100'000, '[')));
  EXPECT_TRUE(refuses(ErrorCode::incompatible, "schema_version is 7, expected 1",
                      replaced("\"schema_version\": 1", "\"schema_version\": 7")));
  EXPECT_TRUE(refuses(ErrorCode::invalid_argument, "load", replaced("\"load\": 0.25", "\"load\": -0.25")));
  EXPECT_TRUE(refuses(ErrorCode::invalid_argument, "load", replaced("\"load\": 0.25", "\"load\": NaN")));
}

TEST(DeviceProfileJson, IsNeverReadHalf) {
  const auto json = to_json(sample());
  for (std::size_t length = 0; length + 2 < json.size(); ++length) {
    EXPECT_TRUE(throws(ErrorCode::corrupt, "", [&] { (void)device_profile_from_json(json.substr(0, length)); }))
        << length;
  }
}

TEST(DeviceProfileFile, NamesTheFile) {
  const auto path =
      (std::filesystem::temp_directory_path() / ("profile_" + std::to_string(::getpid()) + ".json")).string();
  save(sample(), path);
  EXPECT_EQ(load_device_profile(path), sample());
  std::ofstream(path) << "{";
  EXPECT_TRUE(throws(ErrorCode::corrupt, path, [&] { (void)load_device_profile(path); }));
  std::filesystem::remove(path);
  EXPECT_TRUE(throws(ErrorCode::unavailable, path, [&] { (void)load_device_profile(path); }));
  EXPECT_TRUE(throws(ErrorCode::unavailable, "/nowhere/", [] { save(sample(), "/nowhere/profile.json"); }));
}

}  // namespace
}  // namespace splitnet
