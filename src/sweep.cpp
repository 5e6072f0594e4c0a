// SPDX-License-Identifier: Apache-2.0
#include "splitnet/sweep.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "check_number.hpp"
#include "profile_json.hpp"
#include "splitnet/error.hpp"
#include "splitnet/planner.hpp"
#include "splitnet/session.hpp"
#include "statistics.hpp"

namespace splitnet {
namespace {

constexpr std::size_t kSessionsAtOnce = 24;
constexpr std::size_t kNearBest = 3;

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
  row.profiled_s = row.predicted.total_s;
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
  LinkMeasurement(const std::shared_ptr<const Model>& model, const SweepOptions& options,
                  const std::vector<bool>& legal)
      : model_(model), options_(options), legal_(legal) {}

  /// Nothing when it was stopped before a plan was measured.
  std::optional<LinkSweep> measure(const std::string& worker, PlanningProblem problem) {
    result_.worker = worker;
    result_.link = *problem.link(0, 1);
    sample_rows(problem);
    measure_rows();
    if (ends_early()) note_unmeasured();
    if (second_.empty() && ends_early()) return std::nullopt;
    note_load(problem);
    predict(problem);
    for (const auto& [row, times] : second_) result_.rows[row].measured = medians(times);
    judge();
    return std::move(result_);
  }

  /// What the worker was lost with; empty: it was not.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  [[nodiscard]] bool ends_early() const { return options_.stop.stop_requested() || !failure_.empty(); }
  [[nodiscard]] bool is_split(const SweepRow& row) const {
    return row.head_layers > 0 && row.head_layers < model_->layers().layers.size();
  }

  // ---- Which plans.

  [[nodiscard]] Plan plan_of(const PlanningProblem& problem) const {
    const SequentialPlanner planner(problem, [this](const auto& heads) { return legal_[heads.front().size()]; });
    return planner.plan(Objective::latency);
  }

  /// With predictions from the profiles alone, and the best few by them, so that what the planner would choose is
  /// there.
  void sample_rows(const PlanningProblem& problem) {
    const auto kept = even_sample(legal_, options_.max_cuts);
    const Plan plan = plan_of(problem);
    std::size_t rank = 0;
    for (const Candidate& candidate : plan.candidates) {
      SweepRow row = row_of(problem.graph, candidate);
      const bool is_near_best = candidate.violates.empty() && rank++ < kNearBest;
      if (!legal_[row.head_layers] || (!kept[row.head_layers] && !is_near_best)) continue;
      if (row.predicted.total_s > options_.max_plan_s) {
        row.not_measured = "predicted to take " + detail::short_number(row.predicted.total_s) + " s, more than " +
                           detail::short_number(options_.max_plan_s);
      }
      result_.rows.push_back(std::move(row));
    }
    std::sort(result_.rows.begin(), result_.rows.end(), [](const SweepRow& a, const SweepRow& b) {
      return std::pair(a.codec, a.head_layers) < std::pair(b.codec, b.head_layers);
    });
  }

