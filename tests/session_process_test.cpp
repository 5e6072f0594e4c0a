// SPDX-License-Identifier: Apache-2.0
// Sessions and workers in processes of their own, which are killed and stopped.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/session.hpp"
#include "splitnet/worker.hpp"
#include "transport/peer_process.hpp"
#include "transport/roads.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::PeerProcess;
using ModelPtr = std::shared_ptr<const Model>;

void serve(const ModelPtr& model) {
  const auto worker = Worker::create();
  worker->add_model("net", model);
  testing::be_peer_process(worker->serve(testing::all_transports(), testing::endpoint_of_peer_process()));
}

// Not tests but the processes of the next ones.
TEST(SessionPeerProcess, DISABLED_Serves) {
  serve(testing::chain_model());
}
TEST(SessionPeerProcess, DISABLED_DiesInTheMiddleOfAPass) {
  serve(std::make_shared<testing::HookedModel>(testing::chain_model(),
                                               testing::Hooks{.on_run = [](const StageInfo&) { ::raise(SIGKILL); }}));
}
constexpr const char* serves = "SessionPeerProcess.DISABLED_Serves";
constexpr const char* dies = "SessionPeerProcess.DISABLED_DiesInTheMiddleOfAPass";

/// Asks all the time, and remembers every word of the session. Each input has an answer of its own.
class Client {
 public:
  explicit Client(Session& session) : session_(session) {
    for (int seed = 0; seed < inputs; ++seed) expected_.push_back(testing::uncut(*testing::chain_model(), seed));
    thread_ = std::thread([this] { ask(); });
  }
  ~Client() { stop(); }

  void stop() {
    ends_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Answers so far that a worker gave, or the device.
  int count(bool by_worker) const { return by_worker ? by_worker_ : by_device_; }
  /// After so many more of them.
  void wait_for(int more, bool by_worker) const {
    const int enough = count(by_worker) + more;
    while (count(by_worker) < enough) std::this_thread::sleep_for(1ms);
  }
  /// Of each request, how often it was told.
  std::vector<int> told() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  int wrong() const { return wrong_; }
  /// Of an inference that failed.
  std::string error() const {
    const std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  static constexpr int inputs = 100;

  void ask() {
    for (std::size_t request = 0; !ends_; ++request) {
      {
        const std::lock_guard lock(mutex_);
        told_.push_back(0);
      }
      const int seed = static_cast<int>(request) % inputs;
      session_.submit(testing::inputs_of(seed), [this, request, seed](const std::variant<Answer, Error>& outcome) {
        note(request, seed, outcome);
      });
      std::this_thread::sleep_for(200us);
    }
  }
  void note(std::size_t request, int seed, const std::variant<Answer, Error>& outcome) {
    const std::lock_guard lock(mutex_);
    ++told_[request];
    const auto* const answer = std::get_if<Answer>(&outcome);
    if (answer == nullptr) {
      error_ = std::get<Error>(outcome).what();
    } else {
      if (!bit_identical(answer->output, expected_[static_cast<std::size_t>(seed)])) ++wrong_;
      ++(answer->answered_by.empty() ? by_device_ : by_worker_);
    }
  }

  Session& session_;
  std::vector<Value> expected_;
  std::atomic<bool> ends_ = false;
  std::atomic<int> by_worker_ = 0;
  std::atomic<int> by_device_ = 0;
  std::atomic<int> wrong_ = 0;
  mutable std::mutex mutex_;
  std::vector<int> told_;
  std::string error_;
  std::thread thread_;
};

SessionOptions options_for(const std::string& worker) {
  SessionOptions options;
  options.worker = worker;
  options.cut = Cut::after_index(4);
  options.registry = testing::all_transports();
  options.max_in_flight = 8;
  options.connect.reconnect.longest_pause = 100ms;
  return options;
}

class SessionProcess : public ::testing::TestWithParam<std::string> {};

/// FAULTS 28.
TEST_P(SessionProcess, LosesNothingWhenTheWorkerIsKilledAgainAndAgain) {
  std::optional<PeerProcess> worker;
  worker.emplace(serves, GetParam());
  const std::string address = worker->address();
  const auto session = Session::open(testing::chain_model(), options_for(address));
  Client client(*session);
  for (int i = 0; i < 5; ++i) {
    client.wait_for(20, true);
    worker->kill();
    client.wait_for(20, false);
    worker.emplace(serves, address);
    ASSERT_EQ(worker->address(), address);
  }
  client.wait_for(20, true);
  client.stop();
  const auto all_told = [&] {
    const auto stats = session->stats();
    return stats.answered + stats.failed == client.told().size();
  };
  while (!all_told()) std::this_thread::sleep_for(1ms);
  session->close();
  for (const int times : client.told()) ASSERT_EQ(times, 1);
  EXPECT_EQ(client.error(), "");
  EXPECT_EQ(client.wrong(), 0);
}

/// FAULTS 29.
TEST_P(SessionProcess, KeepsTheDeadlineWhenTheWorkerIsStoppedBeyondIt) {
  const PeerProcess worker(serves, GetParam());
  auto hasty = options_for(worker.address());
  hasty.deadline = 2s;
  const auto session = Session::open(testing::chain_model(), hasty);
  const auto ask = [&](int seed) {
    const Answer answer = session->run(testing::inputs_of(seed));
    EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*testing::chain_model(), seed)));
    return answer.answered_by;
  };
  EXPECT_EQ(ask(1), worker.address());
  worker.stop();
  EXPECT_EQ(ask(2), "") << "the device gives it in time";
  std::this_thread::sleep_for(100ms);  // Its deadline passes.
  worker.go_on();
  for (int seed = 3; seed < 20; ++seed) (void)ask(seed);
  EXPECT_EQ(ask(1), worker.address());
  EXPECT_EQ(session->stats().answered, 20U) << "the late answer is nobody's";
  EXPECT_EQ(session->stats().finished_here, 1U);
}

/// FAULTS 35: what a worker has taken in, begun and not finished.
TEST_P(SessionProcess, HasDoneAgainWhatAWorkerHadBegun) {
  for (const bool has_spare : {true, false}) {
    PeerProcess first(dies, GetParam());
    std::optional<PeerProcess> spare;
    auto options = options_for(first.address());
    if (has_spare) {
      spare.emplace(serves, "tcp://127.0.0.1:0");
      options.spare_workers = {spare->address()};
    }
    const auto session = Session::open(testing::chain_model(), options);
    const Answer answer = session->run(testing::inputs_of(1));
    EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*testing::chain_model(), 1)));
    EXPECT_EQ(answer.answered_by, has_spare ? spare->address() : "");
    EXPECT_EQ(answer.requests, has_spare ? 2U : 1U);
    EXPECT_EQ(session->stats().failed_requests, 1U);
  }
}

std::vector<std::string> endpoints() {
  auto all = testing::stream_endpoints("session_process");
  all.push_back("shm://session-process-" + std::to_string(::getpid()));
  return all;
}
INSTANTIATE_TEST_SUITE_P(Roads, SessionProcess, ::testing::ValuesIn(endpoints()),
                         [](const auto& test) { return testing::scheme_of(test.param); });

}  // namespace
}  // namespace splitnet
