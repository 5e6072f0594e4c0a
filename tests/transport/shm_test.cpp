// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/shm.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "another_user.hpp"
#include "peer_process.hpp"
#include "shm_peer.hpp"

extern char** environ;

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::as_another_user;
using testing::be_peer_process;
using testing::echo;
using testing::endpoint_of_peer_process;
using testing::iota_u8;
using testing::PeerProcess;
using testing::reply_with;
using testing::request_with;
using testing::shm_name;
using testing::start_call;

// ---- what is copied ----------------------------------------------------------------------------

/// A place in shared memory, whatever address it has on this side.
struct Place {
  std::string file;
  std::uint64_t offset = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

/// Nothing when it is not in shared memory.
std::optional<Place> place_of(const std::byte* data) {
  const auto address = reinterpret_cast<std::uint64_t>(data);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string range;
    std::string mode;
    std::string device;
    std::string inode;
    std::string name;
    std::uint64_t offset = 0;
    words >> range >> mode >> std::hex >> offset >> std::dec >> device >> inode >> name;
    const std::uint64_t begin = std::stoull(range, nullptr, 16);
    const std::uint64_t end = std::stoull(range.substr(range.find('-') + 1), nullptr, 16);
    if (address < begin || address >= end) continue;
    if (name != "/memfd:splitnet") return std::nullopt;
    return Place{inode, offset + address - begin};
  }
  return std::nullopt;
}

Tensor tensor_in(Storage storage, unsigned seed = 0) {
  const auto bytes = static_cast<std::int64_t>(storage.size_bytes());
  const auto pattern = iota_u8(bytes, seed);
  std::memcpy(storage.data(), pattern.data(), storage.size_bytes());
  return {std::move(storage), DType::u8, {bytes}, {1}, 0};
}

class ShmTest : public ::testing::Test {
 protected:
  void listen(Handler handler, const ShmOptions& shm = {}, const ListenOptions& options = {}) {
    transport = make_shm_transport(shm);
    listener = transport->listen(shm_name("test"), std::move(handler), options);
    ConnectOptions connect;
    connect.token = options.token;
    connection = transport->connect(listener->address(), connect);
  }
  /// Sends and gives what the handler has.
  testing::Held::Item held_request(std::vector<Value> values) {
    outcomes.push_back(start_call(*connection, request_with(std::move(values))));
    EXPECT_TRUE(held.wait_for(1));
    return std::move(held.take().at(0));
  }

  testing::Held held;
  std::shared_ptr<Transport> transport;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> connection;
  std::vector<testing::Outcome> outcomes;
};

TEST_F(ShmTest, AllocatedTensorsAreReadWhereTheyLie) {
  listen(held.handler());
  const auto tensor = tensor_in(connection->allocate(1'000'000));
  ASSERT_TRUE(place_of(tensor.data()));
  const auto item = held_request({tensor});
  const auto& arrived = item.request.values.at(0).tensor();
  EXPECT_NE(arrived.data(), tensor.data());
  EXPECT_EQ(place_of(arrived.data()), place_of(tensor.data()));
  EXPECT_TRUE(arrived.storage.is_foreign());
  EXPECT_TRUE(bit_identical(arrived, tensor));
  item.respond(reply_with({}));
}

