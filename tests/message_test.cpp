// SPDX-License-Identifier: Apache-2.0
// Messages that arrive as they were sent. message_fault_test.cpp has those that do not.
#include "splitnet/message.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "error_of.hpp"
#include "message_samples.hpp"

namespace splitnet {
namespace {

using testing::counted_tensor;
using testing::encoded_bytes;
using testing::reply_with;
using testing::same_message;
using testing::throws;
using testing::view_of;

Message sent(const Message& message) {
  return decode(encoded_bytes(message));
}

Tensor sent(const Tensor& tensor) {
  return sent(reply_with({tensor})).values.at(0).tensor();
}

std::size_t place_in_line(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data()) % tensor_alignment_bytes;
}

TEST(Message, SamplesArriveAsTheyWere) {
  for (const auto& [name, message] : testing::sample_messages()) {
    for (const bool checksum : {true, false}) {
      EXPECT_TRUE(same_message(decode(encoded_bytes(message, checksum)), message)) << name;
    }
  }
}

TEST(Message, KnowsItsSizeBeforeItIsEncoded) {
  for (const auto& [name, message] : testing::sample_messages()) {
    EXPECT_EQ(encoded_size_bytes(message), encode(message).size_bytes) << name;
  }
  const auto base = counted_tensor(DType::f32, {1000});
  for (const auto& view :
       {view_of(base, {10}, {100}), view_of(base, {30, 7}, {31, 2}, 5), view_of(base, {50}, {0}, 3)}) {
    const auto message = reply_with({Value(1), view, counted_tensor(DType::u8, {77})});
    EXPECT_EQ(encoded_size_bytes(message), encode(message).size_bytes) << describe(view);
  }
}

TEST(Message, KnowsThatItIsTooLargeBeforeItIsEncoded) {
  const auto message = reply_with({counted_tensor(DType::u8, {1000})});
  MessageLimits limits;
  limits.max_message_bytes = 1000;
  EXPECT_TRUE(throws(ErrorCode::too_large, "at most 1000", [&] { (void)encoded_size_bytes(message, limits); }));
}

TEST(Message, EveryDtypeArrives) {
  for (unsigned number = 0; number < 256; ++number) {
    if (!is_dtype(number)) continue;
    const auto tensor = counted_tensor(static_cast<DType>(number), {3, 5});
    const auto arrived = sent(tensor);
    EXPECT_TRUE(bit_identical(arrived, tensor)) << to_string(tensor.dtype);
    EXPECT_EQ(arrived.strides, tensor.strides);
  }
}

TEST(Message, NanAndInfinityArriveBitByBit) {
  const std::uint32_t bits[] = {0x7FC00001, 0xFFC12345, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000};
  Tensor tensor = Tensor::empty(DType::f32, {6});
  std::memcpy(tensor.data(), bits, sizeof(bits));
  EXPECT_TRUE(bit_identical(sent(tensor), tensor));
  std::uint64_t nan_bits = 0x7FF4000000000123ULL;
  double signalling = 0;
  std::memcpy(&signalling, &nan_bits, sizeof(signalling));
  const auto message = reply_with({signalling, -0.0, -std::numeric_limits<double>::infinity()});
  EXPECT_TRUE(same_message(sent(message), message));
}

TEST(Message, ScalarTensorsAndEmptyOnesKeepTheirShape) {
  EXPECT_TRUE(bit_identical(sent(counted_tensor(DType::f64, {})), counted_tensor(DType::f64, {})));
  Tensor empty = counted_tensor(DType::f32, {2, 0, 3});
  empty.strides = {7, 5, 1};
  empty.offset_bytes = 400;  // Frameworks let an empty view point anywhere.
  const auto arrived = sent(empty);
  EXPECT_EQ(arrived.sizes, empty.sizes);
  EXPECT_EQ(arrived.strides, empty.strides);
  EXPECT_EQ(arrived.element_count(), 0);
}

TEST(Message, StridesOfDimensionsOfOneElementAreKept) {
  const auto tensor = view_of(counted_tensor(DType::f32, {6}), {1, 6, 1}, {999, 1, 12345});
  const auto arrived = sent(tensor);
  EXPECT_EQ(arrived.strides, tensor.strides);
  EXPECT_TRUE(bit_identical(arrived, tensor));
}

TEST(Message, ChannelsLastStaysChannelsLastAndIsNotCopied) {
  const auto image = counted_tensor(DType::f32, {2, 4, 4, 3});
  const auto tensor = view_of(image, {2, 3, 4, 4}, {48, 1, 12, 3});
  const auto encoded = encode(reply_with({tensor}));
  EXPECT_TRUE(std::any_of(encoded.buffers.begin(), encoded.buffers.end(),
                          [&](auto buffer) { return buffer.data() == tensor.data(); }));
  const auto arrived = sent(tensor);
  EXPECT_EQ(arrived.strides, tensor.strides);
  EXPECT_TRUE(bit_identical(arrived, tensor));
}

TEST(Message, AnExpandedTensorTravelsOnce) {
  const auto tensor = view_of(counted_tensor(DType::f32, {4}), {100000, 4}, {0, 1});
  EXPECT_LT(encode(reply_with({tensor})).size_bytes, 400U);
  const auto arrived = sent(tensor);
  EXPECT_EQ(arrived.strides, tensor.strides);
  EXPECT_EQ(arrived.storage.size_bytes(), 16U);
  EXPECT_TRUE(bit_identical(arrived, tensor));
}

TEST(Message, GapsDoNotTravelAndComeBackAsZeros) {
  const auto column = view_of(counted_tensor(DType::i32, {1000, 100}), {1000}, {100}, 42);
  EXPECT_LT(encode(reply_with({column})).size_bytes, 5000U);
  const auto arrived = sent(column);
  EXPECT_EQ(arrived.strides, column.strides);
  EXPECT_TRUE(bit_identical(arrived, column));
  EXPECT_EQ(place_in_line(arrived), place_in_line(column));
  EXPECT_EQ(arrived.data()[4], std::byte{0});
}

TEST(Message, APackedTensorMayRepeatAndPermute) {
  const auto base = counted_tensor(DType::i16, {4, 10, 6});
  // Strides out of order, one of them 0, gaps between rows.
  const auto tensor = view_of(base, {3, 2, 4, 5}, {1, 0, 60, 6}, 8);
  const auto arrived = sent(tensor);
  EXPECT_EQ(arrived.strides, tensor.strides);
  EXPECT_TRUE(bit_identical(arrived, tensor));
}

TEST(Message, OverlappingViewsStillShareTheirBytes) {
  const auto base = counted_tensor(DType::f32, {8, 8});
  const auto rows = view_of(base, {2, 8}, {8, 1}, 8);
  const auto column = view_of(base, {8}, {8}, 3);
  const auto message = sent(reply_with({rows, List{{base}}, column}));
  const auto& got_rows = message.values[0].tensor();
  const auto& got_base = message.values[1].get_if<List>()->items[0].tensor();
  const auto& got_column = message.values[2].tensor();
  EXPECT_EQ(got_rows.storage, got_base.storage);
  EXPECT_EQ(got_rows.data(), got_base.data() + 32);
  EXPECT_EQ(got_column.data(), got_base.data() + 12);
  got_rows.data()[0] = std::byte{0xEE};
  EXPECT_EQ(got_base.data()[32], std::byte{0xEE});
  EXPECT_LT(encode(reply_with({rows, List{{base}}, column})).size_bytes, 256U + 320U);
}

TEST(Message, InterleavedViewsShareAStorageToo) {
  const auto base = counted_tensor(DType::f32, {16});
  const auto even = view_of(base, {8}, {2}, 0);
  const auto odd = view_of(base, {8}, {2}, 1);
  const auto message = sent(reply_with({even, odd}));
  EXPECT_EQ(message.values[0].tensor().data() + 4, message.values[1].tensor().data());
  EXPECT_TRUE(bit_identical(message.values[1].tensor(), odd));
}

TEST(Message, NeighboursThatOnlyTouchStaySeparate) {
  const auto base = counted_tensor(DType::f32, {2, 16});
  const auto message = sent(reply_with({view_of(base, {16}, {1}, 0), view_of(base, {16}, {1}, 16)}));
  EXPECT_FALSE(message.values[0].tensor().storage == message.values[1].tensor().storage);
}

TEST(Message, OneTensorTwiceIsSentOnce) {
  const auto tensor = counted_tensor(DType::u8, {1000});
  const auto message = reply_with({tensor, tensor});
  EXPECT_LT(encode(message).size_bytes, 1500U);
  const auto arrived = sent(message);
  EXPECT_EQ(arrived.values[0].tensor().data(), arrived.values[1].tensor().data());
}

TEST(Message, AddressesKeepTheirPlaceInACacheLine) {
  const auto base = counted_tensor(DType::f32, {300});
  for (std::size_t first = 0; first < 20; ++first) {
    const auto dense = view_of(base, {64}, {1}, first);
    const auto strided = view_of(base, {64}, {3}, first);
    EXPECT_EQ(place_in_line(sent(dense)), place_in_line(dense)) << first;
    EXPECT_EQ(place_in_line(sent(strided)), place_in_line(strided)) << first;
  }
}

TEST(Message, NoBytesOutsideOfTheTensorTravel) {
  Tensor base = Tensor::empty(DType::u8, {256});
  std::memset(base.data(), 0xAA, 256);
  const auto view = view_of(base, {10}, {1}, 37);
  const auto bytes = encoded_bytes(reply_with({view}), false);
  EXPECT_EQ(std::count(bytes.begin() + message_header_bytes, bytes.end(), std::byte{0xAA}), 10);
}

TEST(Message, DecodingFromAStorageCopiesNothing) {
  const auto tensor = counted_tensor(DType::f32, {100});
  const Storage joined = encode(reply_with({tensor, counted_tensor(DType::i8, {3})})).join();
  std::span<const std::byte, message_header_bytes> header(joined.data(), message_header_bytes);
  // A header is as long as the alignment, so the body of a joined message is aligned.
  const Storage body =
      Storage::adopt(joined.data() + message_header_bytes, joined.size_bytes() - message_header_bytes, joined.owner());
  EXPECT_EQ(decode_header(header).body_bytes(), body.size_bytes());
  const auto message = decode(header, body);
  for (const auto& value : message.values) {
    const auto* data = value.tensor().data();
    EXPECT_GE(data, body.data());
    EXPECT_LT(data, body.data() + body.size_bytes());
    EXPECT_EQ(value.tensor().storage.owner(), body.owner());
  }
  EXPECT_TRUE(bit_identical(message.values[0].tensor(), tensor));
}

TEST(Message, EqualMessagesGiveEqualBytes) {
  const auto first = encoded_bytes(testing::sample_reply());
  const auto keeps_other_addresses_busy = testing::sample_reply();
  EXPECT_EQ(encoded_bytes(testing::sample_reply()), first);
}

TEST(Message, TimeLeftIsNeverNegative) {
  auto message = testing::sample_cancel();
  EXPECT_EQ(sent(message).time_left, std::nullopt);
  message.time_left = std::chrono::nanoseconds(-5);
  EXPECT_EQ(sent(message).time_left, std::chrono::nanoseconds(0));
  message.time_left = std::chrono::nanoseconds::max();
  EXPECT_EQ(sent(message).time_left, std::chrono::nanoseconds::max());
}

TEST(Message, ErrorsAndCancelsCarryNoValues) {
  auto message = testing::sample_error();
  message.values = {counted_tensor(DType::f32, {10})};
  EXPECT_TRUE(sent(message).values.empty());
}

TEST(Message, ErrorsComeOutAsTheyWentIn) {
  const auto message = sent(Message::make_error(Error(ErrorCode::too_large, "too much")));
  EXPECT_TRUE(throws(ErrorCode::too_large, "too much", [&] { message.throw_if_error(); }));
  EXPECT_NO_THROW(testing::sample_reply().throw_if_error());
}

TEST(Message, ALongErrorTextIsCutBetweenCharacters) {
  std::string text;
  while (text.size() < 10000) text += "€";
  const auto arrived = sent(Message::make_error(Error(ErrorCode::internal, text))).error_message;
  EXPECT_GT(arrived.size(), 4000U);
  EXPECT_EQ(arrived.size() % 3, 0U);
  EXPECT_EQ(text.compare(0, arrived.size(), arrived), 0);
}

TEST(Message, ACutTakesFewBytesHoweverManyLayersItHas) {
  Message message = testing::sample_prepare();
  LayerSet layers(10000);
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i] = i;
  message.request.stage.cuts = {layers};
  EXPECT_LT(encode(message).size_bytes, 200U);
  EXPECT_EQ(sent(message).request, message.request);
}

