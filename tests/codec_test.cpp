// SPDX-License-Identifier: Apache-2.0
// The registry, values on their way, and what all codecs have in common.
#include "splitnet/codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "codec_samples.hpp"
#include "error_of.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

const std::vector<std::string> lossy{"f16",  "bf16", "int8", "int8:per=channel", "int7", "int6:per=channel",
                                     "int5", "int4", "int3", "int2:per=channel", "int2"};
const std::vector<std::string> stages{"", "lossless=lz4", "lossless=zstd", "lossless=lz4;shuffle=byte",
                                      "lossless=zstd;shuffle=bit;level=3"};

std::string with_stage(const std::string& codec, const std::string& stage) {
  if (stage.empty()) return codec;
  return codec + (codec.find(':') == std::string::npos ? ":" : ";") + stage;
}

// ---- All codecs.

TEST(Codecs, KeepEveryBitWhenTheyAreLossless) {
  for (const std::string& stage : stages) {
    for (auto samples : {finite_samples(), not_finite_samples()}) {
      for (const auto& [name, tensor] : samples) {
        const std::string codec = with_stage("f32", stage);
        const auto made = CodecRegistry::with_defaults().make(codec);
        const auto encoded = encode_values(*made, {tensor});
        EXPECT_EQ(encoded.kept_exact, 0U) << codec << ' ' << name;
        const Tensor back = decode_values(*made, encoded.values).front().tensor();
        EXPECT_TRUE(bit_identical(back, tensor)) << codec << ' ' << name;
        EXPECT_EQ(back.strides, tensor.strides) << codec << ' ' << name;
      }
    }
  }
}

TEST(Codecs, KeepEveryBitOfWhatTheyCannotStandForAndSaySo) {
  for (const std::string& stage : stages) {
    for (const std::string& base : lossy) {
      for (const auto& [name, tensor] : not_finite_samples()) {
        const std::string codec = with_stage(base, stage);
        const auto made = CodecRegistry::with_defaults().make(codec);
        const auto coded = coded_bytes(*made, tensor);
        EXPECT_TRUE(bit_identical(decoded_from(*made, coded, tensor), tensor)) << codec << ' ' << name;
        EXPECT_EQ(encode_values(*made, {tensor}).kept_exact, 1U) << codec << ' ' << name;
      }
    }
  }
}

TEST(Codecs, StageMakesNoDifferenceToWhatIsDecoded) {
  for (const std::string& base : lossy) {
    const auto plain = CodecRegistry::with_defaults().make(base);
    for (const auto& [name, tensor] : finite_samples()) {
      const Tensor expected = decoded_from(*plain, coded_bytes(*plain, tensor), tensor);
      EXPECT_EQ(expected.strides, tensor.strides);
      for (const std::string& stage : stages) {
        SCOPED_TRACE(with_stage(base, stage) + ' ' + name);
        const auto codec = CodecRegistry::with_defaults().make(with_stage(base, stage));
        EXPECT_TRUE(bit_identical(decoded_from(*codec, coded_bytes(*codec, tensor), tensor), expected));
      }
    }
  }
}

/// Truncated, longer, and with bits turned: a tensor or `corrupt`, and under ASan nothing beyond it.
TEST(Codecs, SurviveDamagedBytes) {
  std::mt19937 random(3);
  auto codecs = lossy;
  codecs.emplace_back("f32");
  for (const std::string& base : codecs) {
    for (const std::string& stage : stages) {
      const auto codec = CodecRegistry::with_defaults().make(with_stage(base, stage));
      for (const auto& [name, tensor] : finite_samples()) {
        const auto good = coded_bytes(*codec, tensor);
        for (int round = 0; round < 12; ++round) {
          auto bad = good;
          if (round % 3 == 0) bad.resize(random() % (bad.size() + 1));
          if (round % 3 == 1) bad.resize(bad.size() + 1 + random() % 9, std::byte{1});
          if (round % 3 == 2 && !bad.empty()) bad[random() % bad.size()] ^= std::byte{1} << (random() % 8);
          try {
            (void)decoded_from(*codec, bad, tensor);
          } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::corrupt) << with_stage(base, stage) << ' ' << name << error.what();
          }
        }
      }
    }
  }
}