TEST_F(ShmTest, ViewsOfAnAllocatedTensorAreReadWhereTheyLie) {
  listen(held.handler());
  auto view = tensor_in(connection->allocate(1'000'000));
  view.offset_bytes = 1234;
  view.sizes = {900'000};
  const auto item = held_request({view});
  const auto& arrived = item.request.values.at(0).tensor();
  EXPECT_EQ(place_of(arrived.data()), place_of(view.data()));
  EXPECT_TRUE(bit_identical(arrived, view));
  item.respond(reply_with({}));
}

TEST_F(ShmTest, OtherTensorsAreCopiedOnce) {
  listen(held.handler());
  auto tensor = iota_u8(1'000'000);
  const auto item = held_request({tensor});
  const auto& arrived = item.request.values.at(0).tensor();
  EXPECT_TRUE(place_of(arrived.data())) << "copied by the receiver as well";
  EXPECT_TRUE(arrived.storage.is_foreign());
  std::memset(tensor.data(), 0, 1'000'000);
  EXPECT_TRUE(bit_identical(arrived, iota_u8(1'000'000)));
  item.respond(reply_with({}));
}

TEST_F(ShmTest, SmallTensorsAreTheReceiversOwn) {
  listen(held.handler());
  const auto item = held_request({iota_u8(100), tensor_in(connection->allocate(100))});
  for (const auto& value : item.request.values) {
    EXPECT_FALSE(value.tensor().storage.is_foreign());
    EXPECT_FALSE(place_of(value.tensor().data()));
  }
  item.respond(reply_with({}));
}

TEST_F(ShmTest, HandlersAnswerWithoutACopy) {
  std::optional<Place> written;
  listen([&](const Message&, const CallContext& context, const Responder& respond) {
    const auto tensor = tensor_in(context.allocate(500'000), 3);
    written = place_of(tensor.data());
    respond(reply_with({tensor}));
  });
  const auto reply = call_and_wait(*connection, request_with({}));
  const auto& arrived = reply.values.at(0).tensor();
  EXPECT_TRUE(bit_identical(arrived, iota_u8(500'000, 3)));
  EXPECT_EQ(place_of(arrived.data()), written);
  EXPECT_TRUE(written);
}

TEST_F(ShmTest, TheSenderSeesWhenItsBytesAreFree) {
  listen(held.handler());
  const auto tensor = tensor_in(connection->allocate(1'000'000));
  auto item = held_request({tensor});
  EXPECT_GT(tensor.storage.owner().use_count(), 1);
  item.respond(reply_with({}));
  EXPECT_NE(outcomes.at(0).message(), nullptr);
  std::this_thread::sleep_for(300ms);
  EXPECT_GT(tensor.storage.owner().use_count(), 1) << "the handler still reads it";
  item.request.values.clear();
  EXPECT_TRUE(testing::wait_until([&] { return tensor.storage.owner().use_count() == 1; }));
}

TEST_F(ShmTest, ManyTensorsOfAllKindsInOneMessage) {
  listen(echo);
  std::vector<Value> values;
  for (unsigned i = 0; i < 40; ++i) {
    const std::int64_t bytes = 1 + i * 997;
    values.emplace_back(iota_u8(bytes, i));
    values.emplace_back(tensor_in(connection->allocate(static_cast<std::size_t>(bytes)), i));
    auto gaps = iota_u8(3 * bytes, i);
    gaps.sizes = {bytes};
    gaps.strides = {3};
    values.emplace_back(gaps);
  }
  const auto reply = call_and_wait(*connection, request_with(values));
  ASSERT_EQ(reply.values.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(reply.values[i], values[i])) << i;
}

TEST_F(ShmTest, ViewsStillShareTheirElements) {
  listen(held.handler());
  auto first = tensor_in(connection->allocate(100'000));
  auto second = first;
  first.sizes = {60'000};
  second.offset_bytes = 50'000;
  second.sizes = {50'000};
  const auto item = held_request({first, second});
  const auto& a = item.request.values.at(0).tensor();
  const auto& b = item.request.values.at(1).tensor();
  EXPECT_EQ(a.data() + 50'000, b.data());
  EXPECT_TRUE(bit_identical(a, first));
  EXPECT_TRUE(bit_identical(b, second));
  item.respond(reply_with({}));
}

// ---- a full arena ------------------------------------------------------------------------------

TEST_F(ShmTest, AllocatesOrdinaryMemoryWhenTheArenaIsFull) {
  ShmOptions options;
  options.arena_bytes = 1 << 20;
  listen(echo, options);
  std::vector<Tensor> tensors;
  for (unsigned i = 0; i < 20; ++i) tensors.push_back(tensor_in(connection->allocate(100'000), i));
  EXPECT_TRUE(place_of(tensors.front().data()));
  EXPECT_FALSE(place_of(tensors.back().data()));
  // The arena has no room for the copies either.
  for (unsigned i = 0; i < 20; ++i) {
    const auto reply = call_and_wait(*connection, request_with({tensors[i]}));
    EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), iota_u8(100'000, i))) << i;
  }
  tensors.clear();
  EXPECT_TRUE(place_of(connection->allocate(900'000).data()));
}

TEST_F(ShmTest, MessagesLargerThanTheArena) {
  ShmOptions options;
  options.arena_bytes = 1 << 16;
  listen(echo, options);
  for (const std::int64_t bytes : {65'536, 65'537, 200'000, 20'000'000}) {
    const auto tensor = iota_u8(bytes);
    const auto reply = call_and_wait(*connection, request_with({tensor}));
    EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), tensor)) << bytes;
  }
}

TEST_F(ShmTest, KeptRepliesDoNotStopTheListener) {
  ShmOptions options;
  options.arena_bytes = 1 << 20;
  listen(echo, options);
  std::vector<Message> replies;
  for (unsigned i = 0; i < 50; ++i) replies.push_back(call_and_wait(*connection, request_with({iota_u8(100'000, i)})));
  EXPECT_TRUE(replies.front().values.at(0).tensor().storage.is_foreign());
  EXPECT_FALSE(replies.back().values.at(0).tensor().storage.is_foreign()) << "half of the arena is held already";
  for (unsigned i = 0; i < 50; ++i) EXPECT_TRUE(bit_identical(replies[i].values.at(0).tensor(), iota_u8(100'000, i)));
}

TEST_F(ShmTest, BytesOfAClosedConnectionStayAsTheyWere) {
  listen(held.handler());
  std::optional<Tensor> tensor = tensor_in(connection->allocate(1'000'000));
  auto item = held_request({*tensor});
  connection.reset();
  tensor.reset();
  EXPECT_TRUE(testing::wait_until([&] { return item.context.stop.stop_requested(); }));
  EXPECT_TRUE(bit_identical(item.request.values.at(0).tensor(), iota_u8(1'000'000)));
  listener.reset();
  transport.reset();
  EXPECT_TRUE(bit_identical(item.request.values.at(0).tensor(), iota_u8(1'000'000)));
  EXPECT_FALSE(place_of(item.context.allocate(1'000'000).data()));
}

TEST_F(ShmTest, AllocatedMemoryOutlivesItsConnection) {
  listen(echo);
  const auto storage = connection->allocate(1'000'000);
  connection.reset();
  listener.reset();
  transport.reset();
  std::memset(storage.data(), 1, storage.size_bytes());
}

/// Bytes of shared memory that are in memory, over all mappings of this process.
std::size_t resident_bytes() {
  std::ifstream maps("/proc/self/smaps");
  std::size_t kilobytes = 0;
  bool shared = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" /memfd:splitnet") != std::string::npos) shared = true;
    if (line.find('-') != std::string::npos && line.find("memfd:splitnet") == std::string::npos &&
        line.find(':') == std::string::npos) {
      shared = false;
    }
    if (shared && line.starts_with("Rss:")) {
      kilobytes += std::stoul(line.substr(4));
      shared = false;
    }
  }
  return kilobytes * 1024;
}

TEST_F(ShmTest, GivesPagesBackToTheSystem) {
  ShmOptions options;
  options.kept_bytes = 0;
  listen([](const Message&, const CallContext&, const Responder& respond) { respond(reply_with({})); }, options);
  (void)call_and_wait(*connection, request_with({iota_u8(30'000'000)}));
  EXPECT_TRUE(testing::wait_until([] { return resident_bytes() < 2'000'000; })) << resident_bytes();
}

TEST_F(ShmTest, LeavesNoDescriptorsAndNoMemory) {
  listen(echo);
  const auto count_descriptors = [] {
    auto* const directory = ::opendir("/proc/self/fd");
    int count = 0;
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count;
  };
  const auto count_mappings = [] {
    std::ifstream maps("/proc/self/maps");
    int count = 0;
    for (std::string line; std::getline(maps, line);) count += line.find("memfd:splitnet") != std::string::npos ? 1 : 0;
    return count;
  };
  // After a connection for each thread, which has descriptors from then on.
  for (int i = 0; i < 4; ++i) (void)call_and_wait(*transport->connect(listener->address(), {}), request_with({}));
  EXPECT_TRUE(testing::wait_until([&] { return count_mappings() == 4; })) << count_mappings();
  const int descriptors = count_descriptors();
  const int mappings = count_mappings();
  for (int i = 0; i < 100; ++i) {
    const auto other = transport->connect(listener->address(), {});
    (void)call_and_wait(*other, request_with({iota_u8(20'000)}));
  }
  for (int i = 0; i < 20; ++i) (void)testing::connect_raw(listener->address());
  EXPECT_TRUE(testing::wait_until([&] { return count_mappings() == mappings; })) << count_mappings();
  EXPECT_TRUE(testing::wait_until([&] { return count_descriptors() == descriptors; })) << count_descriptors();
}

// ---- other processes ---------------------------------------------------------------------------

// Not tests but processes that tests start.
TEST(ShmPeerProcess, DISABLED_ServesAndNeverAnswers) {
  testing::Held held;
  const auto listener = make_shm_transport()->listen(shm_name("process"), held.handler(), {});
  be_peer_process(listener->address());
}
TEST(ShmPeerProcess, DISABLED_Echoes) {
  const auto listener = make_shm_transport()->listen(shm_name("process"), echo, {});
  be_peer_process(listener->address());
}
TEST(ShmPeerProcess, DISABLED_CallsWithoutEnd) {
  const auto connection = make_shm_transport()->connect(endpoint_of_peer_process(), {});
  std::printf("\nshm://connected\n");
  std::fflush(stdout);
  const auto tensor = tensor_in(connection->allocate(300'000));
  for (const auto until = std::chrono::steady_clock::now() + 60s; std::chrono::steady_clock::now() < until;) {
    std::vector<testing::Outcome> outcomes;
    for (int i = 0; i < 8; ++i) outcomes.push_back(start_call(*connection, request_with({tensor, iota_u8(50'000)})));
    for (const auto& outcome : outcomes) ASSERT_TRUE(outcome.wait());
  }
}

/// Of one of them.
PeerProcess start_process(const std::string& test, const std::string& address = {}) {
  return PeerProcess("ShmPeerProcess.DISABLED_" + test, address);
}

TEST(ShmProcesses, CarryTensorsBothWays) {
  const PeerProcess process = start_process("Echoes");
  ASSERT_TRUE(process.address().starts_with("shm://"));
  const auto connection = make_shm_transport()->connect(process.address(), {});
  for (unsigned round = 0; round < 20; ++round) {
    const auto tensor = tensor_in(connection->allocate(3'000'000 - round), round);
    const auto other = iota_u8(100'000 + round, round);
    const auto reply = call_and_wait(*connection, request_with({tensor, other, Value("text")}));
    EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), tensor));
    EXPECT_TRUE(bit_identical(reply.values.at(1).tensor(), other));
  }
}

TEST(ShmProcesses, EndCallsWhenTheListenerIsKilled) {
  PeerProcess process = start_process("ServesAndNeverAnswers");
  ASSERT_TRUE(process.address().starts_with("shm://"));
  const auto connection = make_shm_transport()->connect(process.address(), {});
  const auto outcome = start_call(*connection, request_with({iota_u8(1'000'000)}));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(outcome.count(), 0);
  process.kill();
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(testing::code_of([&] { (void)make_shm_transport()->connect(process.address(), {}); }),
            ErrorCode::unavailable);
}

TEST(ShmProcesses, KeepDeadlinesWhenTheListenerIsStopped) {
  const PeerProcess process = start_process("Echoes");
  const auto connection = make_shm_transport()->connect(process.address(), {});
  (void)call_and_wait(*connection, request_with({}));
  process.stop();
  const auto late = start_call(*connection, request_with({iota_u8(100'000)}), std::chrono::steady_clock::now() + 50ms);
  EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
  process.go_on();
  (void)call_and_wait(*connection, request_with({}));
  EXPECT_EQ(late.count(), 1);
}

TEST(ShmProcesses, KilledCallersLeaveTheListenerServing) {
  const auto transport = make_shm_transport();
  const auto listener = transport->listen(shm_name("killed"), echo, {});
  for (int i = 0; i < 5; ++i) {
    PeerProcess process = start_process("CallsWithoutEnd", listener->address());
    ASSERT_TRUE(process.address().starts_with("shm://"));
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * i));
    process.kill();
    const auto connection = transport->connect(listener->address(), {});
    (void)call_and_wait(*connection, request_with({iota_u8(100'000)}), std::chrono::steady_clock::now() + 20s);
  }
}

// ---- other users -------------------------------------------------------------------------------

class ShmUsers : public ShmTest {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/splitnet-shm-XXXXXX";
    directory = ::mkdtemp(pattern.data());
    ASSERT_EQ(::chmod(directory.c_str(), 0755), 0);
    path = "shm://" + directory + "/socket";
  }
  void TearDown() override {
    listener.reset();
    ::rmdir(directory.c_str());
  }
  void listen_on_file(Handler handler, const std::string& wanted = {}) {
    ListenOptions options;
    options.token = wanted;
    transport = make_shm_transport();
    listener = transport->listen(path, std::move(handler), options);
  }

  const std::string token = "sixteen-and-more-characters";
  std::string directory;
  std::string path;
};

TEST_F(ShmUsers, WithoutATokenOthersStayOutside) {
  listen_on_file(echo);
  EXPECT_EQ(call_and_wait(*transport->connect(path, {}), request_with({Value(1)})).values.at(0).integer(), 1);
  const auto allowed = as_another_user(
      [&] { EXPECT_EQ(testing::code_of([&] { (void)transport->connect(path, {}); }), ErrorCode::unavailable); });
  if (!allowed) GTEST_SKIP() << "only root can be somebody else";
  // Nor when the owner has opened the file to them.
  ASSERT_EQ(::chmod((directory + "/socket").c_str(), 0666), 0);
  EXPECT_TRUE(as_another_user(
      [&] { EXPECT_EQ(testing::code_of([&] { (void)transport->connect(path, {}); }), ErrorCode::unauthenticated); }));
}

TEST_F(ShmUsers, WithATokenTheirBytesAreCopied) {
  std::atomic<bool> foreign{true};
  listen_on_file(
      [&](Message request, const CallContext& context, const Responder& respond) {
        foreign = request.values.at(0).tensor().storage.is_foreign();
        echo(std::move(request), context, respond);
      },
      token);
  ASSERT_EQ(::chmod((directory + "/socket").c_str(), 0666), 0);
  const auto allowed = as_another_user([&] {
    ConnectOptions options;
    options.reconnect.enabled = false;
    EXPECT_EQ(start_call(*transport->connect(path, options), request_with({})).error(), ErrorCode::unauthenticated);
    options.token = token;
    const auto mine = transport->connect(path, options);
    const auto tensor = tensor_in(mine->allocate(1'000'000));
    const auto reply = call_and_wait(*mine, request_with({tensor}));
    EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), tensor));
  });
  if (!allowed) GTEST_SKIP() << "only root can be somebody else";
  EXPECT_FALSE(foreign);
}

TEST_F(ShmUsers, NamesOfOthersAreNotCalledOn) {
  const std::string name = shm_name("taken");
  std::promise<void> finished;
  std::promise<bool> bound;
  // Takes the name that this user's listener would have.
  const auto address = detail::parse_shm_endpoint(name).endpoint();
  std::thread other([&] {
    if (::syscall(SYS_setresuid, 65534, 65534, 65534) != 0) return bound.set_value(false);
    const detail::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    bound.set_value(::bind(socket.get(), address.data(), static_cast<socklen_t>(address.size())) == 0 &&
                    ::listen(socket.get(), 4) == 0);
    finished.get_future().wait();
    char byte = 0;
    const detail::Descriptor peer(::accept4(socket.get(), nullptr, nullptr, SOCK_NONBLOCK));
    EXPECT_LE(::recv(peer.get(), &byte, 1, 0), 0) << "the token was shown to a stranger";
  });
  const bool is_other = bound.get_future().get();
  if (is_other) {
    ConnectOptions options;
    options.token = token;
    EXPECT_EQ(testing::code_of([&] { (void)make_shm_transport()->connect(name, options); }),
              ErrorCode::unauthenticated);
    EXPECT_EQ(testing::code_of([&] { (void)make_shm_transport()->listen(name, echo, {}); }), ErrorCode::unavailable);
    finished.set_value();
  }
  other.join();
  if (!is_other) GTEST_SKIP() << "only root can be somebody else";
}

// ---- endpoints ---------------------------------------------------------------------------------

TEST(ShmEndpoint, RefusesWhatIsNotAnEndpoint) {
  const std::string long_name(65, 'x');
  const std::string long_path(108, 'x');
  for (const std::string& endpoint :
       {std::string("shm://"), std::string("shm:name"), std::string("shm://a/b"), std::string("shm://a b"),
        std::string("shm://\xc3\xbc"), std::string("tcp://name"), "shm://" + long_name, "shm:///" + long_path}) {
    EXPECT_EQ(testing::code_of([&] { (void)make_shm_transport()->connect(endpoint, {}); }), ErrorCode::invalid_argument)
        << endpoint;
    EXPECT_EQ(testing::code_of([&] { (void)make_shm_transport()->listen(endpoint, echo, {}); }),
              ErrorCode::invalid_argument)
        << endpoint;
  }
}

TEST(ShmEndpoint, RefusesAnArenaBeyondAnyMachine) {
  ShmOptions options;
  options.arena_bytes = ~std::size_t{0};
  EXPECT_EQ(testing::code_of([&] { (void)make_shm_transport(options); }), ErrorCode::invalid_argument);
}

TEST(ShmEndpoint, RefusesAnArenaLargerThanItTakes) {
  const auto listener = make_shm_transport()->listen(shm_name("modest"), echo, {});
  ShmOptions options;
  options.arena_bytes = std::size_t{2} << 30;
  EXPECT_EQ(testing::code_of([&] { (void)make_shm_transport(options)->connect(listener->address(), {}); }),
            ErrorCode::too_large);
}

TEST_F(ShmUsers, FilesComeAndGoWithTheirListener) {
  const std::string file = directory + "/socket";
  listen_on_file(echo);
  struct stat status {};
  ASSERT_EQ(::lstat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(testing::code_of([&] { (void)transport->listen(path, echo, {}); }), ErrorCode::unavailable);
  EXPECT_NO_THROW((void)call_and_wait(*transport->connect(path, {}), request_with({})));
  listener->close();
  EXPECT_NE(::lstat(file.c_str(), &status), 0);
}

TEST_F(ShmUsers, FilesOfDeadListenersAreReplaced) {
  { const auto dead = testing::listen_raw(path); }
  listen_on_file(echo);
  EXPECT_NO_THROW((void)call_and_wait(*transport->connect(path, {}), request_with({})));
}

TEST_F(ShmUsers, OtherFilesStay) {
  const std::string file = directory + "/socket";
  std::ofstream(file) << "precious";
  EXPECT_EQ(testing::code_of([&] { listen_on_file(echo); }), ErrorCode::unavailable);
  std::string word;
  std::ifstream(file) >> word;
  EXPECT_EQ(word, "precious");
  ::unlink(file.c_str());
}

}  // namespace
}  // namespace splitnet
