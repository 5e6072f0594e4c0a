// SPDX-License-Identifier: Apache-2.0
// Peers of the shm transport that break every rule: a typed error, and everybody else is served. See docs/faults.md.
#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <future>

#include "descriptors.hpp"
#include "hand_written_message.hpp"
#include "message_body.hpp"
#include "message_wire.hpp"
#include "shm_peer.hpp"
#include "splitnet/transport/shm.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using detail::Descriptor;
using detail::OwnShmMemory;
using detail::ShmExtent;
using detail::ShmLayout;
using testing::connect_raw;
using testing::connect_side;
using testing::encoded;
using testing::frame_of;
using testing::request_with;
using testing::ShmSide;

constexpr std::uint64_t kHuge = std::uint64_t{1} << 63;
constexpr std::uint64_t kAllOnes = ~std::uint64_t{0};

class ShmAttack : public ::testing::Test {
 protected:
  void listen(const ListenOptions& options = {}, const Handler& handler = testing::echo) {
    listener = transport->listen(
        testing::shm_name("attacked"),
        [this, handler](Message request, const CallContext& context, const Responder& respond) {
          if (request.request.model != "conformance") ++strange_requests;
          handler(std::move(request), context, respond);
        },
        options);
    ConnectOptions connect;
    connect.token = options.token;
    friendly = transport->connect(listener->address(), connect);
    expect_served();
  }
  void TearDown() override { expect_served(); }
  void expect_served() const {
    EXPECT_EQ(call_and_wait(*friendly, request_with({Value(5)}), std::chrono::steady_clock::now() + 20s)
                  .values.at(0)
                  .integer(),
              5);
  }
  ShmSide connect() const { return connect_side(listener->address()); }

  std::shared_ptr<Transport> transport = make_shm_transport();
  std::atomic<int> strange_requests{0};
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> friendly;
};

Storage storage_of(const std::vector<std::byte>& bytes) {
  auto storage = Storage::allocate(bytes.size());
  std::memcpy(storage.data(), bytes.data(), bytes.size());
  return storage;
}

Storage good_request(std::int64_t bytes = 1000) {
  return encoded(request_with({testing::iota_u8(bytes)}), 9);
}

// ---- the handshake -----------------------------------------------------------------------------

Descriptor memory_file(std::uint64_t bytes, int seals) {
  Descriptor file(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, seals), 0);
  return file;
}

constexpr int kGoodSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

class ShmHandshakeAttack : public ShmAttack {
 protected:
  void SetUp() override { listen(); }
  void expect_refusal(const ShmLayout& claimed, const Descriptor& memory, ErrorCode code) const {
    const auto socket = connect_raw(listener->address());
    detail::send_offer(socket.get(), {claimed, std::nullopt}, memory);
    expect_refused(socket, code);
  }
  static void expect_refused(const Descriptor& socket, ErrorCode code) {
    ASSERT_TRUE(testing::has_input(socket.get()));
    const auto answer = detail::receive_offer(socket.get());
    ASSERT_TRUE(answer.offer.error);
    EXPECT_EQ(answer.offer.error->code(), code) << answer.offer.error->what();
    EXPECT_FALSE(answer.memory);
    EXPECT_TRUE(testing::is_closed(socket.get()));
  }
  const ShmLayout layout = testing::small_layout();
};

TEST_F(ShmHandshakeAttack, MemoryThatCanShrink) {
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_GROW | F_SEAL_SEAL}) {
    expect_refusal(layout, memory_file(layout.total_bytes(), seals), ErrorCode::corrupt);
  }
}

TEST_F(ShmHandshakeAttack, MemoryOfAnotherSize) {
  for (const std::int64_t more : {-4096, 4096, -1}) {
    const auto bytes = static_cast<std::uint64_t>(static_cast<std::int64_t>(layout.total_bytes()) + more);
    expect_refusal(layout, memory_file(bytes, kGoodSeals), ErrorCode::corrupt);
  }
  expect_refusal(layout, memory_file(0, kGoodSeals), ErrorCode::corrupt);
}

TEST_F(ShmHandshakeAttack, SomethingThatIsNotMemory) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const Descriptor reading(pipe[0]);
  const Descriptor writing(pipe[1]);
  expect_refusal(layout, writing, ErrorCode::corrupt);
  expect_refusal(layout, Descriptor(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), ErrorCode::corrupt);
  expect_refusal(layout, Descriptor(::open("/", O_RDONLY | O_CLOEXEC)), ErrorCode::corrupt);
  expect_refusal(layout, Descriptor(), ErrorCode::corrupt);
}

