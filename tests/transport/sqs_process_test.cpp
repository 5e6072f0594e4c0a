// SPDX-License-Identifier: Apache-2.0
// Workers at a queue in processes of their own, which are killed and stopped; sessions that don't notice.
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>

#include "peer_process.hpp"
#include "served_model.hpp"
#include "splitnet/session.hpp"
#include "splitnet/worker.hpp"
#include "sqs_fixture.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::PeerProcess;
using testing::reply_with;
using testing::request_with;
using ::testing::SizeIs;
using testing::start_call;

/// Of a process, whose endpoint is that of the service.
SqsOptions options_at(const std::string& service) {
  SqsOptions options;
  options.aws = {.region = "eu-central-1",
                 .endpoint = service,
                 .credentials = fixed_aws_credentials({"AKIDEXAMPLE", "a secret that nobody shall see"})};
  options.store = "s3://bodies/some/prefix";
  options.max_deliveries = 1000;
  return options;
}

TransportRegistry registry_with(const SqsOptions& options) {
  auto registry = TransportRegistry::with_defaults();
  registry.add("sqs", make_sqs_transport(options));
  return registry;
}

// Not tests but the processes of the next ones. They are ready when they have taken a request.
TEST(SqsPeerProcess, DISABLED_Holds) {
  testing::Held held;
  const auto listener =
      make_sqs_transport(options_at(testing::endpoint_of_peer_process()))->listen(testing::work, held.handler(), {});
  EXPECT_TRUE(held.wait_for(1));
  testing::be_peer_process(testing::work);
}
TEST(SqsPeerProcess, DISABLED_Dies) {
  const auto listener = make_sqs_transport(options_at(testing::endpoint_of_peer_process()))
                            ->listen(testing::work,
                                     [](const Message&, const CallContext&, const Responder&) {
                                       std::printf("\n%s\n", testing::work);
                                       std::fflush(stdout);
                                       ::raise(SIGKILL);
                                     },
                                     {});
  std::this_thread::sleep_for(1min);
}
/// Answers each request when half a second has passed.
TEST(SqsPeerProcess, DISABLED_IsSlow) {
  std::promise<void> taken;
  std::once_flag once;
  const auto listener = make_sqs_transport(options_at(testing::endpoint_of_peer_process()))
                            ->listen(testing::work,
                                     [&](Message request, const CallContext& context, const Responder& respond) {
                                       std::call_once(once, [&] { taken.set_value(); });
                                       std::this_thread::sleep_for(500ms);
                                       echo(std::move(request), context, respond);
                                     },
                                     {});
  taken.get_future().wait();
  testing::be_peer_process(testing::work);
}
/// Some hundreds in a second.
TEST(SqsPeerProcess, DISABLED_Serves) {
  testing::ArithmeticOptions slow;
  slow.in_place = true;
  slow.sleep[6] = 3ms;
  const auto worker = Worker::create();
  worker->add_model("net", testing::ArithmeticModel::make(slow));
  (void)worker->serve(registry_with(options_at(testing::endpoint_of_peer_process())), testing::work);
  testing::be_peer_process(testing::work);
}

class SqsProcess : public testing::SqsFixture {
 protected:
  [[nodiscard]] std::string service() const { return sqs.options().endpoint; }
};

/// FAULTS 28, 35.
TEST_F(SqsProcess, WhatAWorkerThatWasKilledHadTakenIsDoneByAnother) {
  const auto outcome = start_call(connect(), request_with({Value(4)}));
  PeerProcess first("SqsPeerProcess.DISABLED_Holds", service());
  first.kill();
  listen();
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(outcome.count(), 0) << "it is hidden yet";
  sqs.pass_time(31s);
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->values.at(0).integer(), 4);
  EXPECT_EQ(outcome.count(), 1);
}

/// FAULTS 33: each worker that takes it dies of it.
TEST_F(SqsProcess, WhatKillsItsWorkersIsDead) {
  const auto outcome = start_call(connect(), request_with({Value(13)}));
  for (int i = 1; i <= 5; ++i) {
    const PeerProcess victim("SqsPeerProcess.DISABLED_Dies", service());
    EXPECT_EQ(sqs.messages("work").at(0).deliveries, i);
    sqs.pass_time(31s);
  }
  listen(held.handler());
  const auto* const reply = outcome.message();
  ASSERT_NE(reply, nullptr);
  EXPECT_EQ(reply->error, ErrorCode::internal);
  EXPECT_THAT(reply->error_message, HasSubstr("5 deliveries"));
  ASSERT_THAT(sqs.messages("work-dead"), SizeIs(1));
  EXPECT_THAT(attribute(sqs.messages("work-dead")[0], "reason"), HasSubstr("5 deliveries"));
  EXPECT_FALSE(held.wait_for(1, 0ms)) << "the next worker does not look at it";
}

/// FAULTS 29: it goes on when another one has answered.
TEST_F(SqsProcess, AWorkerThatWasStoppedAnswersToNobody) {
  Connection& connection = connect();
  const auto outcome = start_call(connection, request_with({Value(1)}));
  const PeerProcess slow("SqsPeerProcess.DISABLED_IsSlow", service());
  slow.stop();
  sqs.pass_time(31s);
  listen(held.handler());
  ASSERT_TRUE(held.wait_for(1));
  held.take().at(0).respond(reply_with({Value(2)}));
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->values.at(0).integer(), 2);
  const auto sent = sqs.requests("SendMessageBatch").size();
  slow.go_on();
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.requests("SendMessageBatch").size() > sent; })) << "its answer";
  listeners.clear();  // Whatever comes now is for the one that was stopped.
  const auto next = start_call(connection, request_with({Value(3)}));
  ASSERT_NE(next.message(), nullptr);
  EXPECT_EQ(next.message()->values.at(0).integer(), 3);
  EXPECT_EQ(outcome.count(), 1);
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
}

