// SPDX-License-Identifier: Apache-2.0
#include "splitnet/sweep.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>
#include <utility>

#include "check_number.hpp"
#include "profile_json.hpp"
#include "splitnet/error.hpp"
#include "splitnet/link_probe.hpp"
#include "splitnet/planner.hpp"
#include "splitnet/session.hpp"
#include "splitnet/tier_profiler.hpp"
#include "statistics.hpp"

namespace splitnet {
namespace {

constexpr std::size_t kSessionsAtOnce = 24;

// ---- Rows.

SweepTimes times_of(const Cost& cost) {
  SweepTimes times;
  times.head_s = cost.stages.front().compute_s;
  times.total_s = cost.latency_s;
  if (cost.hops.empty()) return times;
  const HopCost& hop = cost.hops.front();
  times.encode_s = hop.encode_s;
  times.transport_s = hop.overhead_s + hop.rtt_s + hop.up_s + hop.down_s;
  times.decode_s = hop.decode_s;
  times.tail_s = cost.stages.back().compute_s;
  return times;
}

SweepTimes times_of(const StepTimes& steps) {
  return {steps.head_s, steps.encode_s, steps.transport_s + steps.queue_s, steps.decode_s, steps.tail_s, steps.total_s};
}

std::string name_of(const LayerGraph& graph, std::size_t head_layers) {
  if (head_layers == 0) return "worker only";
  if (head_layers == graph.layers.size()) return "device only";
  return "after " + graph.layers[head_layers - 1].name;
}

SweepRow row_of(const LayerGraph& graph, const Candidate& candidate) {
  SweepRow row;
  const Assignment& assignment = candidate.assignment;
  row.head_layers = assignment.heads.empty() ? graph.layers.size() : assignment.heads.front().size();
  row.cut = name_of(graph, row.head_layers);
  row.predicted = times_of(candidate.cost);
  if (assignment.heads.empty()) return row;
  row.codec = assignment.codecs.front();
  row.bytes_up = candidate.cost.hops.front().bytes_up;
  return row;
}

/// Which numbers of head layers are kept in an even sample of the cuts between input and output.
std::vector<bool> even_sample(const std::vector<bool>& legal, std::size_t max_cuts) {
  std::vector<std::size_t> cuts;
  for (std::size_t i = 1; i + 1 < legal.size(); ++i) {
    if (legal[i]) cuts.push_back(i);
  }
  std::vector<bool> kept(legal.size(), false);
  kept.front() = legal.front();
  kept.back() = true;
  const std::size_t count = max_cuts == 0 ? cuts.size() : std::min(max_cuts, cuts.size());
  for (std::size_t i = 0; i < count; ++i) kept[cuts[(2 * i + 1) * cuts.size() / (2 * count)]] = true;
  return kept;
}

std::vector<bool> legal_cuts(const Model& model) {
  std::vector<bool> legal;
  for (LayerSet head; head.size() <= model.layers().layers.size(); head.push_back(head.size())) {
    legal.push_back(!model.refusal({head}));
  }
  legal.back() = true;  // Device only needs no cut.
  return legal;
}

// ---- One link.

class LinkMeasurement {
 public:
  LinkMeasurement(const std::shared_ptr<const Model>& model, const std::vector<Value>& inputs,
                  const SweepOptions& options, const std::vector<bool>& legal)
      : model_(model), inputs_(inputs), options_(options), legal_(legal) {}

  LinkSweep measure(const std::string& worker, PlanningProblem problem) {
    result_.worker = worker;
    result_.link = *problem.link(0, 1);
    sample_rows(problem);
    measure_half(&SweepRow::first_s);
    note_load(problem);
    const std::size_t measured = result_.rows.size();
    predict(problem);
    progress_total_ += result_.rows.size() - measured;
    times_.clear();
    measure_half(&SweepRow::second_s);
    for (const auto& [row, times] : times_) result_.rows[row].measured = medians(times);
    judge();
    return std::move(result_);
  }

 private:
  // ---- Which plans.