TEST_F(ShmHandshakeAttack, SizesThatNoSideHas) {
  for (const std::uint64_t ring : {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{3} << 16, kHuge, kAllOnes}) {
    ShmLayout wrong = layout;
    wrong.ring_bytes = ring;
    expect_refusal(wrong, memory_file(1 << 20, kGoodSeals), ErrorCode::corrupt);
  }
  ShmLayout wrong = layout;
  wrong.arena_bytes = 1000;
  expect_refusal(wrong, memory_file(wrong.total_bytes(), kGoodSeals), ErrorCode::corrupt);
  for (const std::uint64_t arena : {std::uint64_t{1} << 40, kHuge, std::uint64_t{0} - ShmLayout::unit_bytes}) {
    wrong.arena_bytes = arena;
    expect_refusal(wrong, memory_file(1 << 20, kGoodSeals), ErrorCode::too_large);
  }
}

TEST_F(ShmHandshakeAttack, GarbageAndPartsOfAnOffer) {
  const auto good = detail::write_offer({layout, std::nullopt});
  for (const std::size_t bytes : {1, 8, 12, 100, 551}) {
    const auto socket = connect_raw(listener->address());
    ASSERT_EQ(::send(socket.get(), good.data(), bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    expect_refused(socket, ErrorCode::corrupt);
  }
  const std::string garbage(1000, '\xaa');
  const auto socket = connect_raw(listener->address());
  (void)!::send(socket.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
  expect_refused(socket, ErrorCode::corrupt);
}

TEST_F(ShmHandshakeAttack, AnotherVersion) {
  auto offer = detail::write_offer({layout, std::nullopt});
  offer[8] = std::byte{2};
  const auto socket = connect_raw(listener->address());
  (void)!::send(socket.get(), offer.data(), offer.size(), MSG_NOSIGNAL);
  expect_refused(socket, ErrorCode::incompatible);
}

TEST_F(ShmHandshakeAttack, EveryFieldOfTheOffer) {
  const auto good = detail::write_offer({layout, std::nullopt});
  EXPECT_EQ(detail::parse_offer(good).layout, layout);
  const auto refusal = detail::parse_offer(detail::write_offer({layout, Error(ErrorCode::overloaded, "no room")}));
  EXPECT_STREQ(refusal.error->what(), "no room");
  for (std::size_t at = 0; at + 8 <= 48; at += 4) {
    for (const std::uint64_t value : {kHuge, kAllOnes}) {
      auto bytes = good;
      std::memcpy(bytes.data() + at, &value, sizeof value);
      try {
        (void)detail::parse_offer(bytes);
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::incompatible) << error.what();
      }
    }
  }
}

TEST_F(ShmHandshakeAttack, SeveralDescriptors) {
  const auto offer = detail::write_offer({layout, std::nullopt});
  const auto file = memory_file(layout.total_bytes(), kGoodSeals);
  const std::array<int, 3> numbers{file.get(), file.get(), file.get()};
  iovec vector{const_cast<std::byte*>(offer.data()), offer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof numbers)> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  auto* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof numbers);
  std::memcpy(CMSG_DATA(header), numbers.data(), sizeof numbers);
  const auto socket = connect_raw(listener->address());
  ASSERT_GT(::sendmsg(socket.get(), &message, MSG_NOSIGNAL), 0);
  expect_refused(socket, ErrorCode::corrupt);
}

/// FAULTS 24: the kernel has no number to give to what came.
TEST_F(ShmHandshakeAttack, NoDescriptorLeftForItsMemory) {
  const auto file = memory_file(layout.total_bytes(), kGoodSeals);
  const auto before = testing::entries_of("/proc/self/fd");
  const auto socket = connect_raw(listener->address());
  // Let in, that is, and nothing of others is still to be closed, which would leave a number free.
  for (int i = 0; i < 4; ++i) (void)call_and_wait(*transport->connect(listener->address(), {}), request_with({}));
  ASSERT_TRUE(testing::wait_until([&] { return testing::entries_of("/proc/self/fd") == before + 2; }));
  testing::FewDescriptors few;
  few.fill();
  detail::send_offer(socket.get(), {layout, std::nullopt}, file);
  expect_refused(socket, ErrorCode::overloaded);
  expect_served();
}

TEST_F(ShmAttack, TenThousandIdleVisitors) {
  const testing::ManyDescriptors many;
  ListenOptions options;
  options.max_connects_per_s = 1e6;
  listen(options);
  const auto most = many.for_idle_connections();
  ASSERT_GT(most, static_cast<std::ptrdiff_t>(options.max_connections));
  {
    std::vector<Descriptor> idle;
    for (std::ptrdiff_t i = 0; i < std::min<std::ptrdiff_t>(10'000, most); ++i) {
      idle.push_back(connect_raw(listener->address()));
    }
    expect_served();
    const auto last = connect_raw(listener->address());
    ASSERT_TRUE(testing::has_input(last.get()));
    EXPECT_EQ(detail::receive_offer(last.get()).offer.error->code(), ErrorCode::overloaded);
  }
  // They are forgotten, and there is room again.
  EXPECT_TRUE(testing::wait_until([&] {
    try {
      (void)transport->connect(listener->address(), {});
      return true;
    } catch (const Error&) {
      return false;
    }
  }));
}

TEST_F(ShmAttack, VisitorWhoSaysNothing) {
  ListenOptions options;
  options.handshake_timeout = 50ms;
  listen(options);
  const auto socket = connect_raw(listener->address());
  EXPECT_TRUE(testing::is_closed(socket.get()));
}

TEST_F(ShmAttack, VisitorWhoLeavesAtOnce) {
  listen();
  for (int i = 0; i < 20; ++i) (void)connect_raw(listener->address());
}

TEST_F(ShmAttack, MoreConnectionsThanAllowed) {
  ListenOptions options;
  options.max_connections = 3;
  listen(options);
  const auto silent = connect_raw(listener->address());
  const auto third = transport->connect(listener->address(), {});
  EXPECT_EQ(testing::code_of([&] { (void)transport->connect(listener->address(), {}); }), ErrorCode::overloaded);
}

// Who has not shown the token is not listened to for long, and not at length.
TEST_F(ShmAttack, StrangersSayNothingBeforeTheToken) {
  ListenOptions options;
  options.token = "sixteen-and-more-characters";
  options.handshake_timeout = 200ms;
  listen(options);
  auto silent = connect();
  auto large = connect();
  const auto message = good_request(50'000);
  large.write(frame_of(message, {large.lend(message, 0, 1)}));
  large.expect_error(ErrorCode::unauthenticated);
  auto small = connect();
  small.write(frame_of(encoded(request_with({}), 1)));
  small.expect_error(ErrorCode::unauthenticated);
  silent.expect_error(ErrorCode::deadline_exceeded);
}

// ---- the ring ----------------------------------------------------------------------------------

TEST_F(ShmAttack, SpeaksItsProtocolToItsFriends) {
  listen();
  auto peer = connect();
  peer.write(frame_of(good_request()));
  const auto reply = peer.next_message();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->kind, MessageKind::reply);
  EXPECT_EQ(reply->id, 9U);
  EXPECT_TRUE(bit_identical(reply->values.at(0), Value(testing::iota_u8(1000))));
}

TEST_F(ShmAttack, ReadsWhatIsLent) {
  listen();
  auto peer = connect();
  const auto message = good_request(50'000);
  peer.write(frame_of(message, {peer.lend(message, 4096, 77)}));
  const auto reply = peer.next_message();
  ASSERT_TRUE(reply);
  EXPECT_TRUE(bit_identical(reply->values.at(0), Value(testing::iota_u8(50'000))));
  // The handler has dropped its request: the loan comes back.
  ASSERT_TRUE(testing::wait_until([&] { return peer.theirs->control().returned.value.load() == 1; }));
  EXPECT_EQ(peer.theirs->returned()[0].load(), 77U);
}

TEST_F(ShmAttack, HostileMessages) {
  listen();
  for (const auto& hostile : testing::hostile_messages(MessageKind::request, 9)) {
    SCOPED_TRACE(hostile.name);
    auto peer = connect();
    peer.write(frame_of(storage_of(hostile.bytes)));
    peer.expect_error(hostile.code);
  }
  EXPECT_EQ(strange_requests, 0);
}

/// FAULTS 22 and 32.
TEST_F(ShmAttack, RequestsThatComeTwice) {
  testing::Held held;
  listen({}, [&](Message request, CallContext context, Responder respond) {
    if (request.values.at(0).get_if<Tensor>() == nullptr) return testing::echo(std::move(request), context, respond);
    held.handler()(std::move(request), std::move(context), std::move(respond));
  });
  auto peer = connect();
  const auto message = encoded(request_with({testing::iota_u8(50'000)}), 9);
  peer.write(frame_of(message, {peer.lend(message, 0, 1)}));
  peer.write(frame_of(message, {peer.lend(message, 1 << 17, 2)}));
  peer.write(frame_of(encoded(request_with({testing::iota_u8(10)}), 10)));  // Looked at after the others.
  ASSERT_TRUE(held.wait_for(2));
  auto items = held.take();
  ASSERT_EQ(items.size(), 2U) << "one id is one call while it is under way";
  for (auto& item : items) {
    item.respond(testing::reply_with({Value(1)}));
    item.respond(testing::reply_with({Value(2)}));
  }
  items.clear();
  for (const std::uint64_t id : {9, 10}) {
    const auto reply = peer.next_message();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->id, id);
    EXPECT_EQ(reply->values.at(0).integer(), 1);
  }
  EXPECT_TRUE(testing::wait_until([&] { return peer.theirs->control().returned.value.load() == 2; }))
      << "what is lent twice comes back twice";
}

TEST_F(ShmAttack, RequestsAndCancelsInAnyOrder) {
  listen();
  auto peer = connect();
  Message cancel;
  cancel.kind = MessageKind::cancel;
  for (const std::uint64_t id : {std::uint64_t{9}, ~std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{9}}) {
    peer.write(frame_of(encoded(cancel, id)));
    peer.write(frame_of(encoded(request_with({testing::iota_u8(10)}), id)));
    const auto reply = peer.next_message();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->kind, MessageKind::reply);
    EXPECT_EQ(reply->id, id);
    peer.write(frame_of(encoded(cancel, id)));
  }
}

TEST_F(ShmAttack, Garbage) {
  listen();
  auto peer = connect();
  peer.write(std::vector<std::byte>(10'000, std::byte{0xaa}));
  peer.expect_error(ErrorCode::corrupt);
  EXPECT_TRUE(testing::is_closed(peer.socket.get()));
}

TEST_F(ShmAttack, EveryFlippedBitOfTheHead) {
  ListenOptions options;
  options.message_timeout = 100ms;  // A wrong number of extents is waited for.
  listen(options);
  for (std::size_t bit = 0; bit < detail::shm_frame_head_bytes * 8; bit += 5) {
    auto peer = connect();
    auto frame = frame_of(good_request());
    frame[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    peer.write(frame);
    const auto answer = peer.next_message();
    ASSERT_TRUE(answer) << "bit " << bit;
    EXPECT_EQ(answer->kind, MessageKind::error) << "bit " << bit;
  }
}

TEST_F(ShmAttack, FlippedBitOfTheMetadata) {
  listen();
  auto peer = connect();
  auto frame = frame_of(good_request());
  frame[detail::shm_frame_head_bytes + 3] ^= std::byte{1};
  peer.write(frame);
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(ShmAttack, MoreExtentsThanThereAreLoans) {
  listen();
  for (const std::uint32_t extents : {std::uint32_t{4097}, ~std::uint32_t{0}}) {
    auto peer = connect();
    auto frame = frame_of(good_request());
    std::memcpy(frame.data(), &extents, sizeof extents);
    peer.write(frame);
    peer.expect_error(ErrorCode::corrupt);
  }
}

TEST_F(ShmAttack, ExtentsOutOfRange) {
  listen();
  const auto message = good_request(50'000);
  const auto change = [&](const std::function<void(ShmExtent&)>& wrong) {
    auto peer = connect();
    auto extent = peer.lend(message, 4096, 1);
    wrong(extent);
    auto frame = frame_of(message, {peer.lend(message, 4096, 1)});
    std::memcpy(frame.data() + detail::shm_frame_head_bytes, &extent, sizeof extent);
    peer.write(frame);
    peer.expect_error(ErrorCode::corrupt);
  };
  for (const std::uint64_t number : {kHuge, kAllOnes, kAllOnes - 63, kHuge - 64, std::uint64_t{1} << 32}) {
    change([&](ShmExtent& extent) { extent.body_begin = number; });
    change([&](ShmExtent& extent) { extent.bytes = number; });
    change([&](ShmExtent& extent) { extent.arena_offset = number; });
  }
  change([](ShmExtent& extent) { extent.body_begin += 1; });
  change([](ShmExtent& extent) { extent.arena_offset += 32; });
  change([](ShmExtent& extent) { extent.body_begin = 0; });  // The metadata is not lent.
  change([](ShmExtent& extent) { extent.bytes = 0; });
  change([](ShmExtent& extent) { extent.bytes += 1; });
  change([](ShmExtent& extent) { extent.arena_offset = (1 << 20) - 4096; });
  change([](ShmExtent& extent) { extent.loan = detail::shm_max_loans; });
  change([](ShmExtent& extent) { extent.reserved = 1; });
}

TEST_F(ShmAttack, ExtentsThatOverlapInTheBody) {
  listen();
  auto peer = connect();
  const auto message = good_request(50'000);
  const auto whole = peer.lend(message, 0, 1);
  peer.write(frame_of(message, {whole, {whole.body_begin + 64, 64, 0, 2, 0}}));
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(ShmAttack, AStorageInTwoPieces) {
  listen();
  auto peer = connect();
  const auto message = good_request(50'000);
  const auto whole = peer.lend(message, 0, 1);
  peer.write(frame_of(message, {{whole.body_begin, 64, 0, 1, 0}}));
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(ShmAttack, IndicesOutOfRange) {
  listen();
  for (const std::uint64_t produced : {std::uint64_t{128 * 1024 + 1}, kHuge, kAllOnes}) {
    auto peer = connect();
    peer.own->control().produced.value = produced;
    peer.wake();
    peer.expect_error(ErrorCode::corrupt);
  }
}

TEST_F(ShmAttack, AnIndexThatGoesBack) {
  listen();
  auto peer = connect();
  peer.write(frame_of(good_request()));
  ASSERT_TRUE(peer.next_message());
  peer.own->control().produced.value = 8;
  peer.wake();
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(ShmAttack, ClaimsToHaveReadWhatWasNotWritten) {
  listen();
  for (const std::uint64_t consumed : {std::uint64_t{1} << 20, kHuge, kAllOnes}) {
    auto peer = connect();
    peer.own->control().consumed.value = consumed;
    // More replies than the ring holds, so that the other side has to ask.
    for (std::uint64_t id = 1; id < 60; ++id) {
      const auto frame = frame_of(encoded(request_with({testing::iota_u8(5'000)}), id));
      for (int i = 0; i < 1000 && peer.writer.room(frame.size()) < frame.size(); ++i) std::this_thread::sleep_for(1ms);
      if (peer.writer.room(frame.size()) < frame.size()) break;
      peer.write(frame);
    }
    EXPECT_TRUE(testing::is_closed(peer.socket.get())) << consumed;
  }
}

TEST_F(ShmAttack, LengthOf2To63) {
  listen();
  for (std::size_t at = 8; at + 8 <= detail::shm_frame_head_bytes; at += 4) {
    auto peer = connect();
    auto frame = frame_of(good_request());
    std::memcpy(frame.data() + at, &kHuge, sizeof kHuge);
    peer.write(frame);
    const auto answer = peer.next_message();
    ASSERT_TRUE(answer) << "offset " << at;
    EXPECT_EQ(answer->kind, MessageKind::error);
  }
}

TEST_F(ShmAttack, LengthsWithAFittingChecksum) {
  listen();
  for (const std::uint64_t bytes : {kHuge, kAllOnes, std::uint64_t{1} << 40}) {
    detail::WireHeader header;
    header.version = 1;
    header.kind = 1;
    header.metadata_bytes = 32;
    header.payload_bytes = bytes;
    std::array<std::byte, detail::shm_frame_head_bytes> head{};
    detail::write_header(header, std::span<std::byte, 64>(head.data() + 8, 64));
    auto peer = connect();
    peer.write(head);
    peer.expect_error(ErrorCode::too_large);
  }
}

// What was checked is what is used: the ring is read once.
TEST_F(ShmAttack, ChangesTheHeaderAfterItWasRead) {
  listen();
  auto peer = connect();
  const auto frame = frame_of(good_request());
  const std::size_t first = detail::shm_frame_head_bytes + 20;
  peer.write(std::span(frame).first(first));
  ASSERT_TRUE(testing::wait_until([&] { return peer.theirs->control().consumed.value.load() == first; }));
  std::memset(peer.own->ring().data(), 0xff, first);
  peer.write(std::span(frame).subspan(first));
  const auto reply = peer.next_message();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->kind, MessageKind::reply);
  EXPECT_EQ(reply->id, 9U);
}

TEST_F(ShmAttack, ChangesBytesAfterTheyWereChecked) {
  testing::Held held;
  listen({}, [&](Message request, CallContext context, Responder respond) {
    if (request.values.at(0).get_if<Tensor>() == nullptr) return testing::echo(std::move(request), context, respond);
    held.handler()(std::move(request), std::move(context), std::move(respond));
  });
  auto peer = connect();
  const auto message = good_request(50'000);
  peer.write(frame_of(message, {peer.lend(message, 0, 1)}));
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  const auto& tensor = items[0].request.values.at(0).tensor();
  EXPECT_TRUE(tensor.storage.is_foreign());
  EXPECT_TRUE(bit_identical(tensor, testing::iota_u8(50'000)));
  // Other numbers, and nothing else.
  std::memset(peer.own->arena().data(), 7, 50'000);
  EXPECT_EQ(tensor.data()[49'999], std::byte{7});
  // Pages that are not there any more hold zeros.
  peer.own->drop(0, 1 << 16);
  EXPECT_EQ(tensor.data()[49'999], std::byte{0});
  items[0].respond(testing::reply_with({}));
  EXPECT_TRUE(peer.next_message());
}

TEST_F(ShmAttack, CannotShrinkWhatTheOtherReads) {
  listen();
  const auto layout = testing::small_layout();
  const auto file = memory_file(layout.total_bytes(), kGoodSeals);
  const auto socket = connect_raw(listener->address());
  detail::send_offer(socket.get(), {layout, std::nullopt}, file);
  ASSERT_TRUE(testing::has_input(socket.get()));
  ASSERT_FALSE(detail::receive_offer(socket.get()).offer.error);
  EXPECT_NE(::ftruncate(file.get(), 0), 0);
  EXPECT_NE(::ftruncate(file.get(), 1 << 24), 0);
  EXPECT_NE(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST_F(ShmAttack, CannotWriteTheOthersMemory) {
  listen();
  auto socket = connect_raw(listener->address());
  OwnShmMemory own(testing::small_layout());
  detail::send_offer(socket.get(), {own.layout(), std::nullopt}, own.take_descriptor());
  ASSERT_TRUE(testing::has_input(socket.get()));
  const auto answer = detail::receive_offer(socket.get());
  ASSERT_TRUE(answer.memory);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, answer.memory.get(), 0), MAP_FAILED);
  EXPECT_NE(::ftruncate(answer.memory.get(), 0), 0);
  EXPECT_NE(::fallocate(answer.memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
}

// ---- loans -------------------------------------------------------------------------------------

TEST_F(ShmAttack, GivesBackWhatItDoesNotHave) {
  listen();
  for (const std::uint32_t loan : {0U, 5U, 4095U, 4096U, ~0U}) {
    auto peer = connect();
    peer.give_back(loan);
    peer.write(frame_of(good_request()));
    EXPECT_TRUE(testing::is_closed(peer.socket.get())) << loan;
  }
}

TEST_F(ShmAttack, GivesALoanBackTwice) {
  listen();
  auto peer = connect();
  peer.write(frame_of(good_request(50'000)));
  ASSERT_TRUE(peer.next_message());  // Gives its loan back.
  peer.give_back(0);
  peer.write(frame_of(good_request()));
  EXPECT_TRUE(testing::is_closed(peer.socket.get()));
}

TEST_F(ShmAttack, GivesBackMoreThanThereCanBe) {
  listen();
  for (const std::uint64_t returned : {std::uint64_t{4097}, kHuge, kAllOnes}) {
    auto peer = connect();
    peer.own->control().returned.value = returned;
    peer.write(frame_of(good_request()));
    EXPECT_TRUE(testing::is_closed(peer.socket.get())) << returned;
  }
}

TEST_F(ShmAttack, LendsTheSameBytesUnderManyNumbers) {
  listen();
  auto peer = connect();
  const auto message = good_request(50'000);
  for (std::uint32_t i = 0; i < 500; ++i) {
    const auto frame = frame_of(message, {peer.lend(message, 0, i % 3)});
    ASSERT_TRUE(testing::wait_until([&] { return peer.writer.room(frame.size()) >= frame.size(); }));
    peer.write(frame);
    ASSERT_TRUE(peer.next_message());
  }
}

// ---- not answering, not reading, dying ---------------------------------------------------------

TEST_F(ShmAttack, HalfAMessageThenSilence) {
  ListenOptions options;
  options.message_timeout = 50ms;
  listen(options);
  auto in_head = connect();
  auto in_body = connect();
  const auto frame = frame_of(good_request());
  in_head.write(std::span(frame).first(20));
  in_body.write(std::span(frame).first(frame.size() - 1));
  in_head.expect_error(ErrorCode::deadline_exceeded);
  in_body.expect_error(ErrorCode::deadline_exceeded);
}

TEST_F(ShmAttack, SlowLoris) {
  ListenOptions options;
  options.message_timeout = 100ms;
  listen(options);
  auto peer = connect();
  const auto frame = frame_of(good_request());
  for (std::size_t i = 0; i < 8; ++i) {
    peer.write(std::span(frame).subspan(i, 1));
    std::this_thread::sleep_for(30ms);
  }
  peer.expect_error(ErrorCode::deadline_exceeded);
}

TEST_F(ShmAttack, DiesAfterEveryPartOfAMessage) {
  listen();
  auto request = request_with({testing::iota_u8(20'000)});
  request.request.model = "strange";
  const auto message = encoded(request, 9);
  for (std::size_t bytes = 0;; ++bytes) {
    auto peer = connect();
    const auto frame = frame_of(message, {peer.lend(message, 0, 1)});
    if (bytes == frame.size()) break;
    peer.write(std::span(frame).first(bytes));
    ::shutdown(peer.socket.get(), SHUT_WR);
    EXPECT_TRUE(testing::is_closed(peer.socket.get())) << bytes;
  }
  EXPECT_EQ(strange_requests, 0);
}

TEST_F(ShmAttack, ReaderThatNeverReads) {
  ListenOptions options;
  options.max_queued_bytes = 4'000'000;
  listen(options);
  auto peer = connect();
  bool closed = false;
  const auto until = std::chrono::steady_clock::now() + 20s;
  for (std::uint64_t id = 1; !closed && std::chrono::steady_clock::now() < until; ++id) {
    const auto message = encoded(request_with({testing::iota_u8(500'000)}), id);
    const auto frame = frame_of(message, {peer.lend(message, 0, 1)});
    if (!testing::wait_until([&] { return peer.writer.room(frame.size()) >= frame.size(); }, 2s)) break;
    peer.write(frame);
    closed = testing::is_closed(peer.socket.get(), 0ms);
  }
  EXPECT_TRUE(closed || testing::is_closed(peer.socket.get()));
}

TEST_F(ShmAttack, OtherBytesOnTheSocket) {
  listen();
  auto peer = connect();
  (void)!::send(peer.socket.get(), "www?", 4, MSG_NOSIGNAL);
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(ShmAttack, WakesWithoutEnd) {
  listen();
  auto peer = connect();
  const std::string wakes(1000, 'w');
  for (int i = 0; i < 100; ++i)
    (void)!::send(peer.socket.get(), wakes.data(), wakes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  expect_served();
  peer.write(frame_of(good_request()));
  EXPECT_TRUE(peer.next_message());
}

TEST_F(ShmAttack, ReplyInsteadOfARequest) {
  listen();
  auto peer = connect();
  peer.write(frame_of(encoded(testing::reply_with({}), 1)));
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(ShmAttack, MoreRequestBytesThanAllMayTake) {
  testing::Held held;
  ListenOptions options;
  options.max_received_bytes = 200'000;
  listen(options, [&](Message request, CallContext context, Responder respond) {
    if (request.values.at(0).get_if<Tensor>() == nullptr) return testing::echo(std::move(request), context, respond);
    held.handler()(std::move(request), std::move(context), std::move(respond));
  });
  auto peer = connect();
  const auto message = good_request(150'000);
  // In the arena, and through the ring.
  peer.write(frame_of(message, {peer.lend(message, 0, 1)}));
  ASSERT_TRUE(held.wait_for(1));
  peer.write(frame_of(message, {peer.lend(message, 1 << 18, 2)}));
  peer.expect_error(ErrorCode::overloaded);
  EXPECT_TRUE(testing::wait_until([&] { return peer.theirs->control().returned.value.load() == 1; }));
  EXPECT_EQ(peer.theirs->returned()[0].load(), 2U);
  const auto small = good_request(100'000);
  peer.write(frame_of(small));
  peer.expect_error(ErrorCode::overloaded);
  held.take();  // Dropped: answered, and given back.
  peer.expect_error(ErrorCode::internal);
  peer.write(frame_of(small));
  EXPECT_TRUE(held.wait_for(1));
}

TEST_F(ShmAttack, LargerThanTheLimit) {
  ListenOptions options;
  options.limits.max_message_bytes = 100'000;
  listen(options);
  ConnectOptions once;
  once.reconnect.enabled = false;
  const auto connection = transport->connect(listener->address(), once);
  EXPECT_EQ(testing::start_call(*connection, request_with({testing::iota_u8(3'000'000)})).error(),
            ErrorCode::too_large);
  EXPECT_NE(testing::start_call(*connection, request_with({})).error(), std::nullopt);
}

// ---- a listener that answers badly -------------------------------------------------------------

class BadListener {
 public:
  explicit BadListener(std::function<void(const Descriptor&)> behave)
      : address_(testing::shm_name("bad")), descriptor_(testing::listen_raw(address_)) {
    thread_ = std::thread([this, behave = std::move(behave)] { behave(descriptor_); });
  }
  ~BadListener() { thread_.join(); }
  BadListener(const BadListener&) = delete;
  BadListener& operator=(const BadListener&) = delete;
  const std::string& address() const { return address_; }

 private:
  const std::string address_;
  const Descriptor descriptor_;
  std::thread thread_;
};

ErrorCode code_of_connect(const std::string& address, const ConnectOptions& options = {}) {
  return testing::code_of([&] { (void)make_shm_transport()->connect(address, options); });
}

TEST(ShmCaller, ReportsAListenerThatClosesAtOnce) {
  const BadListener listener([](const Descriptor& socket) { Descriptor(::accept(socket.get(), nullptr, nullptr)); });
  EXPECT_EQ(code_of_connect(listener.address()), ErrorCode::unavailable);
}

TEST(ShmCaller, ReportsAListenerThatNeverAnswers) {
  std::promise<void> finished;
  const BadListener listener([&](const Descriptor& socket) {
    const Descriptor peer(::accept(socket.get(), nullptr, nullptr));
    finished.get_future().wait();
  });
  ConnectOptions options;
  options.connect_timeout = 50ms;
  EXPECT_EQ(code_of_connect(listener.address(), options), ErrorCode::deadline_exceeded);
  finished.set_value();
}

TEST(ShmCaller, RefusesMemoryThatCanShrink) {
  const BadListener listener([](const Descriptor& socket) {
    const Descriptor peer(::accept(socket.get(), nullptr, nullptr));
    EXPECT_TRUE(testing::has_input(peer.get()));
    const auto layout = testing::small_layout();
    detail::send_offer(peer.get(), {layout, std::nullopt}, memory_file(layout.total_bytes(), F_SEAL_GROW));
    EXPECT_TRUE(testing::is_closed(peer.get()));
  });
  EXPECT_EQ(code_of_connect(listener.address()), ErrorCode::corrupt);
}

TEST(ShmCaller, ReportsAnotherProtocol) {
  const BadListener listener([](const Descriptor& socket) {
    const Descriptor peer(::accept(socket.get(), nullptr, nullptr));
    EXPECT_TRUE(testing::has_input(peer.get()));
    const std::string text = "HTTP/1.1 400 Bad Request\r\n\r\n";
    (void)!::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL);
    EXPECT_TRUE(testing::is_closed(peer.get()));
  });
  EXPECT_EQ(code_of_connect(listener.address()), ErrorCode::corrupt);
}

/// Waits for the request of the only call.
void await_request(ShmSide& side) {
  EXPECT_TRUE(side.next_message());
}

TEST(ShmCaller, EndsCallsWithCorruptWhenTheRingCannotBeFollowed) {
  const BadListener listener([](const Descriptor& socket) {
    auto side = testing::accept_side(socket);
    await_request(side);
    side.write(std::vector<std::byte>(1000, std::byte{0x55}));
    EXPECT_TRUE(testing::is_closed(side.socket.get()));
  });
  const auto connection = make_shm_transport()->connect(listener.address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
}

TEST(ShmCaller, ReportsADamagedReplyForItsCallOnly) {
  const BadListener listener([](const Descriptor& socket) {
    auto side = testing::accept_side(socket);
    await_request(side);
    auto frame = frame_of(encoded(testing::reply_with({Value(1)}), 1));
    frame.back() ^= std::byte{1};  // Of the metadata.
    side.write(frame);
    await_request(side);
    side.write(frame_of(encoded(testing::reply_with({Value(2)}), 2)));
    EXPECT_TRUE(testing::is_closed(side.socket.get()));
  });
  const auto connection = make_shm_transport()->connect(listener.address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), std::nullopt);
}

/// FAULTS 1 to 12.
TEST(ShmCaller, ReportsHostileReplies) {
  const auto hostile = testing::hostile_messages(MessageKind::reply, 1);
  const BadListener listener([&](const Descriptor& socket) {
    for (const auto& reply : hostile) {
      auto side = testing::accept_side(socket);
      await_request(side);
      side.write(frame_of(storage_of(reply.bytes)));
      EXPECT_TRUE(testing::is_closed(side.socket.get()));
    }
  });
  ConnectOptions once;
  once.reconnect.enabled = false;
  for (const auto& reply : hostile) {
    const auto connection = make_shm_transport()->connect(listener.address(), once);
    EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), reply.code) << reply.name;
  }
}

/// FAULTS 7.
TEST(ShmCaller, ReportsAReplyTruncatedAtAnyByte) {
  const auto frame = frame_of(encoded(testing::reply_with({testing::iota_u8(3)}), 1));
  const BadListener listener([&](const Descriptor& socket) {
    for (std::size_t size = 0; size < frame.size(); ++size) {
      auto side = testing::accept_side(socket);
      await_request(side);
      side.write(std::span(frame).first(size));
    }
  });
  ConnectOptions once;
  once.reconnect.enabled = false;
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const auto connection = make_shm_transport()->connect(listener.address(), once);
    EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable) << size;
  }
}

TEST(ShmCaller, DropsAnAnswerToNoCall) {
  const BadListener listener([](const Descriptor& socket) {
    auto side = testing::accept_side(socket);
    await_request(side);
    for (const std::uint64_t id : {77, 1, 1}) side.write(frame_of(encoded(testing::reply_with({}), id)));
    EXPECT_TRUE(testing::is_closed(side.socket.get()));
  });
  const auto connection = make_shm_transport()->connect(listener.address(), {});
  const auto outcome = testing::start_call(*connection, request_with({}));
  EXPECT_EQ(outcome.error(), std::nullopt);
  EXPECT_EQ(outcome.count(), 1);
}

TEST(ShmCaller, EndsCallsWhenLoansComeBackThatItNeverGave) {
  const BadListener listener([](const Descriptor& socket) {
    auto side = testing::accept_side(socket);
    await_request(side);
    side.give_back(3);
    side.wake();
    EXPECT_TRUE(testing::is_closed(side.socket.get()));
  });
  const auto connection = make_shm_transport()->connect(listener.address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
}

TEST(ShmCaller, BoundsWhatWaitsForAPeerThatDoesNotRead) {
  // Whether it waits in the arena or in front of the ring.
  for (const std::size_t arena_bytes : {std::size_t{0}, std::size_t{256} << 20}) {
    std::promise<void> finished;
    const BadListener listener([&](const Descriptor& socket) {
      const auto side = testing::accept_side(socket);
      finished.get_future().wait();
    });
    ConnectOptions options;
    options.max_queued_bytes = 30'000'000;
    ShmOptions shm;
    shm.arena_bytes = arena_bytes;
    const auto connection = make_shm_transport(shm)->connect(listener.address(), options);
    const auto tensor = testing::iota_u8(10'000'000);
    std::vector<testing::Outcome> outcomes;
    for (int i = 0; i < 12; ++i) outcomes.push_back(testing::start_call(*connection, request_with({tensor})));
    EXPECT_EQ(outcomes.back().error(), ErrorCode::overloaded);
    connection->close();
    for (const auto& outcome : outcomes) {
      const auto error = outcome.error();
      EXPECT_TRUE(error == ErrorCode::overloaded || error == ErrorCode::unavailable);
    }
    finished.set_value();
  }
}

}  // namespace
}  // namespace splitnet
