// SPDX-License-Identifier: Apache-2.0
// A session whose worker process dies in the middle of a pass.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/session.hpp"
#include "splitnet/worker.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::HookedModel;
using testing::Hooks;

void say(const std::string& line) {
  std::printf("\n%s\n", line.c_str());
  std::fflush(stdout);
}

std::string serve(Worker& worker, std::shared_ptr<const Model> model) {
  worker.add_model("net", std::move(model));
  return worker.serve(TransportRegistry::with_defaults(), "tcp://127.0.0.1:0");
}

// Not a test but the process of the next ones: a fork of a process with threads can't start threads under TSan.
TEST(LostWorkerProcess, DISABLED_BeginsAPassAndDoesNotEndIt) {
  Hooks hooks;
  hooks.on_run = [](const StageInfo&) {
    say("pass");
    std::this_thread::sleep_for(60s);  // Ends even when the test that started it does not kill it.
  };
  const auto worker = Worker::create();
  say(serve(*worker, std::make_shared<HookedModel>(testing::chain_model(), std::move(hooks))));
  std::this_thread::sleep_for(60s);
}

class WorkerProcess {
 public:
  WorkerProcess() {
    std::array<int, 2> out{};
    EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    char program[] = "/proc/self/exe";
    char filter[] = "--gtest_filter=LostWorkerProcess.*";
    char disabled[] = "--gtest_also_run_disabled_tests";
    std::array<char*, 4> arguments{program, filter, disabled, nullptr};
    EXPECT_EQ(::posix_spawn(&child_, program, &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    out_ = ::fdopen(out[0], "r");
    address_ = next_line("tcp://");
  }
  ~WorkerProcess() {
    kill();
    std::fclose(out_);
  }
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  [[nodiscard]] const std::string& address() const { return address_; }
  void wait_for_pass() { EXPECT_EQ(next_line("pass"), "pass"); }
  void kill() {
    if (child_ == 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }

 private:
  /// That begins so: between them are GoogleTest's own words.
  std::string next_line(const std::string& beginning) {
    std::array<char, 1000> line{};
    while (std::fgets(line.data(), line.size(), out_) != nullptr) {
      const std::string text(line.data());
      if (text.starts_with(beginning)) return text.substr(0, text.find('\n'));
    }
    return {};
  }

  pid_t child_ = 0;
  std::FILE* out_ = nullptr;
  std::string address_;
};

/// FAULTS 35: the worker had taken the request, so it is done again.
class LostWorker : public ::testing::Test {
 protected:
  Answer answer_after_death(SessionOptions options) {
    WorkerProcess process;
    options.worker = process.address();
    options.cut = Cut::after_index(4);
    const auto session = Session::open(model_, options);
    auto answer = session->submit(testing::inputs_of(1));
    process.wait_for_pass();
    process.kill();
    return answer.get();
  }
  void expect_right(const Answer& answer) const {
    EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*model_, 1)));
  }

  const std::shared_ptr<const Model> model_ = testing::chain_model();
};

TEST_F(LostWorker, AnotherWorkerDoesAgainWhatItHadBegun) {
  const auto spare = Worker::create();
  SessionOptions options;
  options.spare_workers = {serve(*spare, model_)};
  options.finish_on_device = false;
  const Answer answer = answer_after_death(options);
  expect_right(answer);
  EXPECT_EQ(answer.answered_by, options.spare_workers.front());
  EXPECT_EQ(spare->stats().stages_run, 1U);
}

TEST_F(LostWorker, TheDeviceDoesAgainWhatItHadBegun) {
  const Answer answer = answer_after_death({});
  expect_right(answer);
  EXPECT_EQ(answer.answered_by, "");
}

}  // namespace
}  // namespace splitnet
