// SPDX-License-Identifier: Apache-2.0
// Does a session that adapts pay? Recorded up-links, two networks, three ratios of speed: an adaptive session beside
// every fixed plan that is best on some link, device only, worker only, compressed inputs, and an oracle that knows the
// recording. Sessions, transport and worker are real; stages and codecs sleep as long as the real ones take (measured
// here first), so that all sessions of a recording run side by side in real time, each as if alone on its machine.
// Written to build/bench/adaptive.json; bench/plot_adaptive.py draws it.
//
//   bench_adaptive [--trace FILE.csv] …

#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "headline.hpp"
#include "quantiles.hpp"
#include "sweep_networks.hpp"
#include "timed_model.hpp"

namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;
using Choice = SequentialPlanner::Choice;

constexpr double max_accuracy_loss = 0.02;
constexpr double delay_s = 0.025;  // Each way.
constexpr double down_bytes_per_s = 20e6 / 8;
constexpr double period_s = 0.25;     // From one inference to the next, where the one before is done by then.
constexpr double settling_s = 2;      // Before the first one.
constexpr double header_bytes = 400;  // About: of a message, beside its tensors.
struct Network {
  const char* name;
  double picture_bytes;  ///< Of its input as a JPEG file of quality 92, which is there already.
};
constexpr Network networks[] = {{"mobilenet_v2", 22e3}, {"yolov3_tiny", 75e3}};

struct Ratio {
  const char* name;
  double device_factor;
  double worker_factor;
};
constexpr Ratio ratios[] = {{"device_16_times_slower", 16, 1}, {"device_4_times_slower", 4, 1}, {"equal", 1, 1}};

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}
Clock::duration as_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// ---- Networks.

/// A real network as numbers.
struct Card {
  std::string name;
  bench::Chain chain;
  struct Coded {
    CodecProfile profile;
    std::size_t cut = 0;
    double bytes = 0;
    CodecSpeed speed;
  };
  std::vector<Coded> codecs;  // The first one is raw, which is for every cut.
};

/// Behind `cut` layers so many bytes, in the time that the real codec takes for the real boundary.
Card::Coded sized_codec(const bench::Chain& chain, std::size_t cut, double bytes, bool only_inputs, CodecSpeed speed,
                        double accuracy_loss) {
  Card::Coded coded{{}, cut, bytes, std::move(speed)};
  std::string name = only_inputs ? "sized_input" : "sized";
  name += ":bytes=" + std::to_string(static_cast<std::size_t>(bytes)) +
          ";encode=" + std::to_string(static_cast<std::size_t>(coded.speed.encode_bytes_per_s)) +
          ";decode=" + std::to_string(static_cast<std::size_t>(coded.speed.decode_bytes_per_s));
  coded.speed.codec = name;
  LayerSet head(cut);
  std::iota(head.begin(), head.end(), std::size_t{0});
  coded.profile = {.name = name,
                   .ratio = bytes / static_cast<double>(chain.boundaries[cut]),
                   .accuracy_loss = accuracy_loss,
                   .only_inputs = only_inputs,
                   .head = head};
  return coded;
}

Card card_of(const bench::SweepNetwork& network, double picture_bytes) {
  const auto model = bench::load_model(network);
  ProfileOptions options{.stage = {.threads = 1}};
  Card card{
      network.name, bench::chain_of(model->layers(), profile_device(*model, model->example_inputs(), options)), {}};
  card.codecs.push_back({});
  // The device sends the file as it is; the worker decodes it in some 5 ms.
  const auto input_bytes = static_cast<double>(card.chain.boundaries.front());
  card.codecs.push_back(sized_codec(card.chain, 0, picture_bytes, true, {"", 1e15, input_bytes / 5e-3}, 0));
  const auto calibration = bench::find_calibration(network, model->layers());
  if (!calibration)
    throw Error(ErrorCode::unavailable, card.name + " is not calibrated: run scripts/bench codec_sweep first");
  for (const CodecProfile& codec : bench::lossy_codecs(network, calibration, max_accuracy_loss)) {
    const bool is_sequential = codec.head && (codec.head->empty() || codec.head->back() + 1 == codec.head->size());
    if (!codec.only_inputs && !is_sequential) continue;  // Raw, and f16.
    const std::size_t cut = codec.only_inputs ? 0 : codec.head->size();
    const double bytes = std::ceil(codec.ratio * static_cast<double>(card.chain.boundaries[cut]));
    CodecSpeed speed{"", 200e6, 200e6};  // Of pixels as bytes.
    for (const CalibratedCodec& one : calibration->codecs) {
      if (one.profile.name == codec.name && one.profile.head == codec.head) speed = one.speed;
    }
    std::printf("%s behind %zu layers: %s is %.0f of %lld bytes\n", network.name, cut, codec.name.c_str(), bytes,
                static_cast<long long>(card.chain.boundaries[cut]));
    card.codecs.push_back(sized_codec(card.chain, cut, bytes, codec.only_inputs, speed, codec.accuracy_loss));
  }
  return card;
}

