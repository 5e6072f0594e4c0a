// SPDX-License-Identifier: Apache-2.0
#include "splitnet/sweep.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/error.hpp"
#include "splitnet/worker.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::throws;

class SweepTest : public ::testing::Test {
 protected:
  SweepTest() {
    worker_->add_model("net", model_);
    options_.workers = {worker_->serve(options_.registry, "tcp://127.0.0.1:0")};
    options_.repetitions = 2;
    options_.pause = 0ns;
    options_.links = {LinkProfile{1e-4, 0, 0, 1e8, 1e8}};
  }
  Sweep run() { return run_sweep(model_, options_); }

  std::shared_ptr<const Model> model_ = testing::ArithmeticModel::make({.sleep = {{1, 2ms}, {6, 3ms}}, .refused = {3}});
  std::unique_ptr<Worker> worker_ = Worker::create();
  SweepOptions options_;
};

TEST_F(SweepTest, MeasuresEveryLegalCutAndWhatIsNotSplit) {
  const auto sweep = run();
  EXPECT_EQ(sweep.fingerprint, model_->fingerprint());
  ASSERT_EQ(sweep.links.size(), 1U);
  std::vector<std::size_t> heads;
  for (const SweepRow& row : sweep.links.front().rows) {
    heads.push_back(row.head_layers);
    EXPECT_EQ(row.first_s.size(), 2U);
    EXPECT_EQ(row.second_s.size(), 2U);
    EXPECT_GE(row.measured.total_s, 5e-3) << row.cut;
    EXPECT_GT(row.predicted.total_s, 0);
    EXPECT_TRUE(row.repetition_error());
  }
  EXPECT_EQ(heads, (std::vector<std::size_t>{0, 1, 2, 4, 5, 6, 7, 8}));
  EXPECT_EQ(sweep.links.front().rows.front().cut, "worker only");
  EXPECT_EQ(sweep.links.front().rows[1].cut, "after stem");
  EXPECT_EQ(sweep.links.front().rows.back().cut, "device only");
  EXPECT_EQ(sweep.links.front().rows.back().measured.tail_s, 0);
}

/// Times of which one is sleep and the rest noise: the terms must be where the sleep is.
TEST_F(SweepTest, PutsTimesIntoTheirTerms) {
  const auto sweep = run();
  for (const SweepRow& row : sweep.links.front().rows) {
    const double head_s = row.head_layers < 2 ? 0 : row.head_layers < 7 ? 2e-3 : 5e-3;
    EXPECT_GE(row.measured.head_s, head_s) << row.cut;
    EXPECT_GE(row.measured.tail_s, 5e-3 - head_s) << row.cut;
    EXPECT_GE(row.predicted.head_s, 0.9 * head_s) << row.cut;
    EXPECT_GE(row.predicted.tail_s, 0.9 * (5e-3 - head_s)) << row.cut;
  }
}

TEST_F(SweepTest, TakesASampleOfCutsAndLeavesOutWhatWouldTakeTooLong) {
  options_.max_cuts = 2;
  options_.planning.codecs.push_back({.name = "f16", .ratio = 0.5});
  options_.links = {LinkProfile{0.1, 0, 0, 1e8, 1e8}};
  options_.max_plan_s = 0.05;
  const auto sweep = run();
  const LinkSweep& link = sweep.links.front();
  std::set<std::size_t> heads;
  for (const SweepRow& row : link.rows) {
    heads.insert(row.head_layers);
    EXPECT_EQ(row.not_measured.empty(), row.cut == "device only") << row.cut;
    EXPECT_EQ(row.second_s.empty(), !row.not_measured.empty()) << row.cut;
  }
  EXPECT_GE(link.rows.size(), 7U);  // And the three best by prediction, where they are others.
  EXPECT_LE(link.rows.size(), 9U);
  EXPECT_GE(heads.size(), 4U);
  EXPECT_EQ(link.rows[link.chosen].cut, "device only");
  EXPECT_EQ(link.best, link.chosen);
  EXPECT_EQ(link.regret, 0);
  EXPECT_FALSE(link.split_wins);
}

TEST_F(SweepTest, MeasuresTheBestByPredictionThoughTheyAreNotInTheSample) {
  const auto profile = [&](double first_s, double second_s) {
    auto made = profile_device(*model_, model_->example_inputs(), {.pause = 0ns});
    made.stage_overhead_s = 0;
    for (std::size_t i = 0; i < made.layers.size(); ++i) made.layers[i].time_s = i < 6 ? first_s : second_s;
    return made;
  };
  options_.max_cuts = 1;
  options_.planning.device.profile = profile(1e-6, 10);
  options_.planning.worker.profile = profile(10, 1e-6);
  const auto sweep = run();
  const LinkSweep& link = sweep.links.front();
  EXPECT_EQ(link.rows[link.chosen].head_layers, 6U);
  EXPECT_GE(link.rows.size(), 5U);  // Device only, worker only, the cut in the middle, and those around the best.
  EXPECT_EQ(link.rows[link.chosen].second_s.size(), 2U);
}

