// SPDX-License-Identifier: Apache-2.0
// Want of memory in sqs:, at each moment when its thread asks for some.
#include <cstdlib>
#include <functional>
#include <new>
#include <thread>

#include "sqs_fixture.hpp"
#include "transport/sqs_batches.hpp"
#include "transport/sqs_caller.hpp"
#include "transport/sqs_listener.hpp"
#include "transport/sqs_requests.hpp"
#include "tsan_suppressions.hpp"

namespace {

/// Of this thread. `none_after`: so often there is yet some, then once there is none; negative: always.
struct Memory {
  long none_after = -1;
  bool is_limited = false;
};
thread_local Memory memory;

}  // namespace

// Inlined, GCC would take them for mismatched.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (memory.is_limited && memory.none_after >= 0 && memory.none_after-- == 0) throw std::bad_alloc();
  if (void* const got = std::malloc(bytes > 0 ? bytes : 1)) return got;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes > 0 ? bytes : 1);  // AddressSanitizer wants it to be of the same kind.
}
[[gnu::noinline]] void operator delete(void* freed) noexcept {
  std::free(freed);
}
[[gnu::noinline]] void operator delete(void* freed, std::size_t) noexcept {
  std::free(freed);
}

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::request_with;
using testing::start_call;

namespace asio = detail::asio;

/// What it tests runs on the test's own thread, in `run_until`.
class SqsMemory : public testing::SqsFixture {
 protected:
  void TearDown() override {
    work.reset();
    context->run_for(testing::kLongTime);  // What is closed has yet to end.
    SqsFixture::TearDown();
  }
  [[nodiscard]] std::shared_ptr<detail::AwsService> service() const {
    return std::make_shared<detail::AwsService>("sqs", sqs.options(), 10s);
  }
  [[nodiscard]] std::string url() const { return sqs.options().endpoint + "/123456789012/work"; }
  bool run_until(const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + testing::kLongTime;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return false;
      memory.is_limited = true;
      context->run_one_for(1ms);
      memory.is_limited = false;
    }
    return true;
  }
  /// Has `round` done with no memory at the first moment, at the one `step` further and so on, as long as it asks for
  /// some.
  static void at_each_moment(long step, const std::function<void()>& round) {
    long moment = 0;
    for (bool is_met = true; is_met; moment += step) {
      SCOPED_TRACE("no memory for allocation " + std::to_string(moment));
      memory.none_after = moment;
      round();
      is_met = std::exchange(memory.none_after, -1) < 0;
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(moment, 10) << "it asks for less than there is to test";
  }

  std::shared_ptr<asio::io_context> context = std::make_shared<asio::io_context>(1);
  asio::executor_work_guard<asio::io_context::executor_type> work{context->get_executor()};
};

/// Also one that has to go again: it is done, or who has added it hears that it is not.
TEST_F(SqsMemory, NoEntryOfABatchIsLostWithoutAWord) {
  const auto client = std::make_shared<detail::SqsClient>(context, service());
  at_each_moment(1, [&] {
    const auto batches = std::make_shared<detail::SqsBatches>(client, "SendMessageBatch", url(),
                                                              detail::SqsBatches::Limits{}, std::stop_token());
    sqs.fail(Fault::out_of_service, 1, "SendMessageBatch");
    std::vector<std::optional<ErrorCode>> told;
    for (int i = 0; i < 3; ++i) {
      batches->add({.members = R"("MessageBody":"hello")",
                    .done =
                        [&](const std::optional<detail::SqsFailure>& failure) {
                          memory.is_limited = false;
                          told.push_back(failure ? std::optional(failure->error.code()) : std::nullopt);
                          memory.is_limited = true;
                        },
                    .tries = 3});
    }
    ASSERT_TRUE(run_until([&] { return told.size() == 3 && batches->is_idle(); })) << told.size();
    for (const auto& error : told) EXPECT_TRUE(!error || *error == ErrorCode::overloaded) << to_string(*error);
    sqs.heal();
  });
}

TEST_F(SqsMemory, ACallIsAnsweredOrHearsOfIt) {
  listen();
  ConnectOptions hasty;
  hasty.reconnect.first_pause = hasty.reconnect.longest_pause = 1ms;
  const auto caller = std::make_shared<detail::SqsCaller>(context,
                                                          detail::SqsCaller::Target{.endpoint = testing::work,
                                                                                    .queue = "work",
                                                                                    .reply_queue = "",
                                                                                    .wait_time = 1s,
                                                                                    .service = service(),
                                                                                    .store = nullptr},
                                                          hasty);
  std::thread connecting([&] { context->run(); });
  caller->connect();
  context->stop();
  connecting.join();
  context->restart();
  at_each_moment(3, [&] {
    Outcome outcome;
    caller->call(request_with({Value(1)}), {}, {}, [&, told = outcome.completion()](CallResult result) {
      memory.is_limited = false;
      told(std::move(result));
      memory.is_limited = true;
    });
    ASSERT_TRUE(run_until([&] {
      sqs.pass_time(100ms);  // An answer that could not be taken comes again.
      return outcome.wait(0s);
    }));
    const auto error = outcome.error();
    EXPECT_TRUE(!error || error == ErrorCode::overloaded) << to_string(*error);
    EXPECT_EQ(outcome.count(), 1);
  });
  caller->close();
  ASSERT_TRUE(run_until([&] { return reply_queues().empty(); }));
}

/// By that worker, later: what it could not take, give back or delete comes again. Few moments: each has it hold off.
TEST_F(SqsMemory, ARequestIsAnsweredAllTheSame) {
  const auto client = std::make_shared<detail::SqsClient>(context, service());
  const auto requests =
      std::make_shared<detail::SqsRequests>(client,
                                            detail::SqsRequests::Target{.queue = "work",
                                                                        .url = url(),
                                                                        .dead_letter_queue = "work-dead",
                                                                        .max_deliveries = 1000,
                                                                        .max_message_bytes = 1'000'000,
                                                                        .max_dead_bytes = 1'000'000,
                                                                        .store = nullptr},
                                            echo, ListenOptions());
  const auto listener = std::make_shared<detail::SqsListener>(
      client,
      detail::SqsListener::Target{
          .endpoint = testing::work, .url = url(), .max_in_flight = 2, .visibility_timeout = 30s, .wait_time = 0s},
      requests, LogSink());
  listener->start();
  Connection& connection = connect();
  at_each_moment(60, [&] {
    const auto outcome = start_call(connection, request_with({Value(1)}));
    ASSERT_TRUE(run_until([&] {
      sqs.pass_time(100ms);
      return outcome.wait(0s) && sqs.messages("work").empty();
    }));
    EXPECT_NE(outcome.message(), nullptr);
    EXPECT_EQ(outcome.count(), 1);
  });
  EXPECT_THAT(sqs.messages("work-dead"), IsEmpty());
  listener->close(false);
}

}  // namespace
}  // namespace splitnet