TEST(Message, IsWrittenInTheOldestVersionThatCanSayIt) {
  for (const auto& [name, message] : testing::sample_messages()) {
    const bool is_newer = name == "coded" || name == "profile";
    const bool is_newest = name == "forwarded" || name == "traced" || name == "refusal";
    const int version = is_newest ? 4 : name == "hello" ? 3 : is_newer ? 2 : 1;
    EXPECT_EQ(encoded_bytes(message)[4], static_cast<std::byte>(version)) << name;
  }
}

// ---- What can't be sent.

TEST(Message, AnUnsortedCutIsRefused) {
  Message message = testing::sample_prepare();
  message.request.stage.cuts = {{2, 1}};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "ascending", [&] { (void)encode(message); }));
}

TEST(Message, ATensorBeyondItsStorageIsRefused) {
  auto tensor = counted_tensor(DType::f32, {4});
  tensor.sizes = {5};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "20 bytes", [&] { (void)encode(reply_with({tensor})); }));
}

TEST(Message, AMisalignedTensorIsRefused) {
  auto tensor = counted_tensor(DType::f32, {4});
  tensor.sizes = {3};
  tensor.offset_bytes = 2;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "multiple", [&] { (void)encode(reply_with({tensor})); }));
}

TEST(Message, ATensorAsDictKeyIsRefused) {
  const Dict dict{{{counted_tensor(DType::f32, {1}), 1}}};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "key", [&] { (void)encode(reply_with({dict})); }));
}

