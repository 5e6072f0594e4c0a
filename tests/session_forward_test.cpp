// SPDX-License-Identifier: Apache-2.0
// Sessions with several workers: boundaries from one to the next, or through the device.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "served_model.hpp"
#include "splitnet/session.hpp"
#include "splitnet/trace_recorder.hpp"
#include "splitnet/worker.hpp"
#include "transport/roads.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using testing::throws;
using ModelPtr = std::shared_ptr<const Model>;

class SessionForwardTest : public ::testing::Test {
 protected:
  /// Workers of which each may forward to the one before; gives the address of the last one that was started.
  std::string serve(const ModelPtr& model) {
    WorkerOptions options;
    options.forward_to = addresses_;
    options.registry = registry_;
    workers_.push_back(Worker::create(std::move(options)));
    workers_.back()->add_model("net", model);
    addresses_.push_back(workers_.back()->serve(registry_, "tcp://127.0.0.1:0"));
    return addresses_.back();
  }
  /// Stages on the device and on so many workers as there are cuts.
  SessionOptions options(const ModelPtr& model, std::vector<Cut> cuts) {
    SessionOptions result;
    for (std::size_t i = 0; i < cuts.size(); ++i) result.workers.insert(result.workers.begin(), serve(model));
    result.cuts = std::move(cuts);
    result.forward = true;
    return result;
  }

  TransportRegistry registry_ = testing::all_transports();
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(SessionForwardTest, GivesTheSameBitsAtEveryPairOfCuts) {
  for (const ModelPtr& model : testing::all_models()) {
    const std::size_t layers = model->layers().layers.size();
    auto three = options(model, {Cut::at_input(), Cut::at_input()});
    three.finish_on_device = false;
    for (std::size_t first = 0; first < layers; ++first) {
      for (std::size_t second = first; second < layers; ++second) {
        SCOPED_TRACE(std::to_string(first) + " and " + std::to_string(second));
        three.cuts = {Cut::after_index(first), Cut::after_index(second)};
        const Answer answer = Session::open(model, three)->run(testing::inputs_of(1));
        EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*model, 1)));
        EXPECT_LE(answer.requests, 1U);
      }
    }
    EXPECT_GT(workers_.end()[-1]->stats().forwarded, 0U);
    EXPECT_GT(workers_.end()[-2]->stats().stages_run, 0U);
  }
}

TEST_F(SessionForwardTest, ThreeWorkersInARowWithACodec) {
  const ModelPtr model = testing::chain_model();
  auto four = options(model, {Cut::after_index(0), Cut::after_index(2), Cut::after_index(4)});
  four.codec = "int8:per=channel";
  const auto recorder = std::make_shared<TraceRecorder>();
  four.trace_recorder = recorder;
  const auto forwarding = Session::open(model, four);
  auto through_the_device = four;
  through_the_device.forward = false;
  const auto passing = Session::open(model, through_the_device);
  const Answer forwarded = forwarding->run(testing::inputs_of(1));
  const Answer passed = passing->run(testing::inputs_of(1));
  EXPECT_TRUE(bit_identical(forwarded.output, passed.output));
  EXPECT_EQ(forwarded.answered_by, four.workers.front());
  ASSERT_EQ(forwarded.times.hops.size(), 1U);
  EXPECT_EQ(passed.times.hops.size(), 3U);
  EXPECT_GT(forwarded.times.decode_s, 0);
  EXPECT_GT(forwarded.times.tail_s, 0);
  EXPECT_LT(forwarded.times.hops.front().reply_bytes + forwarded.times.boundary_bytes,
            passed.times.hops[0].request_bytes + passed.times.hops[0].reply_bytes + passed.times.hops[1].request_bytes +
                passed.times.hops[1].reply_bytes + passed.times.hops[2].request_bytes +
                passed.times.hops[2].reply_bytes);
  EXPECT_NE(recorder->to_chrome_json().find("\"forward\""), std::string::npos);
  // And the device gives what this plan gives, wherever the boundaries pass.
  workers_.clear();
  for (Session* const session : {forwarding.get(), passing.get()}) {
    const Answer here = session->run(testing::inputs_of(1));
    EXPECT_TRUE(here.answered_by.empty());
    EXPECT_TRUE(bit_identical(here.output, forwarded.output));
  }
}

TEST_F(SessionForwardTest, AWorkerFurtherOnThatIsLostIsNamed) {
  const ModelPtr model = testing::chain_model();
  auto three = options(model, {Cut::after_index(0), Cut::after_index(2)});
  three.finish_on_device = false;
  three.max_retries = 0;
  const auto strict = Session::open(model, three);
  three.finish_on_device = true;
  const auto session = Session::open(model, three);
  workers_.front()->close();
  EXPECT_TRUE(throws(ErrorCode::unavailable, three.workers.back(), [&] { strict->run(testing::inputs_of(1)); }));
  const Answer answer = session->run(testing::inputs_of(1));
  EXPECT_TRUE(answer.answered_by.empty());
  EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*model, 1)));
}

TEST_F(SessionForwardTest, ChecksThatTheWayIsAllowed) {
  const ModelPtr model = testing::chain_model();
  auto wrong = options(model, {Cut::after_index(0), Cut::after_index(2)});
  std::swap(wrong.workers[0], wrong.workers[1]);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "is not among the endpoints that this worker forwards to",
                     [&] { (void)Session::open(model, wrong); }));
  SessionOptions single;
  single.worker = addresses_.front();
  single.forward = true;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "forward", [&] { (void)Session::open(model, single); }));
  single.objective = Objective::latency;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "forward", [&] { (void)Session::open(model, single); }));
}

}  // namespace
}  // namespace splitnet
