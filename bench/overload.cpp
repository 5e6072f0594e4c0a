// SPDX-License-Identifier: Apache-2.0
// What becomes of a worker that is asked for more than it can do? Clients ask at random moments (Poisson), answered or
// not, at half, once, twice and five times what the worker can do; then a modest client asks alone, and beside one that
// asks for five times what there is. Answers are good when they come in time: the worker is told the deadline, or knows
// nothing of it and has a short queue. It is a process of its own; its passes sleep, so that its CPU time is what
// requests cost beside them, or are those of a real network. Written to build/bench/overload.json.
//
//   bench_overload [--seconds S] [--deadline-ms MS] [--clients N] [--only NAME]
#include <malloc.h>
#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "child_process.hpp"
#include "headline.hpp"
#include "quantiles.hpp"
#include "sweep_networks.hpp"
#include "timed_model.hpp"

namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;

constexpr double loads[] = {0.5, 1, 2, 5};
constexpr double modest_load = 0.25;  // Half of its share, of two clients.
constexpr double greedy_load = 5;
constexpr double warm_up_s = 0.5;  // Before the seconds that count.
constexpr int rounds = 3;          // Of all loads, so that a machine that gets slower does so for each of them.

struct Settings {
  double seconds = 6;
  double deadline_s = 0.1;
  std::size_t clients = 4;  ///< That share a load.
};

Clock::duration as_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}
double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

// ---- What is served.

struct Served {
  const char* name;
  const char* network;  ///< Of sweep_networks; empty: asleep.
  const char* cut;      ///< Behind this layer; the rest is what clients ask for.
  std::size_t executors;
  std::size_t queued;  ///< At most.
  bool tells_deadline;
};
constexpr Served served[] = {
    {"asleep", "", "layer.0", 2, 256, true},
    {"asleep_short_queue", "", "layer.0", 2, 16, false},
    {"mobilenet_v2", "mobilenet_v2", "features.7.conv.2", 1, 256, true},
};

std::shared_ptr<const Model> model_of(const Served& one) {
  if (*one.network == 0) {
    return std::make_shared<bench::TimedModel>(bench::Chain{"asleep", {0, 8e-3}, {50'000, 50'000, 4096}, 0}, 1);
  }
  return bench::load_model(bench::network_named(one.network));
}

/// The second process. Each line that it is told is answered with what it has done so far.
int serve(const std::string& name) {
  const Served& one =
      *std::find_if(std::begin(served), std::end(served), [&](const auto& s) { return name == s.name; });
  WorkerOptions options;
  options.stage.threads = 1;
  options.executor_threads = one.executors;
  options.max_queued_requests = one.queued;
  const auto worker = Worker::create(options);
  worker->add_model(name, model_of(one));
  std::printf("%s\n", worker->serve(TransportRegistry::with_defaults(), "tcp://127.0.0.1:0").c_str());
  std::fflush(stdout);
  for (int c = 0; (c = std::getchar()) != EOF;) {
    if (c != '\n') continue;
    const WorkerStats stats = worker->stats();
    std::printf("%llu %llu %llu\n", static_cast<unsigned long long>(stats.answered),
                static_cast<unsigned long long>(stats.failed), static_cast<unsigned long long>(stats.stages_run));
    std::fflush(stdout);
  }
  return 0;
}

/// What the worker did; of two readings the difference.
struct Work {
  double answered = 0;
  double failed = 0;
  double passes = 0;
  double cpu_s = 0;
  void add(const Work& other) {
    answered += other.answered;
    failed += other.failed;
    passes += other.passes;
    cpu_s += other.cpu_s;
  }
  friend Work operator-(const Work& a, const Work& b) {
    return {a.answered - b.answered, a.failed - b.failed, a.passes - b.passes, a.cpu_s - b.cpu_s};
  }
};