  /// Load factors from the first half: measured over profiled time.
  void note_load(PlanningProblem& problem) {
    const auto factor = [&](double SweepTimes::*term, double& load_factor) {
      double measured_s = 0;
      double profiled_s = 0;
      for (const auto& [row, times] : first_) {
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

  /// Predicts every row anew, and chooses as the planner does among those that were measured.
  void predict(const PlanningProblem& problem) {
    std::optional<std::size_t> chosen;
    for (const Candidate& candidate : plan_of(problem).candidates) {
      const SweepRow predicted = row_of(problem.graph, candidate);
      const auto row = find(predicted);
      if (!row) continue;
      result_.rows[*row].predicted = predicted.predicted;
      if (!chosen && result_.rows[*row].not_measured.empty()) chosen = row;
    }
    if (!chosen)
      throw Error(ErrorCode::invalid_argument, "sweep: every plan is predicted to take longer than max_plan_s");
    result_.chosen = *chosen;
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
    session.finish_on_device = false;  // What does not work is not measured.
    session.max_retries = 0;
    session.registry = options_.registry;
    session.connect = options_.connect;
    session.deadline = std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 * std::max(10.0, 10 * row.profiled_s)));
    if (row.head_layers < model_->layers().layers.size()) {
      session.worker = result_.worker;
      session.model_name = options_.planning.model_name;
      session.cut = row.head_layers == 0 ? Cut::at_input() : Cut::after_index(row.head_layers - 1);
      session.codec = row.codec;
      session.codec_registry = options_.planning.codec_registry;
      for (const CodecProfile& codec : options_.planning.codecs) {
        if (codec.name == row.codec) session.codec_tables = codec.tables;  // The name says which: all have the same.
      }
    }
    return Session::open(model_, std::move(session));
  }

  /// Plans in turns, as many at once as sessions may be open.
  void measure_rows() {
    std::vector<std::size_t> rows;
    for (std::size_t i = 0; i < result_.rows.size(); ++i) {
      if (result_.rows[i].not_measured.empty()) rows.push_back(i);
    }
    inferences_to_measure_ = 2 * options_.repetitions * rows.size();
    for (std::size_t begin = 0; begin < rows.size(); begin += kSessionsAtOnce) {
      const std::size_t end = std::min(rows.size(), begin + kSessionsAtOnce);
      measure_together(
          {rows.begin() + static_cast<std::ptrdiff_t>(begin), rows.begin() + static_cast<std::ptrdiff_t>(end)});
    }
  }

  void note_unmeasured() {
    for (SweepRow& row : result_.rows) {
      if (!row.not_measured.empty() || !row.second_s.empty()) continue;
      row.not_measured = failure_.empty() ? "the sweep was stopped before" : "the worker was lost before";
    }
  }

  void measure_together(const std::vector<std::size_t>& rows) {
    std::map<std::size_t, std::unique_ptr<Session>> sessions;
    for (const std::size_t row : rows) {
      if (ends_early()) return;
      attempt(row, [&] {
        auto session = open(result_.rows[row]);
        (void)session->run(model_->example_inputs());  // Warms up.
        sessions[row] = std::move(session);
      });
    }
    std::vector<std::size_t> turn = rows;
    for (std::size_t repetition = 0; repetition < options_.repetitions; ++repetition) {
      std::shuffle(turn.begin(), turn.end(), random_);
      for (const std::size_t row : turn) {
        if (ends_early()) return;
        if (result_.rows[row].not_measured.empty()) attempt(row, [&] { measure_pair(row, *sessions[row]); });
        inferences_measured_ += 2;
        if (options_.progress) options_.progress(result_.worker, inferences_measured_, inferences_to_measure_);
      }
    }
  }

  /// One inference to leave both machines as this plan leaves them, and one for each half.
  void measure_pair(std::size_t index, Session& session) {
    SweepRow& row = result_.rows[index];
    (void)time_once(session);
    first_[index].push_back(time_once(session));
    second_[index].push_back(time_once(session));
    row.first_s.push_back(first_[index].back().total_s);
    row.second_s.push_back(second_[index].back().total_s);
  }

  SweepTimes time_once(Session& session) const {
    std::this_thread::sleep_for(options_.pause);
    return times_of(session.run(model_->example_inputs()).times);
  }

  /// A plan that fails is no plan; device only can't fail, and the rest go on unless the worker is lost.
  template <class Step>
  void attempt(std::size_t index, Step&& step) {
    SweepRow& row = result_.rows[index];
    try {
      step();
    } catch (const Error& error) {
      if (row.head_layers == model_->layers().layers.size()) throw;
      if (error.code() == ErrorCode::unavailable) failure_ = error.what();
      row.not_measured = error.what();
      row.first_s.clear();
      row.second_s.clear();
      first_.erase(index);
      second_.erase(index);
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

  /// The fastest of the rows that were measured and are wanted, by one half; nothing when there is none.
  template <class Wanted>
  [[nodiscard]] std::optional<std::size_t> fastest(std::vector<double> SweepRow::*half, Wanted&& wanted) const {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < result_.rows.size(); ++i) {
      const SweepRow& row = result_.rows[i];
      if (!row.not_measured.empty() || !wanted(row)) continue;
      if (!best || detail::median(row.*half) < detail::median(result_.rows[*best].*half)) best = i;
    }
    return best;
  }

  void judge() {
    const auto& rows = result_.rows;
    const auto unsplit = [&](const SweepRow& row) { return !is_split(row); };
    result_.best = *fastest(&SweepRow::first_s, [](const SweepRow&) { return true; });
    const double best_s = detail::median(rows[result_.best].second_s);
    result_.regret = detail::median(rows[result_.chosen].second_s) / best_s - 1;
    const auto best_unsplit = fastest(&SweepRow::second_s, unsplit);
    result_.split_wins =
        is_split(rows[result_.best]) && (!best_unsplit || best_s < detail::median(rows[*best_unsplit].second_s));
  }

  const std::shared_ptr<const Model>& model_;
  const SweepOptions& options_;
  const std::vector<bool>& legal_;
  LinkSweep result_;
  std::string failure_;
  std::mt19937 random_;                                   // The same order in every sweep.
  std::map<std::size_t, std::vector<SweepTimes>> first_;  // By row.
  std::map<std::size_t, std::vector<SweepTimes>> second_;
  std::size_t inferences_measured_ = 0;  // Those of plans that failed count too.
  std::size_t inferences_to_measure_ = 0;
};

}  // namespace

double SweepRow::prediction_error() const {
  return std::abs(predicted.total_s - measured.total_s) / measured.total_s;
}

double SweepRow::profile_error() const {
  return std::abs(profiled_s - measured.total_s) / measured.total_s;
}

double SweepRow::repetition_error() const {
  const double second = detail::median(second_s);
  return std::abs(detail::median(first_s) - second) / second;
}

void SweepOptions::validate() const {
  const auto require = [](bool holds, const std::string& what) {
    if (!holds) throw Error(ErrorCode::invalid_argument, "SweepOptions::" + what);
  };
  require(!workers.empty(), "workers has none, expected at least one endpoint");
  detail::check_at_least("SweepOptions::repetitions", repetitions, 1);
  require(!planning.link, "planning.link is given, expected it in links");
  require(links.empty() || links.size() == workers.size(), "links has " + std::to_string(links.size()) +
                                                               ", expected none or one for each of " +
                                                               std::to_string(workers.size()) + " workers");
  for (const CodecProfile& codec : planning.codecs) {
    require(!codec.refinement, "planning.codecs: " + codec.name +
                                   " is two codecs, and how often the second one is used "
                                   "one example can't tell");
    require(!codec.inputs_arrive, "planning.codecs: inputs arrive in " + codec.name + ", and a sweep sends tensors");
  }
  detail::check_positive("SweepOptions::max_plan_s", max_plan_s);
}

Sweep run_sweep(const std::shared_ptr<const Model>& model, const SweepOptions& options) {
  if (!model) throw Error(ErrorCode::invalid_argument, "run_sweep: no model");
  options.validate();
  const auto legal = legal_cuts(*model);
  Sweep sweep;
  sweep.fingerprint = model->fingerprint();
  TwoTierOptions tiers = options.planning;
  tiers.device_options.stage.threads = options.threads;
  tiers.device_options.pause = options.pause;
  tiers.link_options.pause = options.pause;
  const auto sweep_link = [&](std::size_t i) {
    const std::string& worker = options.workers[i];
    if (!options.links.empty()) tiers.link = options.links[i];
    auto problem = profile_two_tiers(*model, *options.registry.connect(worker, options.connect), tiers);
    tiers.device.profile = sweep.device = problem.tiers[0].profile;
    tiers.worker.profile = sweep.worker = problem.tiers[1].profile;
    LinkMeasurement measurement(model, options, legal);
    if (auto link = measurement.measure(worker, std::move(problem))) sweep.links.push_back(*std::move(link));
    if (!measurement.failure().empty()) throw Error(ErrorCode::unavailable, measurement.failure());
  };
  for (std::size_t i = 0; i < options.workers.size() && !options.stop.stop_requested(); ++i) {
    try {
      sweep_link(i);
    } catch (const Error& error) {
      if (sweep.links.empty()) throw;
      sweep.failure = error.what();
      break;
    }
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
  detail::json_field(archive, "profiled_s", row.profiled_s);
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
  detail::json_field(archive, "failure", sweep.failure);
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
