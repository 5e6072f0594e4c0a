// SPDX-License-Identifier: Apache-2.0
#include "splitnet/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace splitnet {
namespace {

using ::testing::HasSubstr;

WorkerStats some_stats() {
  WorkerStats stats;
  stats.queued = 3;
  stats.held_bytes = 1 << 20;
  stats.batches = 4;
  stats.batched_requests = 9;
  stats.forwarded = 6;
  stats.forwarding = 2;
  stats.cache.hits = 7;
  ModelStats& net = stats.models["net"];
  net.answered = 5;
  net.failed[ErrorCode::overloaded] = 2;
  net.queue_s.observe(0.003);
  net.queue_s.observe(100);
  stats.models[""].failed[ErrorCode::invalid_argument] = 1;
  return stats;
}

TEST(Metrics, SayWhatBecameOfRequestsByModelAndCode) {
  const auto text = to_prometheus(some_stats());
  EXPECT_THAT(text, HasSubstr("# TYPE splitnet_worker_requests_total counter\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_requests_total{model=\"net\",outcome=\"answered\"} 5\n"));
  EXPECT_THAT(text,
              HasSubstr("splitnet_worker_requests_total{model=\"net\",outcome=\"failed\",code=\"overloaded\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_requests_total{outcome=\"failed\",code=\"invalid_argument\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_queued_requests 3\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_held_bytes 1048576\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_stage_cache_hits_total 7\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE splitnet_worker_batches_total counter\nsplitnet_worker_batches_total 4\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_batched_requests_total 9\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_forwarded_requests_total 6\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE splitnet_worker_forwarding_requests gauge\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_forwarding_requests 2\n"));
}

TEST(Metrics, BucketsOfHistogramsAddUp) {
  const auto text = to_prometheus(some_stats());
  EXPECT_THAT(text, HasSubstr("# TYPE splitnet_worker_queue_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_queue_seconds_bucket{model=\"net\",le=\"0.0025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_queue_seconds_bucket{model=\"net\",le=\"0.005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_queue_seconds_bucket{model=\"net\",le=\"25\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_queue_seconds_bucket{model=\"net\",le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_queue_seconds_count{model=\"net\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("splitnet_worker_queue_seconds_sum{model=\"net\"} 100.003"));
}

/// A series that comes twice has no meaning, and scrapers refuse the whole page.
TEST(Metrics, EverySeriesIsThereOnce) {
  std::istringstream lines(to_prometheus(some_stats()));
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(line.starts_with('#') || line.starts_with("splitnet_worker_")) << line;
    EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second || line.starts_with('#')) << line;
  }
}

TEST(Metrics, ANewWorkerHasThemToo) {
  EXPECT_THAT(to_prometheus({}), HasSubstr("splitnet_worker_running_requests 0\n"));
  WorkerStats stats;
  stats.models["a \"quoted\" name\n"];
  EXPECT_THAT(to_prometheus(stats), HasSubstr("model=\"a \\\"quoted\\\" name\\n\""));
}

}  // namespace
}  // namespace splitnet
