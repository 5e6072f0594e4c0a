// SPDX-License-Identifier: Apache-2.0
#include "inference_trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <limits>
#include <mutex>
#include <set>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/session.hpp"
#include "splitnet/worker.hpp"
#include "transport/roads.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using ::testing::UnorderedElementsAre;

const std::string trace_id = "0af7651916cd43dd8448eb211c80319c";
const TraceContext sampled{"00-" + trace_id + "-b7ad6b7169203331-01", "rojo=1"};
const TraceContext unsampled{"00-" + trace_id + "-b7ad6b7169203331-00", {}};

class InferenceTraceTest : public ::testing::TestWithParam<std::string> {
 protected:
  InferenceTraceTest() {
    testing::Hooks hooks;
    hooks.on_run = [this](const StageInfo&) {
      if (fails_) throw Error(ErrorCode::invalid_argument, "as the test wants");
    };
    model_ = testing::chain_model();
    WorkerOptions options;
    options.log = [this](const LogRecord& record) {
      const std::lock_guard lock(mutex_);
      for (const LogField& field : record.fields) {
        if (field.key == "trace_id") logged_.insert(std::get<std::string>(field.value));
      }
    };
    worker_ = Worker::create(options);
    worker_->add_model("net", std::make_shared<testing::HookedModel>(model_, hooks));
    endpoint_ = worker_->serve(registry_, GetParam());
  }

  std::unique_ptr<Session> open(std::shared_ptr<TraceRecorder> recorder, std::string codec = "raw") {
    SessionOptions options;
    options.worker = endpoint_;
    options.cut = Cut::after_index(1);
    options.codec = std::move(codec);
    options.registry = registry_;
    options.trace_recorder = std::move(recorder);
    options.finish_on_device = false;
    return Session::open(model_, options);
  }
  std::set<std::string> logged() {
    const std::lock_guard lock(mutex_);
    return logged_;
  }

  TransportRegistry registry_ = testing::all_transports();
  std::atomic<bool> fails_ = false;
  std::mutex mutex_;
  std::set<std::string> logged_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Worker> worker_;
  std::string endpoint_;
};

const TraceSpan& find(const std::vector<TraceSpan>& spans, const std::string& name) {
  const auto found = std::find_if(spans.begin(), spans.end(), [&](const TraceSpan& span) { return span.name == name; });
  if (found == spans.end()) throw std::runtime_error("no span " + name);
  return *found;
}

double end_s(const TraceSpan& span) {
  return span.start_s + span.duration_s;
}

TEST_P(InferenceTraceTest, BothSidesAreOnOneClock) {
  const auto recorder = std::make_shared<TraceRecorder>();
  const auto session = open(recorder, "f16");
  for (int i = 0; i < 20; ++i) {
    recorder->clear();
    (void)session->run(testing::inputs_of(i));
    const auto spans = recorder->spans();
    std::vector<std::string> here;
    std::vector<std::string> there;
    for (const TraceSpan& span : spans) (span.process == "device" ? here : there).push_back(span.name);
    EXPECT_THAT(here, UnorderedElementsAre("wait", "head", "encode", "send", "receive", "inference"));
    EXPECT_THAT(there, UnorderedElementsAre("queue", "slice", "decode", "run"));
    constexpr double rounding = 1e-9;
    const double sent = find(spans, "send").start_s;
    const double received = end_s(find(spans, "receive"));
    double before = end_s(find(spans, "send"));
    for (const char* step : {"queue", "slice", "decode", "run"}) {
      const TraceSpan& span = find(spans, step);
      EXPECT_EQ(span.process, endpoint_);
      EXPECT_GE(span.start_s, before - rounding) << step;
      EXPECT_GE(span.start_s, sent) << step;
      EXPECT_LE(end_s(span), received + rounding) << step;
      before = end_s(span);
    }
    EXPECT_GE(find(spans, "receive").start_s, before - rounding);
    const TraceSpan& whole = find(spans, "inference");
    for (const TraceSpan& span : spans) {
      EXPECT_GE(span.start_s, whole.start_s) << span.name;
      EXPECT_LE(end_s(span), end_s(whole) + rounding) << span.name;
      EXPECT_EQ(span.trace_id, whole.trace_id);
      EXPECT_EQ(span.span_id, whole.span_id);
    }
    EXPECT_TRUE(logged().contains(whole.trace_id));
  }
}

TEST_P(InferenceTraceTest, GoesOnWithTheTraceOfTheCaller) {
  const auto recorder = std::make_shared<TraceRecorder>();
  const auto session = open(recorder);
  (void)session->run(testing::inputs_of(1), {.trace = sampled});
  const TraceSpan whole = find(recorder->spans(), "inference");
  EXPECT_EQ(whole.trace_id, trace_id);
  EXPECT_NE(whole.span_id, "b7ad6b7169203331");
  EXPECT_EQ(logged(), std::set<std::string>{trace_id});
}

