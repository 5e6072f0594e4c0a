// SPDX-License-Identifier: Apache-2.0
// Messages that are damaged, hostile or not messages at all: a typed error and bounded memory.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "error_of.hpp"
#include "hand_written_message.hpp"
#include "message_samples.hpp"
#include "message_wire.hpp"
#include "splitnet/message.hpp"

namespace splitnet {
namespace {

using testing::counted_tensor;
using testing::encoded_bytes;
using testing::error_of;
using testing::HandWritten;
using testing::same_message;
using testing::store;
using testing::throws;
using testing::with_fitting_header_checksum;
using Bytes = std::vector<std::byte>;

::testing::AssertionResult rejected(ErrorCode code, const std::string& words, const Bytes& bytes,
                                    const MessageLimits& limits = {}) {
  return throws(code, words, [&] { (void)decode(bytes, limits); });
}

TEST(MessageFault, HandWrittenMessagesAreTakenWhenTheyAreRight) {
  const auto bytes = HandWritten().storages({24}).u32(1).tensor(8, {2, 3}, {3, 1}).finish(24);
  EXPECT_EQ(decode(bytes).values.at(0).tensor().sizes, (std::vector<std::int64_t>{2, 3}));
}

// ---- The header. Faults 1, 6, 11.

TEST(MessageFault, HugeLengthsAreRejectedBeforeAnythingIsAllocated) {
  const auto good = encoded_bytes(testing::sample_request());
  for (const std::uint64_t length : {std::uint64_t{1} << 63, ~std::uint64_t{0}, std::uint64_t{1} << 40}) {
    auto bytes = good;
    store(bytes, 32, length);
    bytes = with_fitting_header_checksum(bytes);
    const auto header = std::span<const std::byte>(bytes).first<message_header_bytes>();
    EXPECT_TRUE(throws(ErrorCode::too_large, std::to_string(length), [&] { (void)decode_header(header); }));
  }
  auto bytes = good;
  store(bytes, 24, std::uint32_t{0xFFFFFFFF});
  EXPECT_TRUE(rejected(ErrorCode::too_large, "metadata", with_fitting_header_checksum(bytes)));
}

TEST(MessageFault, OtherProtocolsAreNamed) {
  for (const std::string text : {"GET / HTTP/1.1\r\n", "POST /infer HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n"}) {
    Bytes bytes(200);
    std::memcpy(bytes.data(), text.data(), text.size());
    EXPECT_TRUE(rejected(ErrorCode::corrupt, "HTTP", bytes));
    EXPECT_TRUE(rejected(ErrorCode::corrupt, "'" + text.substr(0, 4) + "'", bytes));
  }
  Bytes tls(200);
  tls[0] = std::byte{0x16};
  tls[1] = std::byte{0x03};
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "\\x16\\x03", tls));
}

TEST(MessageFault, OtherVersionsAndByteOrdersAreRejected) {
  auto bytes = encoded_bytes(testing::sample_request());
  store(bytes, 4, std::uint16_t{5});
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "version 5, expected 1 … 4", bytes));
  store(bytes, 4, std::uint16_t{0});
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "version 0", bytes));
  store(bytes, 4, std::uint16_t{0x0100});
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "version 256", bytes));
  std::memcpy(bytes.data(), "NLPS", 4);
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "byte order", bytes));
}

TEST(MessageFault, UnknownFieldsOfTheHeaderAreRejected) {
  const auto with = [](std::size_t at, std::uint8_t number) {
    auto bytes = encoded_bytes(testing::sample_cancel());
    store(bytes, at, number);
    return with_fitting_header_checksum(bytes);
  };
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "kind 0", with(6, 0)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "kind 5", with(6, 5)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "flags 3", with(7, 3)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "checksum", with(7, 0)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "reserved", with(30, 1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "payload", with(32, 1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "time left", with(16, 0xFE)));
}

// ---- Damage on the way. Faults 7, 8.