CodecRegistry codecs_with_sizes() {
  auto registry = CodecRegistry::with_defaults();
  for (const bool only_inputs : {false, true}) {
    registry.add(
        only_inputs ? "sized_input" : "sized", [only_inputs](const std::string& parameters, const CodecTables&) {
          std::size_t bytes = 0;
          double encode = 0;
          double decode = 0;
          if (std::sscanf(parameters.c_str(), "bytes=%zu;encode=%lf;decode=%lf", &bytes, &encode, &decode) != 3) {
            throw Error(ErrorCode::invalid_argument, "sized: '" + parameters + "'");
          }
          return std::make_shared<bench::SizedCodec>(bytes, encode, decode, only_inputs);
        });
  }
  return registry;
}

// ---- One plan on one recording.

struct Plan {
  std::string name;
  std::size_t head_layers = 0;
  std::size_t codec = 0;
  double head_s = 0;  // With encoding.
  double bytes = 0;
  double tail_s = 0;  // With decoding.
  double down_s = 0;
};

/// One network, ratio and recording.
class Cell {
 public:
  Cell(const Card& card, const Ratio& ratio, std::string trace_name, const LinkTrace& trace, std::string endpoint)
      : card_(card),
        ratio_(ratio),
        trace_name_(std::move(trace_name)),
        trace_(trace),
        endpoint_(std::move(endpoint)),
        device_(std::make_shared<bench::TimedModel>(card.chain, ratio.device_factor)),
        worker_(std::make_shared<bench::TimedModel>(card.chain, ratio.worker_factor)) {
    for (const Choice& choice : choices()) plans_.push_back(plan_of(choice));
  }

  [[nodiscard]] std::string model_name() const { return card_.name + "." + ratio_.name; }
  [[nodiscard]] const std::shared_ptr<const bench::TimedModel>& worker_model() const { return worker_; }
  [[nodiscard]] std::string name() const { return model_name() + "." + trace_name_; }
  [[nodiscard]] const std::vector<Plan>& plans() const { return plans_; }

  /// Latencies of one strategy, and what it cost.
  struct Run {
    std::string strategy;
    std::vector<double> begun_s;  // Since the recording began.
    std::vector<double> latency_s;
    std::vector<std::size_t> heads;
    double bytes = 0;
    double device_s = 0;
    double extra_device_s = 0;  // Beyond what its plans say: of rests begun beside a worker.
    [[nodiscard]] double mean_s() const {
      return std::accumulate(latency_s.begin(), latency_s.end(), 0.0) / static_cast<double>(latency_s.size());
    }
  };

  /// In real time.
  Run run(const std::string& strategy, const std::optional<Plan>& fixed) const {
    Run result{strategy, {}, {}, {}, 0, 0, 0};
    SessionOptions options = session_options();
    if (fixed) {
      options.finish_on_device = false;
      options.policy = [fixed](const PlanningProblem&, const IsLegal&, Objective, const Constraints&) {
        return std::make_unique<FixedPolicy>(Choice{fixed->head_layers, fixed->codec, 0});
      };
    }
    const auto connected = Clock::now();
    const auto session = Session::open(device_, options);
    const std::vector<Value> inputs = device_->example_inputs();
    const double end_s = trace_.length_s();
    double next_s = settling_s;
    double planned_rests_s = 0;
    while (next_s < end_s) {
      std::this_thread::sleep_until(connected + as_duration(next_s));
      const double begun_s = seconds_between(connected, Clock::now());
      const Answer answer = session->run(inputs);
      result.begun_s.push_back(begun_s);
      result.latency_s.push_back(answer.times.total_s);
      result.heads.push_back(answer.decision.choice.head_layers);
      result.bytes += static_cast<double>(answer.times.boundary_bytes);
      result.device_s += answer.times.head_s;
      // A race is between the worker and the device, which would have computed it all.
      if (answer.decision.reason == Reason::raced) planned_rests_s += plans_.front().head_s - answer.times.head_s;
      next_s = tick_after(begun_s + answer.times.total_s, next_s);
    }
    result.extra_device_s = std::max(0.0, session->stats().finishing_s - planned_rests_s);
    return result;
  }