/// Symbols and decoded values are the same on every machine; these are from x86-64.
TEST(Codecs, GiveTheSameBytesOnEveryMachine) {
  const Tensor tensor = tensor_of(repeatable_floats(1000), {1, 10, 10, 10});
  struct Expected {
    const char* codec;
    std::uint64_t coded;
    std::uint64_t decoded;
  };
  for (const Expected& expected : std::vector<Expected>{
           {"f16", 14907283422127402580U, 17517499321553503482U},
           {"bf16", 6932020044537781814U, 7678772464481967818U},
           {"int8", 15364000398573319660U, 14668924252519454393U},
           {"int8:per=channel", 3100345008935634354U, 3233491511030069885U},
           {"int5:per=channel", 13767985968794218405U, 6452576242172781847U},
           {"int4", 13745779060523233081U, 46314900495457250U},
           {"int2", 12480095421578375077U, 1429822232264027574U},
       }) {
    const auto codec = CodecRegistry::with_defaults().make(expected.codec);
    const auto coded = coded_bytes(*codec, tensor);
    const Tensor back = decoded_from(*codec, coded, tensor);
    EXPECT_EQ(digest_of(coded.data(), coded.size()), expected.coded) << expected.codec;
    EXPECT_EQ(digest_of(back.data(), back.packed_bytes()), expected.decoded) << expected.codec;
  }
}

// ---- Registry.

TEST(CodecRegistry, NamesWhatItKnows) {
  auto registry = CodecRegistry::with_defaults();
  EXPECT_EQ(registry.make("raw"), nullptr);
  EXPECT_EQ(registry.names(), (std::vector<std::string>{"bf16", "f16", "f32", "int2", "int3", "int4", "int5", "int6",
                                                        "int7", "int8", "jpeg", "raw", "transform", "u8", "webp"}));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "unknown codec 'zip'; expected one of: bf16, f16,",
                     [&] { (void)registry.make("zip:9"); }));
  registry.add("zip", [&](const std::string& parameters, const CodecTables&) {
    EXPECT_EQ(parameters, "9");
    return registry.make("f16");
  });
  EXPECT_NE(registry.make("zip:9"), nullptr);
  const auto none = [](const std::string&, const CodecTables&) { return nullptr; };
  for (const char* wrong : {"", "raw", "a:b"}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "name", [&] { registry.add(wrong, none); }));
  }
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "empty", [&] { registry.add("a", {}); }));
  registry.add("a", none);
  EXPECT_TRUE(throws(ErrorCode::internal, "gave none", [&] { (void)registry.make("a"); }));
}

TEST(CodecRegistry, ChecksParameters) {
  const auto registry = CodecRegistry::with_defaults();
  const std::vector<std::pair<const char*, const char*>> wrong{
      {"f16:fast", "found 'fast', expected KEY=VALUE"},
      {"f16:per=channel", "unknown parameter per; it takes none"},
      {"int8:per=row", "per is 'row', expected one of: tensor, channel"},
      {"int8:per=channel;per=tensor", "per is there twice"},
      {"int8:=1", "expected KEY=VALUE"},
      {"int4:bits=3", "unknown parameter bits; expected one of: per"},
      {"f32:lossless=gzip", "lossless is 'gzip', expected one of: lz4, zstd"},
      {"f32:shuffle=byte", "lossless= is missing"},
      {"f32:lossless=lz4;level=2", "level is of lossless=zstd"},
      {"f32:lossless=zstd;level=99", "level is '99', expected a whole number from 1 to 19"},
      {"f32:lossless=zstd;shuffle=word", "shuffle is 'word', expected one of: byte, bit"},
  };
  for (const auto& [name, message] : wrong) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, message, [&, asked = name] { (void)registry.make(asked); }))
        << name;
  }
}