TEST(MessageFault, TruncationAtEveryByteIsRejected) {
  for (const auto& [name, message] : testing::sample_messages()) {
    const auto bytes = encoded_bytes(message);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
      ASSERT_TRUE(rejected(ErrorCode::corrupt, "", cut)) << name << " cut at " << length;
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    EXPECT_TRUE(rejected(ErrorCode::corrupt, "behind the header", longer));
  }
}

TEST(MessageFault, MetadataThatEndsEarlyIsRejectedEvenWithFittingChecksums) {
  for (const auto& [name, message] : testing::sample_messages()) {
    const auto bytes = encoded_bytes(message);
    const auto length = decode_header(std::span<const std::byte>(bytes).first<message_header_bytes>()).metadata_bytes;
    for (std::size_t kept = 0; kept < length; ++kept) {
      Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(message_header_bytes + kept));
      detail::repair_header(cut);
      ASSERT_TRUE(error_of([&] { (void)decode(cut); })) << name << " cut at " << kept;
    }
  }
}

TEST(MessageFault, EveryFlippedBitIsRejected) {
  for (const auto& [name, message] : testing::sample_messages()) {
    auto bytes = encoded_bytes(message);
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      const auto error = error_of([&] { (void)decode(bytes); });
      ASSERT_TRUE(error) << name << ", bit " << bit;
      ASSERT_TRUE(error->code() == ErrorCode::corrupt || (bit / 8 >= 4 && bit / 8 < 6)) << error->what();
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    }
  }
}

TEST(MessageFault, WithoutPayloadChecksumAFlippedBitChangesAtMostTensorBytes) {
  for (const auto& [name, message] : testing::sample_messages()) {
    auto bytes = encoded_bytes(message, false);
    const auto header = decode_header(std::span<const std::byte>(bytes).first<message_header_bytes>());
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      std::optional<Message> arrived;
      const auto error = error_of([&] { arrived = decode(bytes); });
      if (bit / 8 < message_header_bytes + header.metadata_bytes) {
        ASSERT_TRUE(error) << name << ", bit " << bit;
      } else if (arrived) {
        ASSERT_EQ(arrived->values.size(), message.values.size());
        arrived->values = message.values;
        ASSERT_TRUE(same_message(*arrived, message)) << name << ", bit " << bit;
      }
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    }
  }
}

TEST(MessageFault, RandomDamageBehindTheChecksumsNeverDoesHarm) {
  std::mt19937_64 random(1);
  const MessageLimits limits{.max_message_bytes = std::size_t{1} << 20};
  for (const auto& [name, message] : testing::sample_messages()) {
    const auto good = encoded_bytes(message);
    for (int round = 0; round < 3000; ++round) {
      auto bytes = good;
      for (std::size_t i = 0; i <= random() % 4; ++i) {
        bytes[random() % bytes.size()] = static_cast<std::byte>(random() % 3 == 0 ? 0xFF : random() % 256);
      }
      detail::repair_header(bytes);
      const auto error = error_of([&] { (void)encode(decode(bytes, limits)); });
      if (error) {
        ASSERT_NE(error->code(), ErrorCode::internal) << error->what();
      }
    }
  }
}

// ---- Tensors. Faults 2 to 6, 12.

TEST(MessageFault, ShapesThatWrapAreRejected) {
  const std::int64_t big = std::int64_t{1} << 32;
  const auto one = [](const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& strides) {
    return HandWritten().storages({64}).u32(1).tensor(8, sizes, strides).finish(64);
  };
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "63 bits", one({big, big}, {0, 0})));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "63 bits", one({big, big, 4}, {1, 1, 1})));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "63 bits", one({3, 3}, {INT64_MAX, INT64_MAX})));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "63 bits", one({2}, {INT64_MAX})));
  const auto empty = HandWritten().storages({}).u32(1).tensor(8, {big, big, 0}, {0, 0, 0}, ~0U).finish();
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "63 bits", empty));
}