  [[nodiscard]] Plan plan_of(const PlanningProblem& problem) const {
    const SequentialPlanner planner(problem, [this](const auto& heads) { return legal_[heads.front().size()]; });
    return planner.plan(Objective::latency);
  }

  /// With predictions that know no load yet.
  void sample_rows(const PlanningProblem& problem) {
    const auto kept = even_sample(legal_, options_.max_cuts);
    for (const Candidate& candidate : plan_of(problem).candidates) {
      SweepRow row = row_of(problem.graph, candidate);
      if (!kept[row.head_layers]) continue;
      if (row.predicted.total_s > options_.max_plan_s) {
        row.not_measured = "predicted to take " + detail::short_number(row.predicted.total_s) + " s, more than " +
                           detail::short_number(options_.max_plan_s);
      } else {
        ++progress_total_;
      }
      result_.rows.push_back(std::move(row));
    }
    std::sort(result_.rows.begin(), result_.rows.end(), [](const SweepRow& a, const SweepRow& b) {
      return std::pair(a.codec, a.head_layers) < std::pair(b.codec, b.head_layers);
    });
    progress_total_ *= 2;
  }

  /// Load factors from the first half: measured over profiled time.
  void note_load(PlanningProblem& problem) {
    const auto factor = [&](double SweepTimes::*term, double& load_factor) {
      double measured_s = 0;
      double profiled_s = 0;
      for (const auto& [row, times] : times_) {
        if (result_.rows[row].predicted.*term == 0) continue;
        measured_s += medians(times).*term;
        profiled_s += result_.rows[row].predicted.*term;
      }
      if (profiled_s > 0 && measured_s > 0) load_factor = measured_s / profiled_s;
    };
    factor(&SweepTimes::head_s, problem.tiers[0].load_factor);
    factor(&SweepTimes::tail_s, problem.tiers[1].load_factor);
    result_.device_load_factor = problem.tiers[0].load_factor;
    result_.worker_load_factor = problem.tiers[1].load_factor;
  }

  /// Predicts every row anew, and adds the one that the planner chooses when it is not among them.
  void predict(const PlanningProblem& problem) {
    const Plan plan = plan_of(problem);
    for (const Candidate& candidate : plan.candidates) {
      const SweepRow predicted = row_of(problem.graph, candidate);
      if (const auto row = find(predicted)) result_.rows[*row].predicted = predicted.predicted;
    }
    const SweepRow chosen = row_of(problem.graph, *plan.chosen);
    if (!find(chosen)) result_.rows.push_back(chosen);
    result_.chosen = *find(chosen);
    result_.rows[result_.chosen].not_measured.clear();
  }

  [[nodiscard]] std::optional<std::size_t> find(const SweepRow& wanted) const {
    for (std::size_t i = 0; i < result_.rows.size(); ++i) {
      const SweepRow& row = result_.rows[i];
      if (row.head_layers == wanted.head_layers && row.codec == wanted.codec) return i;
    }
    return std::nullopt;
  }

  // ---- Measuring.

  [[nodiscard]] std::unique_ptr<Session> open(const SweepRow& row) const {
    SessionOptions session;
    session.threads = options_.threads;
    session.registry = options_.registry;
    if (row.head_layers < model_->layers().layers.size()) {
      session.worker = result_.worker;
      session.model_name = options_.model_name;
      session.cut = row.head_layers == 0 ? Cut::at_input() : Cut::after_index(row.head_layers - 1);
      session.codec = row.codec;
      session.codec_registry = options_.codec_registry;
    }
    return Session::open(model_, std::move(session));
  }