/// The device is slow behind the middle, the worker before it.
class SplitWins : public SweepTest {
 protected:
  SplitWins() {
    const auto slow_start = testing::ArithmeticModel::make({.sleep = {{1, 20ms}}, .refused = {3}});
    model_ = testing::ArithmeticModel::make({.sleep = {{6, 20ms}}, .refused = {3}});
    worker_ = Worker::create();
    worker_->add_model("net", slow_start);
    options_.workers = {worker_->serve(options_.registry, "tcp://127.0.0.1:0")};
  }
};

TEST_F(SplitWins, IsFoundAndChosen) {
  const auto sweep = run();
  const LinkSweep& link = sweep.links.front();
  EXPECT_TRUE(link.split_wins);
  EXPECT_GE(link.rows[link.chosen].head_layers, 2U);
  EXPECT_LE(link.rows[link.chosen].head_layers, 6U);
  EXPECT_LT(link.rows[link.chosen].measured.total_s, 20e-3);
}

TEST_F(SplitWins, ChoosesAsThePlannerDoesBetweenEqualPlans) {
  const auto profiled = run();
  options_.planning.device.profile = profiled.device;
  options_.planning.worker.profile = profiled.worker;
  for (Tier* tier : {&options_.planning.device, &options_.planning.worker})
    tier->profile.codecs = {{"f16", 1e300, 1e300}};
  options_.planning.codecs = {CodecProfile{}, {.name = "f16"}};  // With raw's ratio: both cost the same.
  const auto sweep = run();
  const LinkSweep& link = sweep.links.front();
  const SweepRow& chosen = link.rows[link.chosen];
  EXPECT_EQ(chosen.codec, "raw");
  EXPECT_TRUE(std::any_of(link.rows.begin(), link.rows.end(), [&](const SweepRow& row) {
    return row.codec == "f16" && row.predicted.total_s == chosen.predicted.total_s;
  })) << chosen.cut;
}

TEST_F(SplitWins, LeavesRegretToWhoBelievesWrongProfiles) {
  const auto slow_at = [&](std::size_t slow_layer) {
    auto profile = profile_device(*model_, model_->example_inputs(), {.pause = 0ns});
    profile.stage_overhead_s = 0;
    for (std::size_t i = 0; i < profile.layers.size(); ++i) profile.layers[i].time_s = i == slow_layer ? 20e-3 : 1e-6;
    return profile;
  };
  options_.planning.device.profile = slow_at(0);
  options_.planning.worker.profile = slow_at(7);
  const auto sweep = run();
  const LinkSweep& link = sweep.links.front();
  EXPECT_TRUE(link.split_wins);
  EXPECT_NE(link.chosen, link.best);
  EXPECT_GT(link.regret, 1);
}

TEST_F(SweepTest, ListsAPlanThatFailsAndGoesOn) {
  const auto failing =
      std::make_shared<testing::HookedModel>(model_, testing::Hooks{.on_run = [](const StageInfo& info) {
                                               if (info.stage_count > 1 && info.index > 0)
                                                 throw Error(ErrorCode::internal, "broken");
                                             }});
  worker_ = Worker::create();
  worker_->add_model("net", failing);
  options_.workers = {worker_->serve(options_.registry, "tcp://127.0.0.1:0")};
  options_.planning.worker.profile = profile_device(*model_, model_->example_inputs(), {.pause = 0ns});
  const auto sweep = run();
  for (const SweepRow& row : sweep.links.front().rows) {
    EXPECT_EQ(row.not_measured.empty(), row.cut == "device only") << row.cut;
    if (row.cut == "device only") continue;
    EXPECT_NE(row.not_measured.find("broken"), std::string::npos) << row.not_measured;
  }
}

TEST_F(SweepTest, SweepsAGridOfLinksAndTellsHowFarItIs) {
  options_.workers.push_back("shaped://delay=5ms@" + options_.workers.front());
  options_.links = {};
  options_.max_cuts = 1;
  std::size_t last_done = 0;
  std::size_t last_total = 1;
  options_.progress = [&](const std::string&, std::size_t done, std::size_t total) {
    EXPECT_LE(done, total);
    last_done = done;
    last_total = total;
  };
  const auto sweep = run();
  ASSERT_EQ(sweep.links.size(), 2U);
  EXPECT_EQ(last_done, last_total);
  EXPECT_GT(sweep.links[1].link.rtt_s, sweep.links[0].link.rtt_s + 5e-3);
  EXPECT_GT(sweep.links[1].rows.front().measured.transport_s, 10e-3);
}

TEST_F(SweepTest, ShowsItsTokenToTheWorker) {
  ListenOptions listening;
  listening.token = "a-token-of-thirty-one-letters-s";
  options_.workers = {worker_->serve(options_.registry, "tcp://127.0.0.1:0", listening)};
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "token", [&] { (void)run(); }));
  options_.connect.token = listening.token;
  options_.max_cuts = 1;
  const auto sweep = run();
  for (const SweepRow& row : sweep.links.front().rows) EXPECT_EQ(row.not_measured, "") << row.cut;
}