TEST(MessageFault, NegativeSizesAndStridesAreRejected) {
  const auto one = [](std::int64_t size, std::int64_t stride) {
    return HandWritten().storages({64}).u32(1).tensor(8, {size}, {stride}).finish(64);
  };
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "size 0 is negative", one(-1, 1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "size 0 is negative", one(INT64_MIN, 1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "stride 0 is negative", one(2, -1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "no elements, but a place", one(0, 1)));
}

TEST(MessageFault, ARankOfAMillionIsRejected) {
  const auto bytes = HandWritten().storages({64}).u32(1).u8(7).u8(8).u32(1000000).u64(0).finish(64);
  EXPECT_TRUE(rejected(ErrorCode::too_large, "rank 1000000, at most 16", bytes));
}

TEST(MessageFault, AShapeLargerThanItsPayloadIsRejected) {
  const auto one = [](std::int64_t size, std::uint64_t offset, std::uint32_t storage = 0) {
    return HandWritten().storages({64}).u32(1).tensor(8, {size}, {1}, storage, offset).finish(64);
  };
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "68 bytes", one(17, 0)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "64 bytes from byte 4", one(16, 4)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "from byte", one(1, ~std::uint64_t{3})));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "storage 1 of 1", one(1, 0, 1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "used by no tensor", one(1, 0, ~0U)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "has no storage",
                       HandWritten().storages({}).u32(1).tensor(8, {1}, {1}, ~0U).finish()));
}

TEST(MessageFault, AnExpandedTensorBeyondTheLimitIsRejected) {
  const auto bytes = HandWritten().storages({4}).u32(1).tensor(8, {std::int64_t{1} << 40}, {0}).finish(4);
  EXPECT_TRUE(rejected(ErrorCode::too_large, "at most", bytes));
}

TEST(MessageFault, MisalignedOffsetsAreRejected) {
  const auto bytes = HandWritten().storages({64}).u32(1).tensor(8, {2}, {1}, 0, 2).finish(64);
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "multiple of its element size", bytes));
}

TEST(MessageFault, UnknownDtypesAreRejected) {
  for (const int dtype : {0, 11, 100, 255}) {
    const auto tag = static_cast<std::uint8_t>(dtype);
    const auto bytes = HandWritten().storages({64}).u32(1).tensor(tag, {1}, {1}).finish(64);
    EXPECT_TRUE(rejected(ErrorCode::incompatible, "dtype " + std::to_string(dtype), bytes));
  }
}

TEST(MessageFault, AMillionTensorsAreRejected) {
  HandWritten message;
  message.storages({4}).u32(1000000);
  for (int i = 0; i < 1000; ++i) message.tensor(8, {}, {});
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "1000000 items", message.finish(4)));
  // As many bytes as they need, so that the count is not a lie.
  HandWritten many;
  many.storages({4}).u32(5000);
  for (int i = 0; i < 5000; ++i) many.tensor(8, {}, {});
  EXPECT_TRUE(rejected(ErrorCode::too_large, "metadata", many.finish(4)));
  EXPECT_TRUE(rejected(ErrorCode::too_large, "4096 tensors", many.finish(4), {.max_metadata_bytes = 1 << 20}));
}

// ---- Storages.

TEST(MessageFault, StoragesMustFillThePayloadExactly) {
  const auto with = [](std::uint64_t bytes, std::size_t payload) {
    return HandWritten().storages({bytes}).u32(1).tensor(8, {1}, {1}).finish(payload);
  };
  EXPECT_NO_THROW((void)decode(with(8, 8)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "storage of 9 bytes", with(9, 8)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "1 bytes behind", with(8, 9)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "storage of 18446744073709551615", with(~std::uint64_t{0}, 8)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "without bytes", with(0, 0)));
  const auto form = HandWritten().storages({4}, 2).u32(1).tensor(8, {1}, {1}).finish(4);
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "form 2", form));
}

TEST(MessageFault, PaddingMustBeZero) {
  auto bytes = HandWritten().storages({4}).u32(1).tensor(8, {1}, {1}).finish(4);
  bytes[bytes.size() - 5] = std::byte{1};
  detail::repair_header(bytes);
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "padding", bytes));
}