// ---- Values.

bool is_encoded(const Value& value) {
  return *value.get_if<Tuple>()->items[0].get_if<bool>();
}

TEST(EncodedValues, ComeBackInOrderWithWhatIsNotEncoded) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const Tensor halves = tensor_of(std::vector<float>(40, -0.5F), {40});
  const std::vector<Value> values{halves, std::int64_t{5}, List{{tensor_of({1}, {1})}}, Tensor::empty(DType::i64, {0}),
                                  None{}};
  auto encoded = encode_values(*codec, values).values;
  EXPECT_TRUE(is_encoded(encoded[0]));
  const auto back = decode_values(*codec, std::move(encoded));
  ASSERT_EQ(back.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(back[i], values[i])) << i;
}

TEST(EncodedValues, AreNeverLargerThanWhatTheyStandFor) {
  const auto codec = CodecRegistry::with_defaults().make("int8");
  const auto encoded = encode_values(*codec, {tensor_of({1, 2}, {2}), tensor_of(random_floats(100), {100})}).values;
  EXPECT_FALSE(is_encoded(encoded[0]));
  EXPECT_TRUE(is_encoded(encoded[1]));
}

/// A later stage may write through one view and read through the other.
TEST(EncodedValues, LeaveTensorsThatShareAStorageAlone) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const Tensor whole = tensor_of(random_floats(80), {80});
  Tensor half = whole;
  half.sizes = {40};
  const auto encoded = encode_values(*codec, {whole, half, tensor_of(random_floats(80), {80})}).values;
  EXPECT_FALSE(is_encoded(encoded[0]));
  EXPECT_FALSE(is_encoded(encoded[1]));
  EXPECT_TRUE(is_encoded(encoded[2]));
}

/// A grey picture that stands for three channels, a bias for all rows.
TEST(EncodedValues, HaveEachElementOnce) {
  const auto numbers = random_floats(64);
  const Tensor expanded = tensor_of(numbers, {1, 3, 8, 8}, {64, 0, 8, 1});
  const auto codec = CodecRegistry::with_defaults().make("int8");
  const auto encoded = encode_values(*codec, {expanded}).values;
  ASSERT_TRUE(is_encoded(encoded[0]));
  EXPECT_LT(encoded[0].get_if<Tuple>()->items[1].tensor().packed_bytes(), 100U);
  const Tensor back = decode_values(*codec, encoded).front().tensor();
  EXPECT_EQ(back.strides, expanded.strides);
  EXPECT_EQ(back.sizes, expanded.sizes);
  const auto expected = elements_of(expanded);
  const auto found = elements_of(back);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 0.02);
}

TEST(EncodedValues, LeaveWideGapsAndOverlapsAlone) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const Tensor column = tensor_of(random_floats(100), {2}, {99});
  const Tensor windows = tensor_of(random_floats(100), {50, 50}, {1, 1});
  const Tensor other = Tensor::empty(DType::f64, {100});
  for (const Value& value : encode_values(*codec, {column, windows, other}).values) EXPECT_FALSE(is_encoded(value));
}

Value encoded_as(const std::vector<unsigned>& bytes) {
  Tensor tensor = Tensor::empty(DType::u8, {static_cast<std::int64_t>(bytes.size())});
  std::transform(bytes.begin(), bytes.end(), tensor.data(), [](unsigned byte) { return static_cast<std::byte>(byte); });
  return Tuple{{true, std::move(tensor)}};
}

TEST(EncodedValues, CannotBeMadeToTakeMoreThanAllowed) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  auto some = encode_values(*codec, {tensor_of(random_floats(1000), {1000})}).values;
  EXPECT_EQ(decode_values(*codec, some, 4000).size(), 1U);
  EXPECT_TRUE(throws(ErrorCode::too_large, "more than 3999", [&] { (void)decode_values(*codec, some, 3999); }));
  some.push_back(some.front());
  EXPECT_TRUE(throws(ErrorCode::too_large, "more than 7999", [&] { (void)decode_values(*codec, some, 7999); }));
  // f32 [2^40, 1] with strides [0, 1]: one element, which whoever copies it takes 2^42 bytes for.
  const Value expanded = encoded_as({0, 0, 0, 136, 2, 128, 128, 128, 128, 128, 32, 1, 0, 1, 11});
  EXPECT_TRUE(throws(ErrorCode::too_large, "decode to more", [&] { (void)decode_values(*codec, {expanded}); }));
}