TEST(Message, TheSenderKeepsTheLimitsOfTheReader) {
  const auto refuses = [](const Message& message, const MessageLimits& limits) {
    return throws(ErrorCode::too_large, "", [&] { (void)encode(message, true, limits); });
  };
  const auto tensor = counted_tensor(DType::u8, {1000});
  EXPECT_TRUE(refuses(reply_with({tensor}), {.max_message_bytes = 1000}));
  EXPECT_TRUE(refuses(reply_with({std::string(1000, 'x')}), {.max_metadata_bytes = 1000}));
  EXPECT_TRUE(refuses(reply_with({tensor, tensor}), {.max_tensors = 1}));
  EXPECT_TRUE(refuses(reply_with({counted_tensor(DType::u8, {1, 1, 1})}), {.max_rank = 2}));
  EXPECT_TRUE(refuses(reply_with({List{{List{{List{}}}}}}), {.max_depth = 2}));
  EXPECT_TRUE(refuses(reply_with({1, 2, 3}), {.max_values = 2}));
  const auto expanded = view_of(tensor, {50001}, {0});
  EXPECT_TRUE(refuses(reply_with({expanded}), {.max_message_bytes = 50000}));
  // Small on the wire, large when unpacked.
  const auto sparse = view_of(counted_tensor(DType::u8, {100000}), {2}, {90000});
  EXPECT_TRUE(refuses(reply_with({sparse}), {.max_message_bytes = 50000}));
}

