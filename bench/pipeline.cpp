// SPDX-License-Identifier: Apache-2.0
// Does Session::submit keep the slowest step busy? Inferences one behind the other through a device, a link and a
// worker: their rate beside one over the busy time of the slowest of the three in the same run. Once with steps that
// sleep, each of the three the slowest in turn and then all alike, and once with real networks, one thread on either
// side, the worker in a process of its own, cut where head and tail take equally long. Written to
// build/bench/pipeline.json.
//
//   bench_pipeline [--requests N]
#include <malloc.h>
#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "child_process.hpp"
#include "headline.hpp"
#include "sweep_networks.hpp"
#include "timed_model.hpp"

namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;

constexpr std::size_t warm_up_requests = 20;
constexpr const char* networks[] = {"mobilenet_v2", "yolov3_tiny"};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- One pipeline.

/// Bytes a second; of the tensors, so that the link is somewhat busier than it says.
struct Link {
  double up_bytes_per_s = 0;
  double down_bytes_per_s = 0;
};

/// Sums over answers.
struct Busy {
  double device_s = 0;
  double up_s = 0;
  double worker_s = 0;
  double down_s = 0;

  void add(const StepTimes& times, const Link& link) {
    const HopTimes& hop = times.hops.at(0);
    device_s += times.input_decode_s + times.head_s + times.encode_s;
    up_s += static_cast<double>(hop.request_bytes) / link.up_bytes_per_s;
    worker_s += times.decode_s + times.tail_s;
    down_s += static_cast<double>(hop.reply_bytes) / link.down_bytes_per_s;
  }
  [[nodiscard]] double slowest_s() const { return std::max({device_s, up_s, worker_s, down_s}); }
};

struct Run {
  std::string name;
  std::string cut;
  std::size_t requests = 0;
  Busy busy;            // Of one inference, on average.
  double period_s = 0;  // From the first submit to the last answer, by requests: filling and emptying included.
  double latency_s = 0;
  [[nodiscard]] double ratio() const { return busy.slowest_s() / period_s; }
};

/// Takes answers as they come.
class Answers {
 public:
  explicit Answers(const Link& link) : link_(link) {}

  void take(std::variant<Answer, Error> outcome) {
    const std::lock_guard lock(mutex_);
    if (const auto* error = std::get_if<Error>(&outcome)) {
      if (!failed_) failed_ = *error;
    } else {
      const StepTimes& times = std::get<Answer>(outcome).times;
      busy_.add(times, link_);
      latency_s_ += times.total_s;
    }
    ++count_;
    changed_.notify_all();
  }
  /// Throws the first error among them.
  void wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ >= count; });
    if (failed_) throw Error(*failed_);
  }
  [[nodiscard]] Run as_run(std::string name, double elapsed_s) const {
    const auto count = static_cast<double>(count_);
    return {std::move(name),
            "",
            count_,
            {busy_.device_s / count, busy_.up_s / count, busy_.worker_s / count, busy_.down_s / count},
            elapsed_s / count,
            latency_s_ / count};
  }

 private:
  const Link link_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t count_ = 0;
  Busy busy_;
  double latency_s_ = 0;
  std::optional<Error> failed_;
};

Run measure(const std::string& name, Session& session, const std::vector<Value>& inputs, const Link& link,
            std::size_t requests) {
  const auto pass = [&](std::size_t count) {
    Answers answers(link);
    const auto begun = Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
      session.submit(inputs, [&](std::variant<Answer, Error> outcome) { answers.take(std::move(outcome)); });
    }
    answers.wait_for(count);
    return answers.as_run(name, seconds_since(begun));
  };
  (void)pass(warm_up_requests);
  return pass(requests);
}

void print_heading() {
  std::printf("%-28s %8s %8s %8s %8s %8s %9s %7s\n", "ms for one inference:", "device", "up", "worker", "down",
              "period", "latency", "ratio");
}
void print(const Run& run) {
  std::printf("%-28s %8.3f %8.3f %8.3f %8.3f %8.3f %9.3f %7.4f\n", run.name.c_str(), 1e3 * run.busy.device_s,
              1e3 * run.busy.up_s, 1e3 * run.busy.worker_s, 1e3 * run.busy.down_s, 1e3 * run.period_s,
              1e3 * run.latency_s, run.ratio());
  std::fflush(stdout);
}
nlohmann::json to_json(const Run& run) {
  return {{"name", run.name},
          {"cut", run.cut},
          {"requests", run.requests},
          {"device_s", run.busy.device_s},
          {"up_s", run.busy.up_s},
          {"worker_s", run.busy.worker_s},
          {"down_s", run.busy.down_s},
          {"period_s", run.period_s},
          {"mean_latency_s", run.latency_s},
          {"ratio", run.ratio()}};
}

// ---- Steps that sleep.

struct TimedCase {
  const char* name;
  double head_s;
  double link_s;
  double tail_s;
};
constexpr TimedCase timed_cases[] = {
    {"asleep, device slowest", 8e-3, 6e-3, 3e-3},
    {"asleep, link slowest", 3e-3, 10e-3, 4e-3},
    {"asleep, worker slowest", 3e-3, 6e-3, 8e-3},
    {"asleep, all alike", 8e-3, 10e-3, 8e-3},
};
/// Of the codec, whatever is sent: 2 ms on either side.
constexpr std::int64_t boundary_bytes = 400'000;
constexpr std::size_t coded_bytes = 100'000;
constexpr double codec_s = 2e-3;

