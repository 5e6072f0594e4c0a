// SPDX-License-Identifier: Apache-2.0
#include "splitnet/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <utility>
#include <vector>

namespace splitnet {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

Labels labels_of(const std::string& model) {
  return model.empty() ? Labels{} : Labels{{"model", model}};
}

class Families {
 public:
  void counter(const std::string& name, const std::string& help, double value) {
    begin(name, help, MetricType::Counter);
    add_counter({}, value);
  }
  void gauge(const std::string& name, const std::string& help, double value) {
    begin(name, help, MetricType::Gauge);
    ClientMetric metric;
    metric.gauge.value = value;
    families_.back().metric.push_back(metric);
  }
  void requests(const WorkerStats& stats) {
    begin("splitnet_worker_requests_total", "Requests that have ended; outcome failed: with the error code",
          MetricType::Counter);
    for (const auto& [name, model] : stats.models) {
      const auto outcome = [labels = labels_of(name)](const char* word) {
        Labels all = labels;
        all.push_back({"outcome", word});
        return all;
      };
      add_counter(outcome("answered"), static_cast<double>(model.answered));
      for (const auto& [code, count] : model.failed) {
        Labels labels = outcome("failed");
        labels.push_back({"code", std::string(to_string(code))});
        add_counter(std::move(labels), static_cast<double>(count));
      }
    }
  }
  void histograms(const std::string& name, const std::string& help, const WorkerStats& stats,
                  Histogram ModelStats::*which) {
    begin(name, help, MetricType::Histogram);
    for (const auto& [model, counted] : stats.models) add_histogram(labels_of(model), counted.*which);
  }
  [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  void begin(const std::string& name, const std::string& help, MetricType type) {
    families_.push_back({name, help, type, {}});
  }
  void add_counter(Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    families_.back().metric.push_back(std::move(metric));
  }
  void add_histogram(Labels labels, const Histogram& histogram) {
    ClientMetric metric;
    metric.label = std::move(labels);
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < histogram.bounds.size(); ++i) {
      cumulative += histogram.counts[i];
      metric.histogram.bucket.push_back({cumulative, histogram.bounds[i]});
    }
    metric.histogram.sample_count = histogram.count();
    metric.histogram.sample_sum = histogram.sum;
    families_.back().metric.push_back(std::move(metric));
  }

  std::vector<MetricFamily> families_;
};

}  // namespace

std::string to_prometheus(const WorkerStats& stats) {
  Families out;
  out.requests(stats);
  const auto count = [](auto number) { return static_cast<double>(number); };
  out.counter("splitnet_worker_passes_total", "Passes of stages that were started", count(stats.stages_run));
  out.counter("splitnet_worker_batches_total", "Passes for several requests at once", count(stats.batches));
  out.counter("splitnet_worker_batched_requests_total", "Requests that shared a pass", count(stats.batched_requests));
  out.counter("splitnet_worker_forwarded_requests_total", "Requests that were sent on to the next tier",
              count(stats.forwarded));
  out.gauge("splitnet_worker_forwarding_requests", "Requests that wait for the next tier now", count(stats.forwarding));
  out.gauge("splitnet_worker_queued_requests", "Requests that wait for a thread now", count(stats.queued));
  out.gauge("splitnet_worker_running_requests", "Requests that a thread works on now", count(stats.running));
  out.gauge("splitnet_worker_held_bytes", "Tensor bytes of the requests that wait or run now", count(stats.held_bytes));
  out.histograms("splitnet_worker_queue_seconds", "How long requests waited for a thread", stats, &ModelStats::queue_s);
  out.histograms("splitnet_worker_slice_seconds", "How long it took to get the stage", stats, &ModelStats::slice_s);
  out.histograms("splitnet_worker_decode_seconds", "How long values took to decode", stats, &ModelStats::decode_s);
  out.histograms("splitnet_worker_run_seconds", "How long passes of stages took", stats, &ModelStats::run_s);
  out.histograms("splitnet_worker_request_bytes", "Tensor bytes of requests, encoded", stats,
                 &ModelStats::request_bytes);
  out.histograms("splitnet_worker_reply_bytes", "Tensor bytes of replies", stats, &ModelStats::reply_bytes);
  const StageCacheStats& cache = stats.cache;
  out.counter("splitnet_worker_stage_cache_hits_total", "Stages that were there", count(cache.hits));
  out.counter("splitnet_worker_stage_cache_misses_total", "Stages that had to be cut", count(cache.misses));
  out.counter("splitnet_worker_stage_cache_evictions_total", "Stages dropped to hold a bound", count(cache.evictions));
  out.gauge("splitnet_worker_stage_cache_stages", "Stages kept now", count(cache.stages));
  out.gauge("splitnet_worker_stage_cache_parameter_bytes", "Parameters of the stages kept now",
            count(cache.parameter_bytes));
  return out.text();
}

}  // namespace splitnet