TEST_P(InferenceTraceTest, RecordsNothingThatIsNotSampled) {
  const auto recorder = std::make_shared<TraceRecorder>();
  (void)open(recorder)->run(testing::inputs_of(1), {.trace = unsampled});
  EXPECT_TRUE(recorder->spans().empty());
  EXPECT_EQ(logged(), std::set<std::string>{trace_id}) << "it travels nevertheless";
}

TEST_P(InferenceTraceTest, PassesTheTraceOnWithoutARecorder) {
  const auto session = open(nullptr);
  (void)session->run(testing::inputs_of(1));
  EXPECT_EQ(logged(), std::set<std::string>{});
  (void)session->run(testing::inputs_of(1), {.trace = {"rubbish", {}}});
  EXPECT_EQ(logged(), std::set<std::string>{});
  (void)session->run(testing::inputs_of(1), {.trace = sampled});
  EXPECT_EQ(logged(), std::set<std::string>{trace_id});
}

TEST_P(InferenceTraceTest, SaysHowAnInferenceFailed) {
  const auto recorder = std::make_shared<TraceRecorder>();
  const auto session = open(recorder);
  fails_ = true;
  EXPECT_EQ(testing::thrown_code([&] { (void)session->run(testing::inputs_of(1)); }), ErrorCode::invalid_argument);
  const TraceSpan whole = find(recorder->spans(), "inference");
  EXPECT_EQ(whole.args, (std::vector<std::pair<std::string, std::string>>{{"outcome", "invalid_argument"}}));
}

TEST_P(InferenceTraceTest, ManyAtOnceAreToldApart) {
  const auto recorder = std::make_shared<TraceRecorder>();
  const auto session = open(recorder);
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 20; ++i) answers.push_back(session->submit(testing::inputs_of(i)));
  for (auto& answer : answers) (void)answer.get();
  std::map<std::string, int> spans_of;
  for (const TraceSpan& span : recorder->spans()) ++spans_of[span.span_id];
  EXPECT_EQ(spans_of.size(), 20U);
  for (const auto& [id, count] : spans_of) EXPECT_EQ(count, 8) << id;
}

INSTANTIATE_TEST_SUITE_P(Transports, InferenceTraceTest,
                         ::testing::Values("inproc://traced", "tcp://127.0.0.1:0", "shaped://@tcp://127.0.0.1:0"),
                         [](const auto& test) { return testing::scheme_of(test.param); });

// ---- What a worker may answer.

class HopTest : public ::testing::Test {
 protected:
  using Clock = std::chrono::steady_clock;
  std::vector<TraceSpan> spans_for(std::map<std::string, double> times_s) {
    const auto recorder = std::make_shared<TraceRecorder>();
    const detail::InferenceTrace trace(std::make_shared<detail::SessionTrace>(recorder), {});
    Message reply;
    reply.times_s = std::move(times_s);
    const Clock::time_point sent(1000s);
    trace.hop("tcp://w", sent, sent + 1s, reply);
    return recorder->spans();
  }
};

TEST_F(HopTest, PutsTheStepsWhereTheyBelong) {
  const auto spans = spans_for({{clock_received, 50}, {clock_sent, 50.6}, {"queue", 0.1}, {"run", 0.5}});
  ASSERT_EQ(spans.size(), 4U);
  EXPECT_NEAR(find(spans, "send").duration_s, 0.2, 1e-9);
  EXPECT_NEAR(find(spans, "queue").start_s, 1000.2, 1e-9);
  EXPECT_NEAR(find(spans, "run").start_s, 1000.3, 1e-9);
  EXPECT_NEAR(find(spans, "run").duration_s, 0.5, 1e-9);
  EXPECT_NEAR(find(spans, "receive").start_s, 1000.8, 1e-9);
}

TEST_F(HopTest, DoesNotBelieveWhatCanNotBe) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const auto& times_s :
       std::vector<std::map<std::string, double>>{{},
                                                  {{clock_received, 50}},
                                                  {{clock_received, 50}, {clock_sent, 49}},
                                                  {{clock_received, 50}, {clock_sent, 70}},
                                                  {{clock_received, -infinity}, {clock_sent, -infinity}},
                                                  {{clock_received, std::nan("")}, {clock_sent, 1}}}) {
    const auto spans = spans_for(times_s);
    ASSERT_EQ(spans.size(), 1U);
    EXPECT_EQ(spans[0].name, "round trip");
    EXPECT_EQ(spans[0].duration_s, 1);
  }
  const auto spans = spans_for({{clock_received, 50}, {clock_sent, 50.6}, {"queue", -5}, {"run", 1e300}});
  EXPECT_EQ(find(spans, "queue").duration_s, 0);
  EXPECT_NEAR(find(spans, "run").duration_s, 0.6, 1e-9);
}

}  // namespace
}  // namespace splitnet