Run measure_asleep(const TimedCase& timed, std::size_t requests) {
  const bench::Chain chain{timed.name, {timed.head_s, timed.tail_s}, {4096, boundary_bytes, 4096}, 0};
  const auto model = std::make_shared<bench::TimedModel>(chain, 1);
  auto codecs = CodecRegistry::with_defaults();
  codecs.add("sized", [](const std::string&, const CodecTables&) {
    const double bytes_per_s = static_cast<double>(boundary_bytes) / codec_s;
    return std::make_shared<bench::SizedCodec>(coded_bytes, bytes_per_s, bytes_per_s, false);
  });
  WorkerOptions worker_options;
  worker_options.codecs = codecs;
  const auto worker = Worker::create(worker_options);
  worker->add_model("timed", model);
  const auto registry = TransportRegistry::with_defaults();
  const double bytes_per_s = static_cast<double>(coded_bytes) / timed.link_s;
  SessionOptions options;
  options.worker = "shaped://up=" + std::to_string(static_cast<std::size_t>(8 * bytes_per_s)) +
                   "bit,down=100Mbit,delay=10ms@" + worker->serve(registry, "tcp://127.0.0.1:0");
  options.cut = Cut::after_index(0);
  options.codec = "sized";
  options.codec_registry = codecs;
  options.finish_on_device = false;
  const auto session = Session::open(model, options);
  Run run = measure(timed.name, *session, model->example_inputs(), {bytes_per_s, 100e6 / 8}, requests);
  run.cut = "after layer 0";
  return run;
}

// ---- Real networks.

/// Both machines are this one.
Cut cut_for_throughput(const Model& model, const LinkProfile& link) {
  ProfileOptions options{.stage = {.threads = 1}};
  options.pause = {};  // A pipeline that is full does not idle.
  const DeviceProfile profile = profile_device(model, model.example_inputs(), options);
  const auto problem = PlanningProblem::two_tier(model.layers(), {.name = "device", .profile = profile},
                                                 {.name = "worker", .profile = profile}, link);
  const SequentialPlanner planner(problem, [&](const auto& cuts) { return !model.refusal(cuts); });
  const auto choice = planner.choose(Objective::throughput, {}, {link, 1, 1});
  if (choice->head_layers == 0 || choice->head_layers == model.layers().layers.size()) {
    throw std::runtime_error("no cut of this network gives more throughput than one machine");
  }
  return Cut::after_index(choice->head_layers - 1);
}

/// The second process.
int serve() {
  WorkerOptions options;
  options.stage.threads = 1;
  const auto worker = Worker::create(options);
  for (const char* name : networks) worker->add_model(name, bench::load_model(bench::network_named(name)));
  std::printf("%s\n", worker->serve(TransportRegistry::with_defaults(), "tcp://127.0.0.1:0").c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

Run measure_network(const std::string& name, const std::string& endpoint, const std::string& link_name,
                    std::size_t requests) {
  const auto model = bench::load_model(bench::network_named(name));
  const LinkProfile link = probe_link(*TransportRegistry::with_defaults().connect(endpoint));
  SessionOptions options;
  options.worker = endpoint;
  options.model_name = name;
  options.cut = cut_for_throughput(*model, link);
  options.threads = 1;
  options.finish_on_device = false;
  const auto session = Session::open(model, options);
  Run run = measure(name + ", " + link_name, *session, model->example_inputs(),
                    {link.up_bytes_per_s, link.down_bytes_per_s}, requests);
  const LayerSet head = model->layers().resolve(options.cut);
  run.cut = "after " + model->layers().layers[head.back()].name;
  return run;
}

// ---- The whole.

int run_all(std::size_t requests) {
  std::vector<Run> runs;
  print_heading();
  const auto keep = [&](Run run) {
    print(run);
    runs.push_back(std::move(run));
  };
  for (const TimedCase& timed : timed_cases) keep(measure_asleep(timed, requests));
  {
    const bench::ChildProcess worker({"--worker"});
    const std::string endpoint = worker.read_line();
    for (const char* name : networks) {
      keep(measure_network(name, endpoint, "loopback", requests));
      keep(measure_network(name, "shaped://up=500Mbit,down=500Mbit,delay=2ms@" + endpoint, "500 Mbit/s", requests));
    }
  }
  nlohmann::json results;
  double least = 1;
  for (const Run& run : runs) {
    results.push_back(to_json(run));
    least = std::min(least, run.ratio());
  }
  std::ofstream("build/bench/pipeline.json") << results.dump(1) << '\n';
  char figures[100];
  std::snprintf(figures, sizeof figures, "pipelined_ratio=%.3f runs=%zu requests=%zu", least, runs.size(), requests);
  bench::print_headline("pipeline", figures);
  return 0;
}

constexpr const char* usage =
    "usage: bench_pipeline [--requests N]\n"
    "  --requests N   inferences in each of the runs (300)\n";

}  // namespace

int main(int argc, char** argv) try {
  // Thresholds that glibc would otherwise move while the program runs, on both sides.
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  if (argc == 2 && std::strcmp(argv[1], "--worker") == 0) return serve();
  std::size_t requests = 300;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--requests" && i + 1 < argc) {
      requests = std::max(1UL, std::strtoul(argv[++i], nullptr, 10));
    } else if (argument == "--help") {
      std::fputs(usage, stdout);
      return 0;
    } else if (argument.rfind("--benchmark_", 0) != 0) {  // Those are for the other programs of scripts/bench.
      std::fputs(usage, stderr);
      return 2;
    }
  }
  return run_all(requests);
} catch (const std::exception& error) {
  std::fprintf(stderr, "pipeline: %s\n", error.what());
  return 1;
}