TEST(MessageFault, PackedTensorsAreChecked) {
  const auto packed = [](std::int64_t stride, std::uint64_t bytes, std::uint64_t offset = 0) {
    return HandWritten().storages({bytes}, 1).u32(1).tensor(8, {2}, {stride}, 0, offset).finish(bytes);
  };
  EXPECT_NO_THROW((void)decode(packed(100, 8)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "packed into 12 bytes, expected 8", packed(100, 12)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "expected less than 64", packed(100, 8, 64)));
  // A few bytes that would unpack into gigabytes.
  EXPECT_TRUE(rejected(ErrorCode::too_large, "unpacked", packed(std::int64_t{1} << 40, 8)));
  EXPECT_TRUE(rejected(ErrorCode::too_large, "unpacked", packed(std::int64_t{1} << 28, 8)));
  const auto two_users = HandWritten().storages({8}, 1).u32(2).tensor(8, {2}, {10}).tensor(8, {2}, {10}).finish(8);
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "used by 2 tensors", two_users));
}

TEST(MessageFault, ManyPackedTensorsAreCountedTogether) {
  HandWritten message;
  message.storages(std::vector<std::uint64_t>(100, 2), 1).u32(100);
  for (std::uint32_t i = 0; i < 100; ++i) message.tensor(1, {2}, {15000}, i);
  const auto bytes = message.finish(99 * 64 + 2);
  EXPECT_NO_THROW((void)decode(bytes));
  EXPECT_TRUE(rejected(ErrorCode::too_large, "unpacked", bytes, {.max_message_bytes = 1000000}));
}

// ---- Values and requests. Faults 10, 13.

TEST(MessageFault, NestingAHundredThousandDeepIsRejected) {
  HandWritten message;
  message.storages({}).u32(1);
  for (int i = 0; i < 100000; ++i) message.u8(8).u32(1);
  EXPECT_TRUE(rejected(ErrorCode::too_large, "metadata", message.finish()));
  MessageLimits generous;
  generous.max_metadata_bytes = std::size_t{1} << 20;
  generous.max_values = std::size_t{1} << 20;
  EXPECT_TRUE(rejected(ErrorCode::too_large, "deeper than 16", message.finish(), generous));
}

TEST(MessageFault, AnnouncedCountsAreChecked) {
  const auto list_of = [](std::uint32_t count) {
    return HandWritten().storages({}).u32(1).u8(8).u32(count).u8(0).finish();
  };
  EXPECT_NO_THROW((void)decode(list_of(1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "4294967295 items", list_of(~0U)));
  const auto text = HandWritten().storages({}).u32(1).u8(6).u32(0x80000000).finish();
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "2147483648 items", text));
  HandWritten values;
  values.storages({}).u32(1000);
  for (int i = 0; i < 1000; ++i) values.u8(0);
  EXPECT_TRUE(rejected(ErrorCode::too_large, "999 values", values.finish(), {.max_values = 999}));
}

TEST(MessageFault, UnknownOrImpossibleValuesAreRejected) {
  const auto value = [] { return HandWritten().storages({}).u32(1); };
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "kind 11", value().u8(11).finish()));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "bool is 2", value().u8(2).u8(2).finish()));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "dict key", value().u8(10).u32(1).u8(0).u8(0).finish()));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "left over", value().u8(0).u8(0).finish()));
}

HandWritten request_with_cuts() {
  return HandWritten(MessageKind::request).u32(0).u32(0);
}

TEST(MessageFault, CutsAreChecked) {
  const auto tail = [](HandWritten message) { return message.u32(1).u8(0).u32(0).u32(0).finish(); };
  const auto good = decode(tail(request_with_cuts().u32(1).u32(2).u32(0).u32(3).u32(5).u32(1)));
  EXPECT_EQ(good.request.stage.cuts, (std::vector<LayerSet>{{0, 1, 2, 5}}));
  const auto bad = [&](std::uint32_t first, std::uint32_t count) {
    return tail(request_with_cuts().u32(1).u32(2).u32(0).u32(3).u32(first).u32(count));
  };
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "order", bad(2, 1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "order", bad(3, 1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "order", bad(9, 0)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "32 bits", bad(9, ~0U)));
  EXPECT_TRUE(rejected(ErrorCode::too_large, "values", bad(9, 1U << 30)));
}

