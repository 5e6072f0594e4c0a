// SPDX-License-Identifier: Apache-2.0
#include "message_body.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "error_of.hpp"
#include "message_samples.hpp"
#include "message_wire.hpp"

namespace splitnet::detail {
namespace {

using testing::counted_tensor;
using testing::throws;

/// `bytes` bytes from a place that is the same modulo the alignment as `begin`.
Storage copy_of(const std::byte* from, std::size_t begin, std::size_t bytes) {
  const std::size_t lead = begin % tensor_alignment_bytes;
  const auto memory = Storage::allocate(lead + bytes);
  std::memcpy(memory.data() + lead, from + begin, bytes);
  return memory.slice(lead, bytes);
}

struct Encoded {
  explicit Encoded(const Message& message, bool checksum = false) : joined(encode(message, checksum).join()) {}
  [[nodiscard]] std::span<const std::byte, message_header_bytes> header() const {
    return std::span<const std::byte, message_header_bytes>(joined.data(), message_header_bytes);
  }
  [[nodiscard]] std::size_t body_bytes() const { return joined.size_bytes() - message_header_bytes; }
  /// The body with cuts at these places.
  [[nodiscard]] MessageBody cut_at(std::vector<std::size_t> places) const {
    MessageBody body;
    std::size_t from = 0;
    places.push_back(body_bytes());
    for (const auto to : places) {
      body.append(copy_of(joined.data() + message_header_bytes, from, to - from));
      from = to;
    }
    return body;
  }
  const Storage joined;
};

const Message& sample() {
  static const Message message = testing::reply_with(
      {counted_tensor(DType::f32, {100}), counted_tensor(DType::u8, {7}), counted_tensor(DType::f64, {50})});
  return message;
}

TEST(MessageBody, MayLieInPieces) {
  const Encoded encoded(sample());
  const std::size_t first = aligned(decode_header(encoded.header()).metadata_bytes);
  const std::size_t second = aligned(first + 400);
  const std::size_t third = aligned(second + 7);
  for (const auto& places : std::vector<std::vector<std::size_t>>{
           {first}, {second}, {third}, {first, second, third}, {first, first + 400, second, second + 7, third}}) {
    const auto message = decode(encoded.header(), encoded.cut_at(places), {});
    ASSERT_EQ(message.values.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(bit_identical(message.values[i], sample().values[i])) << i;
  }
}

TEST(MessageBody, GivesTensorsTheBytesOfTheirPiece) {
  const Encoded encoded(sample());
  const std::size_t first = aligned(decode_header(encoded.header()).metadata_bytes);
  const auto* const bytes = encoded.joined.data() + message_header_bytes;
  const auto rest = copy_of(bytes, first, encoded.body_bytes() - first);
  MessageBody body;
  body.append(copy_of(bytes, 0, first));
  body.append(Storage::adopt_foreign(rest.data(), rest.size_bytes(), rest.owner()));
  const auto message = decode(encoded.header(), body, {});
  EXPECT_EQ(message.values[0].tensor().data(), rest.data());
  for (const auto& value : message.values) EXPECT_TRUE(value.tensor().storage.is_foreign());
}

TEST(MessageBody, ChecksItsPieces) {
  const Encoded encoded(sample());
  const std::size_t metadata = decode_header(encoded.header()).metadata_bytes;
  const std::size_t first = aligned(metadata);
  const auto refused = [&](const std::vector<std::size_t>& places, const char* what) {
    return throws(ErrorCode::corrupt, what, [&] { (void)decode(encoded.header(), encoded.cut_at(places), {}); });
  };
  EXPECT_TRUE(refused({metadata / 2}, "metadata does not lie in one piece"));
  EXPECT_TRUE(refused({first + 100}, "storage 0 does not lie in one piece"));
  EXPECT_TRUE(refused({first, first + 399}, "storage 0 does not lie in one piece"));
  EXPECT_TRUE(
      throws(ErrorCode::corrupt, "the header says", [&] { (void)decode(encoded.header(), MessageBody(), {}); }));
  MessageBody shifted;
  const auto memory = Storage::allocate(encoded.body_bytes() + 8);
  shifted.append(memory.slice(8, encoded.body_bytes()));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "64", [&] { (void)decode(encoded.header(), shifted, {}); }));
}

TEST(MessageBody, HasOneChecksumOverAllPieces) {
  const Encoded encoded(sample(), true);
  const std::size_t first = aligned(decode_header(encoded.header()).metadata_bytes);
  EXPECT_NO_THROW((void)decode(encoded.header(), encoded.cut_at({first, first + 448}), {}));
  encoded.joined.data()[encoded.joined.size_bytes() - 1] ^= std::byte{1};
  EXPECT_TRUE(throws(ErrorCode::corrupt, "payload", [&] {
    (void)decode(encoded.header(), encoded.cut_at({first, first + 448}), {});
  }));
}

TEST(MessageBody, MayBeEmpty) {
  Message cancel;
  cancel.kind = MessageKind::cancel;
  cancel.id = 3;
  const Encoded encoded(cancel);
  EXPECT_EQ(decode(encoded.header(), MessageBody(Storage::allocate(0)), {}).id, 3U);
}

}  // namespace
}  // namespace splitnet::detail