  /// By arithmetic on the recording: the best plan for each inference. `fixed`: what was measured of each plan.
  [[nodiscard]] Run simulate_oracle(const std::vector<Run>& fixed) const {
    // What the arithmetic leaves out (timers, system calls), of each plan.
    std::vector<double> left_out_s;
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      std::vector<double> differences_s;
      for (std::size_t k = 0; k < fixed[i].begun_s.size(); ++k) {
        differences_s.push_back(fixed[i].latency_s[k] - modelled_s(plans_[i], fixed[i].begun_s[k]));
      }
      left_out_s.push_back(bench::median(std::move(differences_s)));
    }
    Run result{"oracle", {}, {}, {}, 0, 0, 0};
    for (double now_s = settling_s; now_s < trace_.length_s();) {
      double best_s = HUGE_VAL;
      const Plan* best = nullptr;
      for (std::size_t i = 0; i < plans_.size(); ++i) {
        const double latency_s = modelled_s(plans_[i], now_s) + left_out_s[i];
        if (latency_s < best_s) std::tie(best_s, best) = std::pair(latency_s, &plans_[i]);
      }
      result.begun_s.push_back(now_s);
      result.latency_s.push_back(best_s);
      result.heads.push_back(best->head_layers);
      result.bytes += best->bytes;
      now_s = tick_after(now_s + best_s, now_s);
    }
    return result;
  }

 private:
  static double tick_after(double done_s, double tick_s) {
    const double next_s = tick_s + period_s;
    return done_s <= next_s ? next_s : settling_s + period_s * std::ceil((done_s - settling_s) / period_s);
  }

  [[nodiscard]] double modelled_s(const Plan& plan, double begun_s) const {
    if (plan.bytes == 0) return plan.head_s;
    const double sent_s = begun_s + plan.head_s;
    return trace_.finish_s(sent_s, plan.bytes + header_bytes) - begun_s + 2 * delay_s + plan.tail_s + plan.down_s;
  }

  [[nodiscard]] LinkProfile link() const { return {2 * delay_s, 0, 2e-4, trace_.mean_bytes_per_s(), down_bytes_per_s}; }

  [[nodiscard]] SessionOptions session_options() const {
    SessionOptions options;
    options.worker = endpoint_;
    options.model_name = model_name();
    options.objective = Objective::latency;
    options.threads = 1;
    options.policy = adaptive_policy();
    options.codec_registry = codecs_with_sizes();
    TwoTierOptions& planning = options.planning;
    planning.device.profile = device_->profile();
    planning.worker.profile = worker_->profile();
    planning.link = link();
    planning.codecs.clear();
    for (const Card::Coded& coded : card_.codecs) {
      planning.codecs.push_back(coded.profile);
      if (coded.profile.name == "raw") continue;
      planning.device.profile.codecs.push_back(coded.speed);
      planning.worker.profile.codecs.push_back(coded.speed);
    }
    return options;
  }

  /// Device only, worker only raw and compressed, and all that is best on some link.
  [[nodiscard]] std::vector<Choice> choices() const {
    const SessionOptions options = session_options();
    auto problem =
        PlanningProblem::two_tier(device_->layers(), {.name = "device", .profile = options.planning.device.profile},
                                  {.name = "worker", .profile = options.planning.worker.profile}, link());
    problem.codecs = options.planning.codecs;
    const SequentialPlanner planner(problem);
    std::vector<Choice> found{{device_->layers().layers.size(), 0, 0}, {0, 0, 0}};
    for (std::size_t i = 0; i < card_.codecs.size(); ++i) {
      if (card_.codecs[i].profile.only_inputs) found.push_back({0, i, 0});
    }
    for (double bandwidth = 1e4; bandwidth < 1e8; bandwidth *= 1.15) {
      SequentialPlanner::Conditions conditions{link(), 1, 1};
      conditions.link.up_bytes_per_s = bandwidth;
      auto best = *planner.choose(Objective::latency, {}, conditions);
      best.value = 0;
      if (std::find(found.begin(), found.end(), best) == found.end()) found.push_back(best);
    }
    return found;
  }

  [[nodiscard]] Plan plan_of(const Choice& choice) const {
    const std::size_t count = device_->layers().layers.size();
    Plan plan;
    plan.head_layers = choice.head_layers;
    plan.codec = choice.codec;
    plan.head_s = device_->time_s(0, choice.head_layers);
    if (choice.head_layers == count) {
      plan.name = "device only";
      return plan;
    }
    const Card::Coded& coded = card_.codecs[choice.codec];
    const auto raw_bytes = static_cast<double>(card_.chain.boundaries[choice.head_layers]);
    plan.name = choice.head_layers == 0 ? "worker only" : "after " + std::to_string(choice.head_layers) + " layers";
    plan.name += choice.codec == 0 ? ", raw" : ", " + std::to_string(static_cast<long long>(coded.bytes)) + " bytes";
    plan.tail_s = worker_->time_s(choice.head_layers, count);
    plan.bytes = choice.codec == 0 ? raw_bytes : coded.bytes;
    plan.down_s = (static_cast<double>(card_.chain.boundaries.back()) + header_bytes) / down_bytes_per_s;
    if (choice.codec > 0) {
      plan.head_s += raw_bytes / coded.speed.encode_bytes_per_s;
      plan.tail_s += raw_bytes / coded.speed.decode_bytes_per_s;
    }
    return plan;
  }

  const Card& card_;
  const Ratio ratio_;
  const std::string trace_name_;
  const LinkTrace& trace_;
  const std::string endpoint_;
  const std::shared_ptr<const bench::TimedModel> device_;
  const std::shared_ptr<const bench::TimedModel> worker_;
  std::vector<Plan> plans_;
};

