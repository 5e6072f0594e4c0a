// SPDX-License-Identifier: Apache-2.0
#include "splitnet/encoded_picture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "damaged_bytes.hpp"
#include "error_of.hpp"
#include "picture_samples.hpp"

namespace splitnet {
namespace {

using testing::file_of;
using testing::smooth_picture;
using testing::throws;
using Bytes = std::vector<std::byte>;

const std::string plain = "mean=0;std=1";
const std::string scaled = "mean=0.485,0.456,0.406;std=0.229,0.224,0.225";

Bytes from_hexadecimal(const std::string& digits) {
  Bytes bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

/// 8 × 8 grey pixels of 77 in several scans, as libjpeg-turbo writes them.
const std::string progressive_file =
    "ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c"
    "0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc2000b080008000801011100ffc400140001"
    "00000000000000000000000000000007ffda00080101000000013bffc40014100100000000000000000000000000000000ffda000801"
    "01000105027fffc40014100100000000000000000000000000000000ffda0008010100063f027fffc400141001000000000000000000"
    "00000000000000ffda0008010100013f217fffda00080101000000107fffc40014100100000000000000000000000000000000ffda00"
    "08010100013f107fffd9";

/// Nothing but a frame of four components and the beginning of a scan.
const std::string cmyk_header = "ffd8ffc00014080008000804011100021100031100041100ffda000e040100020003000400003f00";

TEST(EncodedPicture, SaysWhatTheFileSays) {
  const auto jpeg = EncodedPicture::of(file_of("jpeg", smooth_picture(3, 24, 40)), scaled);
  EXPECT_EQ(jpeg.codec, "jpeg:" + scaled);
  EXPECT_EQ(jpeg.width, 40U);
  EXPECT_EQ(jpeg.height, 24U);
  EXPECT_EQ(jpeg.channels, 3U);
  EXPECT_EQ(EncodedPicture::of(file_of("jpeg", smooth_picture(1, 8, 16)), plain).channels, 1U);
  const auto webp = EncodedPicture::of(file_of("webp", smooth_picture(3, 24, 40)), plain);
  EXPECT_EQ(webp.codec, "webp:" + plain);
  EXPECT_EQ(webp.height, 24U);
}

/// The file's own quality does not matter: nothing is encoded.
TEST(EncodedPicture, DecodesAsTheCodecDoes) {
  const Tensor picture = smooth_picture(3, 24, 40);
  for (const std::string format : {"jpeg", "webp"}) {
    const std::string coder = format + ":" + plain + ";quality=20";
    const Tensor expected = testing::through(coder, picture);
    const Tensor found = EncodedPicture::of(file_of(format + ":quality=20", picture), plain).decode(3);
    EXPECT_TRUE(bit_identical(found, expected)) << format;
    EXPECT_TRUE(found.is_contiguous());
    EXPECT_FALSE(bit_identical(testing::through(format + ":" + plain, picture), expected)) << "too easy";
  }
}

TEST(EncodedPicture, KnowsMeanAndScale) {
  const Bytes file = file_of("jpeg", smooth_picture(3, 8, 8));
  const auto numbers = testing::elements_of(EncodedPicture::of(file, plain).decode(3));
  const auto shifted = testing::elements_of(EncodedPicture::of(file, scaled).decode(3));
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(shifted[i], (numbers[i] - 0.485F) / 0.229F);
}

TEST(EncodedPicture, GreyStandsForThreeEqualChannelsButColoursForNoGrey) {
  const auto grey = EncodedPicture::of(file_of("jpeg", smooth_picture(1, 8, 16)), plain);
  const auto one = testing::elements_of(grey.decode(1));
  const auto three = testing::elements_of(grey.decode(3));
  ASSERT_EQ(three.size(), 3 * one.size());
  for (std::size_t i = 0; i < three.size(); ++i) EXPECT_EQ(three[i], one[i % one.size()]);
  const auto colour = EncodedPicture::of(file_of("jpeg", smooth_picture(3, 8, 16)), plain);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "found a picture of 16×8 in 3 channels, decoding takes 16×8 in 1",
                     [&] { (void)colour.decode(1); }));
  const auto other = EncodedPicture::of(file_of("jpeg", smooth_picture(1, 8, 16)), scaled);
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "does not take tensor f32[1, 1, 8, 16]", [&] { (void)other.decode(1); }));
}