  /// Plans in turns, as many at once as sessions may be open.
  void measure_half(std::vector<double> SweepRow::*half) {
    const bool is_first = half == &SweepRow::first_s;
    const std::size_t repetitions = is_first ? (options_.repetitions + 1) / 2 : options_.repetitions / 2;
    std::vector<std::size_t> rows;
    for (std::size_t i = 0; i < result_.rows.size(); ++i) {
      if (result_.rows[i].not_measured.empty()) rows.push_back(i);
    }
    for (std::size_t begin = 0; begin < rows.size(); begin += kSessionsAtOnce) {
      const std::size_t end = std::min(rows.size(), begin + kSessionsAtOnce);
      open_all({rows.begin() + static_cast<std::ptrdiff_t>(begin), rows.begin() + static_cast<std::ptrdiff_t>(end)});
      for (std::size_t repetition = 0; repetition < repetitions; ++repetition) {
        for (std::size_t i = begin; i < end; ++i) {
          std::this_thread::sleep_for(options_.pause);
          const SweepTimes times = times_of(sessions_[rows[i]]->run(inputs_).times);
          times_[rows[i]].push_back(times);
          (result_.rows[rows[i]].*half).push_back(times.total_s);
        }
      }
      progress_done_ += end - begin;
      if (options_.progress) options_.progress(result_.worker, progress_done_, progress_total_);
    }
  }

  /// Keeps those that are open as long as all fit; a new one runs once, to warm up.
  void open_all(const std::vector<std::size_t>& rows) {
    if (sessions_.size() + rows.size() > kSessionsAtOnce) {
      std::erase_if(sessions_,
                    [&](const auto& open) { return !std::binary_search(rows.begin(), rows.end(), open.first); });
    }
    for (const std::size_t row : rows) {
      auto& session = sessions_[row];
      if (session) continue;
      session = open(result_.rows[row]);
      (void)session->run(inputs_);
    }
  }

  static SweepTimes medians(const std::vector<SweepTimes>& times) {
    SweepTimes result;
    for (const auto term : {&SweepTimes::head_s, &SweepTimes::encode_s, &SweepTimes::transport_s, &SweepTimes::decode_s,
                            &SweepTimes::tail_s, &SweepTimes::total_s}) {
      std::vector<double> all;
      for (const SweepTimes& one : times) all.push_back(one.*term);
      result.*term = detail::median(std::move(all));
    }
    return result;
  }

  // ---- The verdict.

  /// The best by the first half, scored on the second.
  void judge() {
    const auto& rows = result_.rows;
    std::optional<std::size_t> best;
    std::optional<std::size_t> best_unsplit;
    const auto improve = [&](std::optional<std::size_t>& now, std::size_t row) {
      if (!now || detail::median(rows[row].first_s) < detail::median(rows[*now].first_s)) now = row;
    };
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].first_s.empty()) continue;
      improve(best, i);
      if (rows[i].head_layers == 0 || rows[i].head_layers == model_->layers().layers.size()) improve(best_unsplit, i);
    }
    result_.best = best.value_or(result_.chosen);
    const double best_s = detail::median(rows[result_.best].second_s);
    result_.regret = detail::median(rows[result_.chosen].second_s) / best_s - 1;
    result_.split_wins = best_unsplit && best != best_unsplit && best_s < detail::median(rows[*best_unsplit].second_s);
  }

  const std::shared_ptr<const Model>& model_;
  const std::vector<Value>& inputs_;
  const SweepOptions& options_;
  const std::vector<bool>& legal_;
  LinkSweep result_;
  std::map<std::size_t, std::unique_ptr<Session>> sessions_;  // By row.
  std::map<std::size_t, std::vector<SweepTimes>> times_;      // Of this half, by row.
  std::size_t progress_done_ = 0;
  std::size_t progress_total_ = 0;
};

}  // namespace

double SweepRow::prediction_error() const {
  return std::abs(predicted.total_s - measured.total_s) / measured.total_s;
}

std::optional<double> SweepRow::repetition_error() const {
  if (first_s.empty() || second_s.empty()) return std::nullopt;
  const double second = detail::median(second_s);
  return std::abs(detail::median(first_s) - second) / second;
}

void SweepOptions::validate() const {
  const auto require = [](bool holds, const std::string& what) {
    if (!holds) throw Error(ErrorCode::invalid_argument, "SweepOptions::" + what);
  };
  require(!workers.empty(), "workers has none, expected at least one endpoint");
  require(repetitions >= 2, "repetitions is " + std::to_string(repetitions) + ", expected at least 2");
  require(link_profiles.empty() || link_profiles.size() == workers.size(),
          "link_profiles has " + std::to_string(link_profiles.size()) + ", expected none or one for each of " +
              std::to_string(workers.size()) + " workers");
  detail::check_positive("SweepOptions::max_plan_s", max_plan_s);
}