TEST(MessageFault, OperationsOfLaterVersionsAreRejected) {
  const auto with = [](std::uint8_t version, std::uint8_t operation) {
    auto message = request_with_cuts().version(version).u32(0).u32(0).u8(operation);
    if (version > 1) message.u32(3).u8('r').u8('a').u8('w');
    return message.u32(0).u32(0).finish();
  };
  EXPECT_EQ(decode(with(1, 1)).request.operation, Operation::prepare);
  EXPECT_EQ(decode(with(1, 0)).request.codec, "raw");
  EXPECT_EQ(decode(with(2, 0)).request, decode(with(1, 0)).request);
  EXPECT_EQ(decode(with(2, 3)).request.operation, Operation::profile);
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "operation 2 of version 1", with(1, 2)));
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "operation 4 of version 2", with(2, 4)));
}

TEST(MessageFault, RetriesAfterNoTimeAtAll) {
  const auto with = [](double retry_after_s) {
    return HandWritten(MessageKind::error)
        .version(4)
        .u8(7)
        .u32(0)
        .u64(std::bit_cast<std::uint64_t>(retry_after_s))
        .finish();
  };
  EXPECT_EQ(decode(with(0.5)).retry_after_s, 0.5);
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "retried after", with(-1)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "retried after", with(std::numeric_limits<double>::quiet_NaN())));
}

TEST(MessageFault, HelloIsOfVersion3) {
  const auto with = [](std::uint8_t version) {
    return HandWritten(MessageKind::hello).version(version).u32(0).u32(1).u8(6).u32(3).u8('t').u8('o').u8('k').finish();
  };
  const Message hello = decode(with(3));
  EXPECT_EQ(hello.kind, MessageKind::hello);
  ASSERT_EQ(hello.values.size(), 1U);
  EXPECT_EQ(*hello.values[0].get_if<std::string>(), "tok");
  const Bytes written = encoded_bytes(hello);
  EXPECT_EQ(written[4], std::byte{3}) << "the version that can say it";
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "kind 5 is unknown", with(2)));
  EXPECT_TRUE(rejected(ErrorCode::corrupt, "kind 6 is unknown",
                       HandWritten(static_cast<MessageKind>(6)).version(3).u32(0).u32(0).finish()));
}

TEST(MessageFault, UnknownErrorCodesKeepTheirText) {
  const auto bytes = HandWritten(MessageKind::error).u8(99).u32(4).u8('b').u8('u').u8('s').u8('y').finish();
  EXPECT_TRUE(rejected(ErrorCode::incompatible, "code 99 that says: busy", bytes));
}

TEST(MessageFault, ALongErrorTextOfAnotherWriterIsCut) {
  HandWritten message(MessageKind::error);
  message.u8(10).u32(20000);
  for (int i = 0; i < 20000; ++i) message.u8('x');
  EXPECT_EQ(decode(message.finish()).error_message, std::string(4096, 'x'));
}

TEST(MessageFault, ABodyThatIsNotTheHeadersIsRejected) {
  const auto bytes = encoded_bytes(testing::sample_request());
  const auto header = std::span<const std::byte>(bytes).first<message_header_bytes>();
  const auto length = bytes.size() - message_header_bytes;
  EXPECT_TRUE(throws(ErrorCode::corrupt, "a body of", [&] { (void)decode(header, Storage::allocate(length - 1)); }));
  const Storage larger = Storage::allocate(length + 8);
  const Storage shifted = Storage::adopt(larger.data() + 8, length, larger.owner());
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "64", [&] { (void)decode(header, shifted); }));
}

}  // namespace
}  // namespace splitnet