Work work_of(const bench::ChildProcess& worker) {
  worker.write_line("");
  Work work;
  (void)std::sscanf(worker.read_line().c_str(), "%lf %lf %lf", &work.answered, &work.failed, &work.passes);
  work.cpu_s = worker.cpu_s();
  return work;
}

// ---- Clients.

/// What became of one client's requests, those of the warm-up left out.
struct Tally {
  std::size_t offered = 0;
  std::size_t refused = 0;        ///< By the worker: overloaded.
  std::size_t late = 0;           ///< No answer within the deadline.
  std::size_t failed = 0;         ///< Anything else.
  std::vector<double> latency_s;  ///< Of answers within the deadline, from the moment that the request was due.
  std::vector<double> refusal_s;

  [[nodiscard]] double share_in_time() const {
    return static_cast<double>(latency_s.size()) / static_cast<double>(std::max<std::size_t>(offered, 1));
  }
  void add(const Tally& other) {
    offered += other.offered;
    refused += other.refused;
    late += other.late;
    failed += other.failed;
    latency_s.insert(latency_s.end(), other.latency_s.begin(), other.latency_s.end());
    refusal_s.insert(refusal_s.end(), other.refusal_s.begin(), other.refusal_s.end());
  }
};

ErrorCode code_of(const CallResult& result) {
  if (const auto* error = std::get_if<Error>(&result)) return error->code();
  return std::get<Message>(result).error;
}
bool is_answer(const CallResult& result) {
  const auto* const message = std::get_if<Message>(&result);
  return message != nullptr && message->kind == MessageKind::reply;
}

/// Asks at random moments on a connection of its own, which makes it a client of its own for the worker.
class Client {
 public:
  Client(const std::string& endpoint, Message request, bool tells_deadline)
      : request_(std::move(request)),
        tells_deadline_(tells_deadline),
        connection_(TransportRegistry::with_defaults().connect(endpoint)) {}