TEST_F(SweepTest, KeepsWhatWasMeasuredWhenItIsStopped) {
  options_.workers.push_back(options_.workers.front());
  options_.links = {};
  options_.repetitions = 3;
  std::stop_source stop;
  options_.stop = stop.get_token();
  options_.progress = [&](const std::string&, std::size_t done, std::size_t) {
    if (done == 4) stop.request_stop();
  };
  const auto sweep = run();
  ASSERT_EQ(sweep.links.size(), 1U);
  const LinkSweep& link = sweep.links.front();
  std::size_t measured = 0;
  for (const SweepRow& row : link.rows) {
    if (row.not_measured.empty()) ++measured;
    EXPECT_EQ(row.not_measured.empty(), !row.second_s.empty()) << row.cut;
  }
  EXPECT_EQ(measured, 2U);
  EXPECT_TRUE(link.rows[link.chosen].not_measured.empty());
  EXPECT_EQ(sweep_from_json(to_json(sweep)), sweep);
}

TEST_F(SweepTest, KeepsWhatWasMeasuredWhenTheWorkerIsLost) {
  const std::string same = options_.workers.front();
  options_.workers = {same, same, same};
  options_.links = {};
  std::size_t links = 0;
  options_.progress = [&](const std::string&, std::size_t done, std::size_t) {
    if (done == 2) ++links;
    if (links == 2 && done == 4) worker_->close();
  };
  const auto sweep = run();
  ASSERT_EQ(sweep.links.size(), 2U);
  EXPECT_NE(sweep.failure, "");
  for (const SweepRow& row : sweep.links[0].rows) EXPECT_EQ(row.not_measured, "");
  std::size_t lost = 0;
  for (const SweepRow& row : sweep.links[1].rows) lost += row.not_measured == "the worker was lost before";
  EXPECT_GE(lost, 1U);
  EXPECT_TRUE(sweep.links[1].rows[sweep.links[1].chosen].not_measured.empty());
  EXPECT_EQ(sweep_from_json(to_json(sweep)), sweep);
  EXPECT_TRUE(throws(ErrorCode::unavailable, same, [&] { (void)run(); }));
}

TEST_F(SweepTest, KeepsTheLinksBeforeOneThatCanNotBeReached) {
  options_.workers.push_back("tcp://127.0.0.1:1");
  options_.links = {};
  options_.max_cuts = 1;
  const auto sweep = run();
  EXPECT_EQ(sweep.links.size(), 1U);
  EXPECT_NE(sweep.failure.find("127.0.0.1:1"), std::string::npos) << sweep.failure;
}

TEST_F(SweepTest, StoppedBeforeItBeginsItHasNoLinks) {
  std::stop_source stop;
  stop.request_stop();
  options_.stop = stop.get_token();
  EXPECT_TRUE(run().links.empty());
}

TEST_F(SweepTest, ComesBackFromJson) {
  options_.max_cuts = 2;
  const auto sweep = run();
  EXPECT_EQ(sweep_from_json(to_json(sweep)), sweep);
  EXPECT_TRUE(throws(ErrorCode::corrupt, "sweep", [] { (void)sweep_from_json("{\"schema_version\": 1}"); }));
  auto json = to_json(sweep);
  json.replace(json.find("\"schema_version\": 1"), 19, "\"schema_version\": 9");
  EXPECT_TRUE(throws(ErrorCode::incompatible, "schema_version is 9", [&] { (void)sweep_from_json(json); }));
  auto wrong = sweep;
  wrong.links.front().best = 100;
  EXPECT_TRUE(throws(ErrorCode::corrupt, "rows", [&] { (void)sweep_from_json(to_json(wrong)); }));
}

TEST_F(SweepTest, ChecksItsOptions) {
  const auto refused = [&](auto change, const char* words) {
    auto wrong = options_;
    change(wrong);
    return throws(ErrorCode::invalid_argument, words, [&] { (void)run_sweep(model_, wrong); });
  };
  EXPECT_TRUE(refused([](SweepOptions& o) { o.workers.clear(); }, "workers"));
  EXPECT_TRUE(refused([](SweepOptions& o) { o.planning.codecs.push_back({.name = "two", .refinement = Refinement{}}); },
                      "two is two codecs"));
  EXPECT_TRUE(refused([](SweepOptions& o) { o.planning.codecs.push_back({.name = "file", .inputs_arrive = true}); },
                      "inputs arrive in file"));
  EXPECT_TRUE(refused([](SweepOptions& o) { o.repetitions = 0; }, "repetitions is 0"));
  EXPECT_TRUE(refused([](SweepOptions& o) { o.max_plan_s = 0; }, "max_plan_s"));
  EXPECT_TRUE(refused([](SweepOptions& o) { o.links.resize(3); }, "links has 3"));
}

}  // namespace
}  // namespace splitnet