// ---- The whole.

struct Summary {
  double over_oracle_worst = 0;
  double over_best_fixed_worst = 0;
  double gap_closed_least = 1;
  double extra_compute_most = 0;
  int worthwhile = 0;
  int cells = 0;
};

nlohmann::json to_json(const Cell::Run& run) {
  return {{"strategy", run.strategy},
          {"mean_s", run.mean_s()},
          {"p99_s", bench::quantile(run.latency_s, 0.99)},
          {"inferences", run.latency_s.size()},
          {"bytes", run.bytes},
          {"device_s", run.device_s},
          {"extra_device_s", run.extra_device_s},
          {"begun_s", run.begun_s},
          {"latency_s", run.latency_s},
          {"heads", run.heads}};
}

/// Prints a cell and takes it into the summary.
nlohmann::json report(const Cell& cell, const std::vector<Cell::Run>& fixed, const Cell::Run& adaptive,
                      Summary& summary) {
  const auto best = std::min_element(fixed.begin(), fixed.end(),
                                     [](const auto& a, const auto& b) { return a.mean_s() < b.mean_s(); });
  const Cell::Run oracle = cell.simulate_oracle(fixed);
  const double whole_s = cell.plans().front().head_s * static_cast<double>(adaptive.latency_s.size());
  const double extra = adaptive.extra_device_s / whole_s;
  const double over_oracle = adaptive.mean_s() / oracle.mean_s() - 1;
  const double over_fixed = adaptive.mean_s() / best->mean_s() - 1;
  std::printf("\n%s\n", cell.name().c_str());
  std::printf("  %-36s %9s %9s %9s %9s\n", "", "mean ms", "p99 ms", "KB each", "n");
  const auto row = [](const Cell::Run& run) {
    const auto count = static_cast<double>(run.latency_s.size());
    std::printf("  %-36s %9.1f %9.1f %9.1f %9zu\n", run.strategy.c_str(), 1e3 * run.mean_s(),
                1e3 * bench::quantile(run.latency_s, 0.99), run.bytes / count / 1e3, run.latency_s.size());
  };
  for (const auto& run : fixed) row(run);
  row(oracle);
  row(adaptive);
  std::printf(
      "  adaptive: %+.1f %% over the oracle, %+.1f %% over the best fixed plan (%s), %.1f %% extra device compute\n",
      1e2 * over_oracle, 1e2 * over_fixed, best->strategy.c_str(), 1e2 * extra);
  ++summary.cells;
  summary.over_oracle_worst = std::max(summary.over_oracle_worst, over_oracle);
  summary.over_best_fixed_worst = std::max(summary.over_best_fixed_worst, over_fixed);
  summary.extra_compute_most = std::max(summary.extra_compute_most, extra);
  const double gap = best->mean_s() - oracle.mean_s();
  if (best->mean_s() >= 1.05 * oracle.mean_s()) {
    ++summary.worthwhile;
    const double closed = (best->mean_s() - adaptive.mean_s()) / gap;
    summary.gap_closed_least = std::min(summary.gap_closed_least, closed);
    std::printf("  the oracle is %.1f %% better than it: %.0f %% of the gap closed\n",
                1e2 * (1 - oracle.mean_s() / best->mean_s()), 1e2 * closed);
  }
  std::fflush(stdout);
  nlohmann::json json{{"cell", cell.name()}, {"adaptive", to_json(adaptive)}, {"oracle", to_json(oracle)}};
  for (const auto& run : fixed) json["fixed"].push_back(to_json(run));
  return json;
}