  /// In real time; ends when every request has.
  Tally offer(double per_s, unsigned seed, double seconds, double deadline_s) {
    std::mt19937_64 random(seed);
    std::exponential_distribution<double> gap_s(per_s);
    const auto begun = Clock::now();
    for (double at_s = gap_s(random); at_s < warm_up_s + seconds; at_s += gap_s(random)) {
      std::this_thread::sleep_until(begun + as_duration(at_s));
      ask(begun + as_duration(at_s), deadline_s, at_s >= warm_up_s);
    }
    while (open_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::lock_guard lock(mutex_);
    return std::exchange(tally_, {});
  }

  /// One after the other, so many at once: what the worker can do in a second.
  double answers_per_s(std::size_t at_once, double seconds) {
    const auto begun = Clock::now();
    std::vector<std::future<std::size_t>> askers;
    for (std::size_t i = 0; i < at_once; ++i) {
      askers.push_back(std::async(std::launch::async, [&] {
        std::size_t answers = 0;
        for (; seconds_between(begun, Clock::now()) < seconds; ++answers) {
          std::promise<CallResult> promise;
          auto result = promise.get_future();
          connection_->call(request_, {}, {}, [&](CallResult outcome) { promise.set_value(std::move(outcome)); });
          if (!is_answer(result.get())) throw std::runtime_error("the worker gave no answer");
        }
        return answers;
      }));
    }
    std::size_t answers = 0;
    for (auto& asker : askers) answers += asker.get();
    return static_cast<double>(answers) / seconds_between(begun, Clock::now());
  }

 private:
  void ask(Clock::time_point due, double deadline_s, bool counts) {
    ++open_;
    const Deadline deadline = tells_deadline_ ? Deadline(due + as_duration(deadline_s)) : std::nullopt;
    connection_->call(request_, deadline, {}, [this, due, deadline_s, counts](CallResult result) {
      if (counts) note(seconds_between(due, Clock::now()), deadline_s, result);
      --open_;
    });
  }
  void note(double took_s, double deadline_s, const CallResult& result) {
    const std::lock_guard lock(mutex_);
    ++tally_.offered;
    if (is_answer(result)) {
      if (took_s <= deadline_s) {
        tally_.latency_s.push_back(took_s);
      } else {
        ++tally_.late;
      }
    } else if (code_of(result) == ErrorCode::overloaded) {
      ++tally_.refused;
      tally_.refusal_s.push_back(took_s);
    } else {
      ++(code_of(result) == ErrorCode::deadline_exceeded ? tally_.late : tally_.failed);
    }
  }

  const Message request_;
  const bool tells_deadline_;
  std::atomic<std::size_t> open_ = 0;
  std::mutex mutex_;
  Tally tally_;
  const std::unique_ptr<Connection> connection_;  // Ends before what its completions use.
};

// ---- One load.

struct Run {
  std::string name;
  double load = 0;
  double seconds = 0;
  double deadline_s = 0;
  double running_s = 0;  // The warm-up too.
  std::vector<Tally> clients;
  Work work;
  void add(const Run& other) {
    seconds += other.seconds;
    running_s += other.running_s;
    for (std::size_t i = 0; i < clients.size(); ++i) clients[i].add(other.clients[i]);
    work.add(other.work);
  }
  [[nodiscard]] Tally all() const {
    Tally sum;
    for (const Tally& one : clients) sum.add(one);
    return sum;
  }
  [[nodiscard]] double goodput(const Tally& tally) const {
    return static_cast<double>(tally.latency_s.size()) / seconds;
  }
  [[nodiscard]] double goodput() const { return goodput(all()); }
};

class Bench {
 public:
  Bench(const Served& one, const Settings& settings)
      : one_(one), settings_(settings), process_({"--worker", one.name}), endpoint_(process_.read_line()) {
    const auto model = model_of(one);
    request_.request.model = one.name;
    request_.request.fingerprint = model->fingerprint();
    request_.request.stage = {{model->layers().resolve(Cut::after(one.cut))}, 1};
    request_.values = example_boundary(*model, request_.request.stage, {.threads = 1});
    Client client(endpoint_, request_, false);
    (void)client.answers_per_s(one.executors, 1);
    capacity_ = client.answers_per_s(2 * one.executors, 2);
    std::printf("\n%s: %.1f requests a second, wanted within %.0f ms, at most %zu waiting; %zu clients\n", one.name,
                capacity_, 1e3 * settings.deadline_s, one.queued, settings.clients);
    std::printf("  %-26s %8s %8s %8s %7s %7s %8s %8s %9s %9s\n", "load", "offered", "goodput", "refused", "late",
                "failed", "p50 ms", "p99 ms", "refusal", "worker");
    std::printf("  %-26s %8s %8s %8s %7s %7s %8s %8s %9s %9s\n", "", "per s", "per s", "share", "share", "", "", "",
                "p50 ms", "CPU");
  }

  /// So many clients, each with its load in parts of the capacity.
  Run measure(const std::string& name, const std::vector<double>& client_loads, double seconds) {
    Run run{name, 0, seconds, settings_.deadline_s, warm_up_s + seconds, {}, {}};
    const Work before = work_of(process_);
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<std::future<Tally>> tallies;
    for (std::size_t i = 0; i < client_loads.size(); ++i) {
      run.load += client_loads[i];
      clients.push_back(std::make_unique<Client>(endpoint_, request_, one_.tells_deadline));
      tallies.push_back(std::async(std::launch::async, [&, i, seed = ++seed_, client = clients.back().get()] {
        return client->offer(client_loads[i] * capacity_, seed, seconds, settings_.deadline_s);
      }));
    }
    for (auto& tally : tallies) run.clients.push_back(tally.get());
    run.work = work_of(process_) - before;
    return run;
  }