/// Decodes what int8 wrote, and notes where it lay.
class Watched final : public Codec {
 public:
  Watched(std::shared_ptr<const Codec> inner, const std::byte*& seen) : inner_(std::move(inner)), seen_(seen) {}
  bool takes(const Tensor& tensor) const noexcept override { return inner_->takes(tensor); }
  std::size_t max_coded_bytes(const Tensor& tensor) const override { return inner_->max_coded_bytes(tensor); }
  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    return inner_->encode(tensor, coded);
  }
  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    seen_ = coded.data();
    inner_->decode(coded, tensor);
  }

 private:
  const std::shared_ptr<const Codec> inner_;
  const std::byte*& seen_;
};

TEST(Values, AreDecodedFromACopyOfBytesThatAnotherProcessCanChange) {
  const std::byte* seen = nullptr;
  const Watched codec(CodecRegistry::with_defaults().make("int8"), seen);
  Tensor plain = Tensor::empty(DType::f32, {1000});
  std::fill_n(reinterpret_cast<float*>(plain.data()), 1000, 0.5F);
  auto values = encode_values(codec, {plain}).values;
  auto coded = values[0].get_if<Tuple>()->items[1].tensor();
  const auto expected = decode_values(codec, values);
  EXPECT_EQ(seen, coded.data());
  coded.storage = Storage::adopt_foreign(coded.storage.data(), coded.storage.size_bytes(), coded.storage.owner());
  const auto decoded = decode_values(codec, {Value(Tuple{{true, coded}})});
  EXPECT_NE(seen, coded.data());
  EXPECT_TRUE(bit_identical(decoded[0], expected[0]));
  EXPECT_FALSE(decoded[0].tensor().storage.is_foreign());
}

TEST(EncodedValues, AreChecked) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const std::vector<std::pair<Value, const char*>> wrong{
      {Value(1), "expected (encoded, value)"},
      {Value(Tuple{}), "expected (encoded, value)"},
      {Value(Tuple{{1, 2}}), "expected (encoded, value)"},
      {Value(List{{false, 1}}), "expected (encoded, value)"},
      {Value(Tuple{{true, None{}}}), "expected a tensor"},
      {Value(Tuple{{true, tensor_of({1}, {1})}}), "expected bytes"},
      {encoded_as({}), "expected bytes"},
      {encoded_as({9}), "longer than all of it"},
      {encoded_as({8, 1, 4, 1}), "ends early"},
      {encoded_as({99, 0, 2}), "dtype 99 is none"},
      {encoded_as({8, 9, 2}), "9 dimensions, at most 8"},
      {encoded_as({8, 1, 1, 7, 4}), "1 bytes behind its shape"},
      {encoded_as({8, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 12}), "63 bits"},
      {encoded_as({8, 2, 255, 255, 255, 255, 255, 255, 255, 127, 255, 1, 12}), "63 bits"},
      {encoded_as({4, 1, 1, 3}), "which the codec does not take"},
      {encoded_as({136, 1, 2, 99, 4}), "which the codec does not take"},
      {encoded_as({8, 1, 1, 3}), "neither 0 nor 1"},
      {encoded_as({0, 8, 1, 1, 3}), "found 0 bytes, expected 2"},
  };
  for (const auto& [value, message] : wrong) {
    EXPECT_TRUE(throws(ErrorCode::corrupt, message, [&, bad = value] { (void)decode_values(*codec, {bad}); }))
        << message;
  }
}

}  // namespace
}  // namespace splitnet