Sweep run_sweep(const std::shared_ptr<const Model>& model, const std::vector<Value>& inputs,
                const SweepOptions& options) {
  options.validate();
  const auto legal = legal_cuts(*model);
  Sweep sweep;
  sweep.fingerprint = model->fingerprint();
  TwoTierOptions tiers;
  tiers.model_name = options.model_name;
  tiers.codecs = options.codecs;
  tiers.codec_registry = options.codec_registry;
  tiers.device.stage.threads = options.threads;
  tiers.device.pause = options.pause;
  tiers.link.pause = options.pause;
  tiers.device_profile = options.device_profile;
  tiers.worker_profile = options.worker_profile;
  for (std::size_t i = 0; i < options.workers.size(); ++i) {
    const std::string& worker = options.workers[i];
    if (!options.link_profiles.empty()) tiers.link_profile = options.link_profiles[i];
    auto problem = profile_two_tiers(*model, *options.registry.connect(worker), tiers);
    if (i == 0) {
      tiers.device_profile = sweep.device = problem.tiers[0].profile;
      tiers.worker_profile = sweep.worker = problem.tiers[1].profile;
    }
    sweep.links.push_back(LinkMeasurement(model, inputs, options, legal).measure(worker, std::move(problem)));
  }
  return sweep;
}

// ---- Files.

template <class Archive>
void serialize(Archive& archive, SweepTimes& times) {
  detail::json_field(archive, "head_s", times.head_s);
  detail::json_field(archive, "encode_s", times.encode_s);
  detail::json_field(archive, "transport_s", times.transport_s);
  detail::json_field(archive, "decode_s", times.decode_s);
  detail::json_field(archive, "tail_s", times.tail_s);
  detail::json_field(archive, "total_s", times.total_s);
}

template <class Archive>
void serialize(Archive& archive, SweepRow& row) {
  detail::json_field(archive, "head_layers", row.head_layers);
  detail::json_field(archive, "cut", row.cut);
  detail::json_field(archive, "codec", row.codec);
  detail::json_field(archive, "bytes_up", row.bytes_up);
  detail::json_field(archive, "predicted", row.predicted);
  detail::json_field(archive, "measured", row.measured);
  detail::json_field(archive, "first_s", row.first_s);
  detail::json_field(archive, "second_s", row.second_s);
  detail::json_field(archive, "not_measured", row.not_measured);
}

template <class Archive>
void serialize(Archive& archive, LinkSweep& link) {
  detail::json_field(archive, "worker", link.worker);
  detail::json_field(archive, "link", link.link);
  detail::json_field(archive, "device_load_factor", link.device_load_factor);
  detail::json_field(archive, "worker_load_factor", link.worker_load_factor);
  detail::json_field(archive, "rows", link.rows);
  detail::json_field(archive, "chosen", link.chosen);
  detail::json_field(archive, "best", link.best);
  detail::json_field(archive, "regret", link.regret);
  detail::json_field(archive, "split_wins", link.split_wins);
}

template <class Archive>
void serialize(Archive& archive, Sweep& sweep) {
  detail::json_field(archive, "fingerprint", sweep.fingerprint);
  detail::json_field(archive, "device", sweep.device);
  detail::json_field(archive, "worker", sweep.worker);
  detail::json_field(archive, "links", sweep.links);
}

std::string to_json(const Sweep& sweep) {
  return detail::write_json(sweep);
}

Sweep sweep_from_json(const std::string& json) {
  auto sweep = detail::read_json<Sweep>(json, "sweep");
  for (const LinkSweep& link : sweep.links) {
    if (link.chosen < link.rows.size() && link.best < link.rows.size()) continue;
    throw Error(ErrorCode::corrupt,
                "sweep: chosen or best is not one of the " + std::to_string(link.rows.size()) + " rows");
  }
  return sweep;
}

}  // namespace splitnet