  void print(const std::string& name, const Run& run, const Tally& tally) const {
    const auto offered = static_cast<double>(std::max<std::size_t>(tally.offered, 1));
    char refusal[20] = "-";
    if (tally.refused > 0) std::snprintf(refusal, sizeof refusal, "%.2f", 1e3 * bench::median(tally.refusal_s));
    std::printf("  %-26s %8.1f %8.1f %7.1f%% %6.1f%% %7zu %8.1f %8.1f %9s %8.1f%%\n", name.c_str(),
                static_cast<double>(tally.offered) / run.seconds, run.goodput(tally),
                1e2 * static_cast<double>(tally.refused) / offered, 1e2 * static_cast<double>(tally.late) / offered,
                tally.failed, 1e3 * bench::median(tally.latency_s), 1e3 * bench::quantile(tally.latency_s, 0.99),
                refusal, 1e2 * run.work.cpu_s / run.running_s);
    std::fflush(stdout);
  }

  [[nodiscard]] double capacity() const { return capacity_; }

 private:
  const Served& one_;
  const Settings settings_;
  const bench::ChildProcess process_;
  const std::string endpoint_;
  Message request_;
  double capacity_ = 0;
  unsigned seed_ = 0;
};

nlohmann::json to_json(const Tally& tally) {
  return {{"offered", tally.offered},
          {"answered_in_time", tally.latency_s.size()},
          {"refused", tally.refused},
          {"late", tally.late},
          {"failed", tally.failed},
          {"latency_p50_s", bench::median(tally.latency_s)},
          {"latency_p99_s", bench::quantile(tally.latency_s, 0.99)},
          {"refusal_p50_s", bench::median(tally.refusal_s)},
          {"refusal_p99_s", bench::quantile(tally.refusal_s, 0.99)}};
}
nlohmann::json to_json(const Run& run) {
  nlohmann::json json{{"name", run.name},
                      {"load", run.load},
                      {"seconds", run.seconds},
                      {"deadline_s", run.deadline_s},
                      {"goodput_per_s", run.goodput()},
                      {"worker",
                       {{"answered", run.work.answered},
                        {"failed", run.work.failed},
                        {"passes", run.work.passes},
                        {"cpu_s", run.work.cpu_s}}}};
  for (const Tally& client : run.clients) json["clients"].push_back(to_json(client));
  return json;
}

// ---- The whole.

/// The worst of all that is served.
struct Summary {
  double goodput_at_2x = 1;
  double goodput_at_5x = 1;
  double refusal_cpu_s = 0;  ///< Where passes sleep.
  double late = 0;           ///< Share of what was not refused.
  double modest = 1;         ///< What comes in time of what the modest client asks for, beside the greedy one.
  std::size_t failed = 0;
};

nlohmann::json measure(const Served& one, const Settings& settings, Summary& summary) {
  Bench bench(one, settings);
  std::vector<Run> runs;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < std::size(loads); ++i) {
      char name[40];
      std::snprintf(name, sizeof name, "%.1f", loads[i]);
      const std::vector<double> shares(settings.clients, loads[i] / static_cast<double>(settings.clients));
      Run run = bench.measure(name, shares, settings.seconds / rounds);
      if (round == 0) {
        runs.push_back(std::move(run));
      } else {
        runs[i].add(run);
      }
    }
  }
  double peak = 0;
  for (const Run& run : runs) {
    const Tally all = run.all();
    bench.print(run.name, run, all);
    peak = std::max(peak, run.goodput());
    const std::size_t accepted = all.late + all.latency_s.size();
    summary.late = std::max(summary.late, static_cast<double>(all.late) / static_cast<double>(accepted));
    summary.failed += all.failed;
  }
  summary.goodput_at_2x = std::min(summary.goodput_at_2x, runs[2].goodput() / peak);
  summary.goodput_at_5x = std::min(summary.goodput_at_5x, runs[3].goodput() / peak);

  nlohmann::json json{{"served", one.name}, {"executors", one.executors}, {"capacity_per_s", bench.capacity()}};
  if (*one.network == 0) {
    // Beyond what answers cost where nobody is refused. Beside passes that compute it is lost in their noise.
    const Work& at_half = runs.front().work;
    const Work& at_five = runs[3].work;
    const double answer_cpu_s = at_half.cpu_s / at_half.answered;
    const double refusal_cpu_s = (at_five.cpu_s - answer_cpu_s * at_five.answered) / at_five.failed;
    const double pass_s = static_cast<double>(one.executors) / bench.capacity();
    std::printf("  an answer takes %.0f us of the worker's CPU; a refusal %.0f us, %.2f %% of the time of a pass\n",
                1e6 * answer_cpu_s, 1e6 * refusal_cpu_s, 1e2 * refusal_cpu_s / pass_s);
    json["answer_cpu_s"] = answer_cpu_s;
    json["refusal_cpu_s"] = refusal_cpu_s;
    summary.refusal_cpu_s = std::max(summary.refusal_cpu_s, refusal_cpu_s);
  }

  const Run alone = bench.measure("modest, alone", {modest_load}, settings.seconds);
  const Run beside = bench.measure("modest, beside a greedy one", {modest_load, greedy_load}, settings.seconds);
  bench.print(alone.name, alone, alone.clients[0]);
  bench.print("modest, beside greedy", beside, beside.clients[0]);
  bench.print("greedy", beside, beside.clients[1]);
  summary.modest = std::min(summary.modest, beside.clients[0].share_in_time());
  runs.push_back(alone);
  runs.push_back(beside);

  for (const Run& run : runs) json["runs"].push_back(to_json(run));
  return json;
}