int run_all(const std::vector<std::string>& traces) {
  std::vector<Card> cards;
  for (const auto& network : bench::sweep_networks) {
    for (const Network& wanted : networks) {
      if (std::strcmp(wanted.name, network.name) == 0) cards.push_back(card_of(network, wanted.picture_bytes));
    }
  }
  Summary summary;
  nlohmann::json results;
  for (const std::string& file : traces) {
    const LinkTrace trace = read_link_trace(file);
    const std::string trace_name = std::filesystem::path(file).stem();
    WorkerOptions worker_options;
    worker_options.executor_threads = 96;
    worker_options.codecs = codecs_with_sizes();
    const auto worker = Worker::create(worker_options);
    const auto registry = TransportRegistry::with_defaults();
    const std::string address = worker->serve(registry, "tcp://127.0.0.1:0");
    const std::string endpoint = "shaped://up_trace=" + file + ",down=20Mbit,delay=25ms@" + address;
    std::vector<std::unique_ptr<Cell>> cells;
    for (const Card& card : cards) {
      for (const Ratio& ratio : ratios) {
        cells.push_back(std::make_unique<Cell>(card, ratio, trace_name, trace, endpoint));
        worker->add_model(cells.back()->model_name(), cells.back()->worker_model());
      }
    }
    std::vector<std::vector<std::future<Cell::Run>>> runs;
    for (const auto& cell : cells) {
      auto& started = runs.emplace_back();
      const auto start = [&](const std::string& strategy, const std::optional<Plan>& fixed) {
        started.push_back(
            std::async(std::launch::async, [&cell, strategy, fixed] { return cell->run(strategy, fixed); }));
      };
      for (const Plan& plan : cell->plans()) start(plan.name, plan);
      start("adaptive", std::nullopt);
    }
    std::fprintf(stderr, "%s: %.0f s\n", trace_name.c_str(), trace.length_s());
    for (std::size_t i = 0; i < cells.size(); ++i) {
      std::vector<Cell::Run> fixed;
      for (auto& run : runs[i]) fixed.push_back(run.get());
      const Cell::Run adaptive = std::move(fixed.back());
      fixed.pop_back();
      results.push_back(report(*cells[i], fixed, adaptive, summary));
      results.back()["recording"] = file;
    }
  }
  std::ofstream("build/bench/adaptive.json") << results.dump(1);
  std::printf("\n%d cells; in %d of them the oracle beats the best fixed plan by 5 %% or more\n", summary.cells,
              summary.worthwhile);
  char figures[400];
  std::snprintf(figures, sizeof figures,
                "over_oracle_worst=%.3f over_best_fixed_worst=%.3f gap_closed=%.2f extra_compute=%.3f %s %s",
                summary.over_oracle_worst, summary.over_best_fixed_worst, summary.gap_closed_least,
                summary.extra_compute_most, bench::figure_of("pipeline", "pipelined_ratio").c_str(),
                bench::figure_of("overload", "goodput_at_5x").c_str());
  bench::print_headline("adaptive", figures);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> traces;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--trace") == 0 && i + 1 < argc) {
      traces.emplace_back(argv[++i]);
    } else if (std::strncmp(argv[i], "--benchmark", 11) != 0) {
      std::fprintf(stderr, "usage: bench_adaptive [--trace FILE.csv] …\n");
      return 2;
    }
  }
  if (traces.empty()) {
    for (const auto& entry : std::filesystem::directory_iterator("../shared/data/links")) {
      if (entry.path().extension() == ".csv") traces.push_back(entry.path());
    }
    std::sort(traces.begin(), traces.end());
  }
  try {
    return run_all(traces);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_adaptive: %s\n", error.what());
    return 1;
  }
}