// ---- sessions ----------------------------------------------------------------------------------

/// What a session was told of each of its requests.
class Told {
 public:
  explicit Told(int count) : told_(static_cast<std::size_t>(count), 0) {
    for (int seed = 0; seed < inputs; ++seed) expected_.push_back(testing::uncut(*testing::chain_model(), seed));
  }
  void submit(Session& session, std::size_t request) {
    const int seed = static_cast<int>(request) % inputs;
    session.submit(testing::inputs_of(seed), [this, request, seed](const std::variant<Answer, Error>& outcome) {
      const std::lock_guard lock(mutex_);
      ++told_[request];
      ++count_;
      const auto* const answer = std::get_if<Answer>(&outcome);
      if (answer == nullptr) {
        error_ = std::get<Error>(outcome).what();
      } else if (!bit_identical(answer->output, expected_[static_cast<std::size_t>(seed)])) {
        error_ = "a wrong answer";
      } else if (answer->answered_by.empty()) {
        error_ = "the device had to finish it";
      }
    });
  }
  [[nodiscard]] int count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  [[nodiscard]] std::vector<int> times() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  [[nodiscard]] std::string error() const {
    const std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  static constexpr int inputs = 50;
  std::vector<Value> expected_;
  mutable std::mutex mutex_;
  std::vector<int> told_;
  int count_ = 0;
  std::string error_;
};

/// FAULTS 28, 34, 35: a thousand requests, while workers come and are killed, one ends in order, and the service is
/// gone for a while.
TEST_F(SqsProcess, NothingIsLostAndNothingToldTwice) {
  auto durable = options();
  durable.max_in_flight = 10;
  durable.max_deliveries = 1000;
  SessionOptions session_options;
  session_options.worker = testing::work;
  session_options.cut = Cut::after_index(4);
  session_options.registry = registry_with(durable);
  session_options.max_in_flight = 1000;
  session_options.finish_on_device = false;
  std::vector<std::unique_ptr<PeerProcess>> workers;
  const auto hire = [&] {
    workers.push_back(std::make_unique<PeerProcess>("SqsPeerProcess.DISABLED_Serves", service()));
  };
  hire();
  constexpr int count = 1000;
  Told told(count);
  {
    const auto session = Session::open(testing::chain_model(), session_options);
    for (std::size_t i = 0; i < count; ++i) told.submit(*session, i);
    const auto wait_for = [&](int answered) {
      EXPECT_TRUE(sqs.wait_until([&] {
        sqs.pass_time(200ms);  // What was on its way to one that died or closed is hidden, and comes again.
        return told.count() >= answered;
      })) << told.count();
      EXPECT_TRUE(answered == count || told.count() < count) << "all are done, and what comes now harms nobody";
    };
    wait_for(100);
    workers.at(0)->kill();
    sqs.pass_time(31s);  // What it had taken is done again.
    hire();
    hire();
    wait_for(250);
    sqs.stop();
    std::this_thread::sleep_for(200ms);
    sqs.start();
    wait_for(500);
    workers.at(1)->kill();
    workers.at(2)->kill();
    sqs.pass_time(31s);
    hire();
    wait_for(700);
    {
      const auto guest = Worker::create();
      guest->add_model("net", testing::chain_model());
      (void)guest->serve(registry_with(durable), testing::work);
      std::this_thread::sleep_for(10ms);
    }
    wait_for(count);
    session->close();
  }
  EXPECT_EQ(told.error(), "");
  EXPECT_EQ(told.times(), std::vector<int>(count, 1));
  EXPECT_TRUE(sqs.wait_until([&] {
    sqs.pass_time(1s);
    return sqs.messages("work").empty();
  }));
  EXPECT_THAT(sqs.messages("work-dead"), IsEmpty());
}

/// FAULTS 36: what a service throttles is hardly tried again; the device answers.
TEST_F(SqsProcess, RetriesAtAThrottledServiceAreFew) {
  const auto worker = Worker::create();
  worker->add_model("net", testing::chain_model());
  (void)worker->serve(registry_with(options()), testing::work);
  SessionOptions session_options;
  session_options.worker = testing::work;
  session_options.cut = Cut::after_index(4);
  session_options.registry = registry_with(options());
  session_options.connect.reconnect.first_pause = 1ns;  // It may be asked again at once.
  session_options.connect.reconnect.longest_pause = 1ns;
  const auto session = Session::open(testing::chain_model(), session_options);
  (void)session->run(testing::inputs_of(0));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  sqs.fail(Fault::throttled, 1'000'000, "SendMessageBatch");
  const auto before = sqs.requests("SendMessageBatch").size();
  constexpr int count = 200;
  for (int seed = 0; seed < count; ++seed) {
    const Answer answer = session->run(testing::inputs_of(seed));
    EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*testing::chain_model(), seed)));
  }
  EXPECT_LE(sqs.requests("SendMessageBatch").size() - before, count + 10U + count / 10U);
  sqs.heal();
  session->close();
  worker->close();
}

}  // namespace
}  // namespace splitnet
