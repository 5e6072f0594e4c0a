// SPDX-License-Identifier: Apache-2.0
// What of requests becomes when a worker, or what it needs, is out of service for a while.
#include <atomic>

#include "hooked_model.hpp"
#include "served_model.hpp"
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
using testing::reply_with;
using testing::request_with;
using ::testing::SizeIs;
using testing::SqsStandIn;
using testing::start_call;
using testing::thrown_code;

class SqsOutage : public testing::SqsFixture {};

/// Who waits at a worker that is closed has another one do it, even at the last of its deliveries.
TEST_F(SqsOutage, ClosingAWorkerIsNoFailureOfWhatItHolds) {
  testing::Gate gate;
  const auto model = std::make_shared<testing::HookedModel>(
      testing::chain_model(), testing::Hooks{.on_run = [&](const StageInfo&) { gate.pass(); }});
  auto once = options();
  once.max_deliveries = 1;
  once.max_in_flight = 2;
  TransportRegistry registry;
  registry.add("sqs", make_sqs_transport(once));
  auto worker = Worker::create({});
  worker->add_model("net", model);
  worker->serve(registry, testing::work);
  Connection& connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 2; ++i) {
    Message request = request_with(testing::inputs_of(i));
    request.request = {"net", model->fingerprint(), {}};
    outcomes.push_back(start_call(connection, request));
  }
  gate.wait_for(1);
  ASSERT_TRUE(sqs.wait_until([&] { return worker->stats().queued == 1; }));
  std::thread closer([&] { worker->close(); });
  EXPECT_TRUE(sqs.wait_until([&] {
    const auto messages = sqs.messages("work");
    return std::all_of(messages.begin(), messages.end(), [](const auto& message) { return !message.is_hidden; });
  })) << "given back";
  gate.open();
  closer.join();
  EXPECT_THAT(sqs.messages("work"), SizeIs(2));
  EXPECT_THAT(sqs.messages("work-dead"), IsEmpty());
  auto twice = options();
  twice.max_deliveries = 2;
  listen(echo, twice);
  for (const auto& outcome : outcomes) EXPECT_NE(outcome.message(), nullptr);
}

}  // namespace
}  // namespace splitnet