// ---- Random messages with a fixed seed.

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : random_(seed) {}

  Message message() {
    Message message = reply_with({});
    const auto count = below(6);
    for (std::size_t i = 0; i < count; ++i) message.values.push_back(value(3));
    return message;
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }

  Value value(std::size_t depth) {
    switch (below(depth == 0 ? 6 : 9)) {
      case 0: return below(2) == 0 ? Value(None{}) : Value(Uninitialized{});
      case 1: return below(2) == 0;
      case 2: return static_cast<std::int64_t>(random_());
      case 3: return std::string(below(20), 'x');
      case 4:
      case 5: return tensor();
      case 6: return List{items(depth)};
      case 7: return Tuple{items(depth)};
      default: break;
    }
    Dict dict;
    for (auto& item : items(depth)) dict.items.emplace_back(static_cast<std::int64_t>(random_()), std::move(item));
    return dict;
  }

  std::vector<Value> items(std::size_t depth) {
    std::vector<Value> items(below(4));
    for (auto& item : items) item = value(depth - 1);
    return items;
  }

  /// A random view of one of a few storages, so that some overlap.
  Tensor tensor() {
    while (bases_.size() < 3) bases_.push_back(counted_tensor(DType::u8, {4096}));
    Tensor tensor = bases_[below(bases_.size())];
    tensor.dtype = static_cast<DType>(1 + below(9));
    const auto item_bytes = size_bytes(tensor.dtype);
    tensor.sizes.clear();
    tensor.strides.clear();
    const auto rank = below(5);
    for (std::size_t i = 0; i < rank; ++i) {
      tensor.sizes.push_back(static_cast<std::int64_t>(below(5)));
      tensor.strides.push_back(static_cast<std::int64_t>(below(24)));
    }
    tensor.offset_bytes = below(100) * item_bytes;
    return tensor;
  }

  std::mt19937_64 random_;
  std::vector<Tensor> bases_;
};

/// Pairs of tensors that share their first byte do so on the other side as well, and no others.
void expect_same_aliasing(const Message& before, const Message& after) {
  std::vector<Tensor> a, b;
  for (const auto& value : before.values) for_each_tensor(value, [&](const Tensor& t) { a.push_back(t); });
  for (const auto& value : after.values) for_each_tensor(value, [&](const Tensor& t) { b.push_back(t); });
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].strides, b[i].strides);
    if (a[i].element_count() == 0) continue;
    ASSERT_EQ(place_in_line(a[i]), place_in_line(b[i]));
    for (std::size_t j = 0; j < i; ++j) {
      if (a[j].element_count() == 0) continue;
      const bool overlap =
          a[i].data() < a[j].data() + a[j].span_bytes() && a[j].data() < a[i].data() + a[i].span_bytes();
      if (overlap) {
        ASSERT_EQ(a[i].data() - a[j].data(), b[i].data() - b[j].data());
      }
    }
  }
}

TEST(Message, RandomMessagesArriveAsTheyWere) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const auto message = Maker(seed).message();
    const auto arrived = decode(encoded_bytes(message, seed % 2 == 0));
    ASSERT_TRUE(same_message(arrived, message)) << "seed " << seed;
    expect_same_aliasing(message, arrived);
    ASSERT_TRUE(same_message(sent(arrived), message)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace splitnet