TEST(EncodedPicture, TakesProgressiveFilesAndRefusesCmyk) {
  const auto progressive = EncodedPicture::of(from_hexadecimal(progressive_file), plain);
  for (const float level : testing::elements_of(progressive.decode(1))) EXPECT_EQ(level, 77 / 255.0F);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "jpeg: found CMYK colours",
                     [&] { (void)EncodedPicture::of(from_hexadecimal(cmyk_header), plain); }));
}

TEST(EncodedPicture, RefusesAnimations) {
  // RIFF, a VP8X chunk whose flags say animation, 8 × 8 pixels.
  const unsigned char header[] = {'R', 'I', 'F', 'F', 22, 0, 0, 0, 'W', 'E', 'B', 'P', 'V', 'P', '8',
                                  'X', 10,  0,   0,   0,  2, 0, 0, 0,   7,   0,   0,   7,   0,   0};
  Bytes file(sizeof header);
  std::memcpy(file.data(), header, sizeof header);
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "webp: found an animation", [&] { (void)EncodedPicture::of(file, plain); }));
}

TEST(EncodedPicture, RefusesWhatIsNoPicture) {
  const auto refused = [](ErrorCode code, const char* words, const Bytes& file, const std::string& pixels = plain) {
    EXPECT_TRUE(throws(code, words, [&] { (void)EncodedPicture::of(file, pixels); })) << words;
  };
  refused(ErrorCode::invalid_argument, "of 0 bytes: found neither JPEG nor WebP", {});
  refused(ErrorCode::invalid_argument, "of 9 bytes: found neither", Bytes(9));
  const Bytes file = file_of("jpeg", smooth_picture(3, 8, 8));
  refused(ErrorCode::corrupt, "jpeg: ", Bytes(file.begin(), file.begin() + 40));
  refused(ErrorCode::invalid_argument, "no mean=", file, "");
  refused(ErrorCode::invalid_argument, "unknown parameter quality", file, plain + ";quality=3");
  const Bytes webp = file_of("webp", smooth_picture(3, 8, 8));
  refused(ErrorCode::corrupt, "webp: ", Bytes(webp.begin(), webp.begin() + 14));
}

/// The header is believed by nobody: sizes are compared with what is expected before memory is taken.
TEST(EncodedPicture, TakesNoMemoryForWhatAHeaderClaims) {
  Bytes file = file_of("jpeg", smooth_picture(3, 8, 8));
  const std::byte frame[] = {std::byte{0xff}, std::byte{0xc0}};
  const auto at = std::search(file.begin(), file.end(), std::begin(frame), std::end(frame));
  ASSERT_NE(at, file.end());
  for (const std::ptrdiff_t place : {5, 7}) at[place] = std::byte{0x7f};  // Height and width: 32,520.
  const auto huge = EncodedPicture::of(file, plain);
  EXPECT_GT(huge.width, 32'000U);
  EXPECT_TRUE(throws(ErrorCode::too_large, "decode to more than", [&] { (void)huge.decode(3); }));
}

TEST(EncodedPicture, SurvivesDamagedFiles) {
  std::mt19937 random(3);
  std::size_t refused = 0;
  for (const char* format : {"jpeg", "webp"}) {
    const Bytes good = file_of(format, smooth_picture(3, 24, 40));
    for (int round = 0; round < 300; ++round) {
      const auto bad = testing::damaged(good, round, random);
      try {
        const auto picture = EncodedPicture::of(bad, plain);
        if (picture.width * picture.height > 100'000) continue;
        (void)picture.decode(3);
      } catch (const Error& error) {
        ++refused;
        EXPECT_TRUE(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::invalid_argument) << error.what();
      }
    }
  }
  EXPECT_GT(refused, 200U);
}

TEST(EncodedPicture, GoesThroughAValue) {
  const auto picture = EncodedPicture::of(file_of("jpeg", smooth_picture(3, 8, 16)), scaled);
  const Value value = picture;
  const auto back = EncodedPicture::in(value);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->codec, picture.codec);
  EXPECT_EQ(back->file.storage, picture.file.storage) << "shared";
  EXPECT_EQ(back->width, 16U);
  for (const Value& other : {Value(1), Value(picture.file), Value(Tuple{{"jpeg:", 1}}), Value(Tuple{{picture.file}})}) {
    EXPECT_FALSE(EncodedPicture::in(other).has_value());
  }
  const Value wrong = Tuple{{"webp:" + scaled, picture.file}};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument,
                     "for codec jpeg:" + scaled + ", expected webp:", [&] { (void)EncodedPicture::in(wrong); }));
}

}  // namespace
}  // namespace splitnet