constexpr const char* usage =
    "usage: bench_overload [--seconds S] [--deadline-ms MS] [--clients N] [--only NAME]\n"
    "  --seconds S        of each load (6)\n"
    "  --deadline-ms MS   of each request (100)\n"
    "  --clients N        that share a load (4)\n"
    "  --only NAME        of the workers asleep, asleep_short_queue and mobilenet_v2\n";

}  // namespace

int main(int argc, char** argv) try {
  // Thresholds that glibc would otherwise move while the program runs, on both sides.
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  if (argc == 3 && std::strcmp(argv[1], "--worker") == 0) return serve(argv[2]);
  Settings settings;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--seconds" && i + 1 < argc) {
      settings.seconds = std::max(1.0, std::strtod(argv[++i], nullptr));
    } else if (argument == "--deadline-ms" && i + 1 < argc) {
      settings.deadline_s = 1e-3 * std::max(1.0, std::strtod(argv[++i], nullptr));
    } else if (argument == "--clients" && i + 1 < argc) {
      settings.clients = std::max(1UL, std::strtoul(argv[++i], nullptr, 10));
    } else if (argument == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else if (argument == "--help") {
      std::fputs(usage, stdout);
      return 0;
    } else if (argument.rfind("--benchmark_", 0) != 0) {  // Those are for the other programs of scripts/bench.
      std::fputs(usage, stderr);
      return 2;
    }
  }
  Summary summary;
  nlohmann::json results;
  for (const Served& one : served) {
    if (only.empty() || only == one.name) results.push_back(measure(one, settings, summary));
  }
  if (results.empty()) throw std::runtime_error("no worker is called '" + only + "'");
  std::ofstream("build/bench/overload.json") << results.dump(1) << '\n';
  char figures[240];
  std::snprintf(figures, sizeof figures,
                "goodput_at_2x=%.3f goodput_at_5x=%.3f refusal_cpu_us=%.1f late_of_accepted=%.3f modest_in_time=%.3f "
                "failed=%zu",
                summary.goodput_at_2x, summary.goodput_at_5x, 1e6 * summary.refusal_cpu_s, summary.late, summary.modest,
                summary.failed);
  bench::print_headline("overload", figures);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "overload: %s\n", error.what());
  return 1;
}
