// SPDX-License-Identifier: Apache-2.0
#include "splitnet/calibration.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <tuple>
#include <utility>

#include "boundary.hpp"
#include "check_number.hpp"
#include "closest_lead.hpp"
#include "elapsed.hpp"
#include "elements.hpp"
#include "framed_picture.hpp"
#include "picture_format.hpp"
#include "picture_inputs.hpp"
#include "refinement_choice.hpp"
#include "sequential_flops.hpp"
#include "splitnet/error.hpp"
#include "statistics.hpp"
#include "transform_codec.hpp"
#include "transform_training.hpp"

namespace splitnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t min_examples = 4;
constexpr std::int64_t smallest_transformed = 256;  ///< Elements; what is smaller travels raw.
constexpr std::size_t max_gradient_bytes = std::size_t{512} << 20;

/// Of tensors of f32, row by row of their last dimensions.
class Rows {
 public:
  explicit Rows(const std::vector<Tensor>& tensors) {
    for (const Tensor& tensor : tensors) {
      const auto elements = detail::row_major(tensor);
      const std::size_t width = tensor.sizes.empty() ? 1 : static_cast<std::size_t>(tensor.sizes.back());
      for (std::size_t at = 0; at < elements.size(); at += width) rows_.emplace_back(items_.size() + at, width);
      items_.insert(items_.end(), elements.begin(), elements.end());
    }
  }
  [[nodiscard]] std::span<const float> items() const { return items_; }
  [[nodiscard]] std::size_t count() const { return rows_.size(); }
  [[nodiscard]] std::span<const float> row(std::size_t i) const {
    return items().subspan(rows_[i].first, rows_[i].second);
  }

 private:
  std::vector<float> items_;
  std::vector<std::pair<std::size_t, std::size_t>> rows_;  ///< Where each begins, and its width.
};

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

std::vector<double> probabilities_of(std::span<const float> row, OutputKind kind) {
  std::vector<double> result(row.begin(), row.end());
  if (kind == OutputKind::logits) {
    const double largest = *std::max_element(result.begin(), result.end());
    for (double& number : result) number = std::exp(number - largest);
  }
  double sum = 0;
  for (double& number : result) sum += number = std::max(number, 0.0);
  for (double& number : result) number /= sum;
  return result;
}

std::size_t best_of(std::span<const float> row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

/// Gradients of the output that stand for its loss; see TransformExample.
class LossGradient {
 public:
  LossGradient(OutputKind kind, std::uint64_t seed) : kind_(kind), random_(seed) {}

  std::vector<Tensor> draw(const std::vector<Tensor>& outputs) {
    const Rows rows(outputs);
    const double norm = std::sqrt(std::max(dot(rows.items(), rows.items()), 1e-30));
    std::vector<Tensor> weights;
    std::size_t row = 0;
    for (const Tensor& output : outputs) {
      weights.push_back(Tensor::empty(DType::f32, output.sizes));
      auto* to = reinterpret_cast<float*>(weights.back().data());
      const float* const end = to + output.element_count();
      for (; to < end; to += rows.row(row).size(), ++row) draw_row(rows.row(row), norm, to);
    }
    return weights;
  }

 private:
  void draw_row(std::span<const float> row, double norm, float* to) {
    switch (kind_) {
      case OutputKind::numbers:
        for (std::size_t j = 0; j < row.size(); ++j) to[j] = static_cast<float>(normal_(random_) / norm);
        break;
      case OutputKind::embedding: draw_across(row, to); break;
      case OutputKind::logits:
      case OutputKind::probabilities: draw_class(row, to); break;
    }
  }

  /// Of log p(y) for an answer y drawn from the model.
  void draw_class(std::span<const float> row, float* to) {
    const auto probabilities = probabilities_of(row, kind_);
    std::discrete_distribution<std::size_t> answers(probabilities.begin(), probabilities.end());
    const std::size_t answer = answers(random_);
    for (std::size_t j = 0; j < row.size(); ++j) {
      const double drawn = j == answer ? 1 : 0;
      to[j] = static_cast<float>(kind_ == OutputKind::logits ? drawn - probabilities[j]
                                                             : drawn / std::max(probabilities[j], 1e-6));
    }
  }

  /// At a right angle to the vector, for 1 − cosine ≈ ½ (error across)² / size².
  void draw_across(std::span<const float> row, float* to) {
    const double square = std::max(dot(row, row), 1e-30);
    std::vector<double> direction(row.size());
    double along = 0;
    for (std::size_t j = 0; j < row.size(); ++j) {
      direction[j] = normal_(random_);
      along += direction[j] * static_cast<double>(row[j]);
    }
    for (std::size_t j = 0; j < row.size(); ++j) {
      to[j] = static_cast<float>((direction[j] - along / square * static_cast<double>(row[j])) / std::sqrt(square));
    }
  }

  const OutputKind kind_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

/// A mean whose error is that between groups: Liang, Zeger, "Longitudinal data analysis using generalized linear
/// models" (Biometrika 1986), for a mean.
class GroupedMean {
 public:
  void add(double number, std::size_t group) {
    Sum& sum = groups_[group];
    sum.total += number;
    ++sum.count;
    total_ += number;
    ++count_;
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] double mean() const { return total_ / static_cast<double>(std::max<std::size_t>(count_, 1)); }
  [[nodiscard]] double standard_error() const {
    if (groups_.size() < 2) return 0;
    double squares = 0;
    for (const auto& [group, sum] : groups_) squares += std::pow(sum.total - sum.count * mean(), 2);
    const auto groups = static_cast<double>(groups_.size());
    return std::sqrt(squares * groups / (groups - 1)) / static_cast<double>(count_);
  }

 private:
  struct Sum {
    double total = 0;
    double count = 0;
  };
  std::map<std::size_t, Sum> groups_;
  double total_ = 0;
  std::size_t count_ = 0;
};

/// Collects what one codec does to answers.
class EffectMeter {
 public:
  explicit EffectMeter(OutputKind kind) : kind_(kind) {}

  void add(const std::vector<Tensor>& exact_outputs, const std::vector<Tensor>& other_outputs, std::size_t group,
           std::optional<std::size_t> label) {
    ++examples_;
    const Rows exact(exact_outputs);
    const Rows other(other_outputs);
    if (label) {
      detail::check_number(exact.count() == 1, "calibrate with labels: the number of rows of an output",
                           static_cast<double>(exact.count()), "1");
      const double was_right = best_of(exact.row(0)) == *label ? 1 : 0;
      right_ += was_right;
      losses_.add(was_right - (best_of(other.row(0)) == *label ? 1 : 0), group);
    }
    double square = 0;
    for (std::size_t i = 0; i < exact.items().size(); ++i) {
      const double error = std::abs(static_cast<double>(exact.items()[i]) - static_cast<double>(other.items()[i]));
      largest_error_ = std::max(largest_error_, error);
      square += error * error;
    }
    if (kind_ == OutputKind::numbers) {
      const double size = std::max(dot(exact.items(), exact.items()), 1e-30);
      agreements_.add(std::max(0.0, 1 - std::sqrt(square / size)), group);
    } else {
      for (std::size_t i = 0; i < exact.count(); ++i) add_row(exact.row(i), other.row(i), group);
    }
  }

  [[nodiscard]] CodecEffect finish() const {
    CodecEffect effect;
    effect.examples = examples_;
    effect.largest_error = largest_error_;
    const auto count = static_cast<double>(agreements_.count());
    const double mean = agreements_.mean();
    const double error = 2 * agreements_.standard_error();
    effect.agreement = mean;
    effect.divergence_nat = divergence_ / count;
    double below = error;
    double above = error;
    if (detail::has_classes(kind_)) {
      // Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 1927).
      constexpr double z = 1.96;
      const double center = (mean + z * z / (2 * count)) / (1 + z * z / count);
      const double half = z / (1 + z * z / count) * std::sqrt(mean * (1 - mean) / count + z * z / (4 * count * count));
      below = std::max(error, mean - (center - half));
      above = std::max(error, center + half - mean);
    }
    effect.agreement_low = std::max(0.0, mean - below);
    effect.agreement_high = std::min(1.0, mean + above);
    if (losses_.count() > 0) {
      const double lost = losses_.mean();
      const double lost_error = 2 * losses_.standard_error();
      effect.accuracy = {right_ / static_cast<double>(losses_.count()), lost, lost - lost_error, lost + lost_error};
    }
    return effect;
  }

 private:
  void add_row(std::span<const float> exact, std::span<const float> other, std::size_t group) {
    if (kind_ == OutputKind::embedding) {
      const double size = std::sqrt(std::max(dot(exact, exact) * dot(other, other), 1e-30));
      agreements_.add(std::max(0.0, dot(exact, other) / size), group);
      return;
    }
    agreements_.add(best_of(exact) == best_of(other) ? 1 : 0, group);
    const auto p = probabilities_of(exact, kind_);
    const auto q = probabilities_of(other, kind_);
    for (std::size_t j = 0; j < p.size(); ++j) {
      if (p[j] > 0) divergence_ += p[j] * std::log(p[j] / std::max(q[j], 1e-300));
    }
  }

  const OutputKind kind_;
  std::size_t examples_ = 0;
  GroupedMean agreements_;
  GroupedMean losses_;  ///< Of right answers.
  double right_ = 0;
  double divergence_ = 0;
  double largest_error_ = 0;
};

std::size_t float_bytes(const std::vector<Value>& values) {
  std::size_t bytes = 0;
  for (const Value& value : values) {
    const auto* tensor = value.get_if<Tensor>();
    if (tensor != nullptr && tensor->dtype == DType::f32) bytes += tensor->packed_bytes();
  }
  return bytes;
}

using Indices = std::vector<std::size_t>;

/// One codec on some of a cut's examples.
struct CodecRun {
  std::string name;
  CodecTables tables;
  bool only_inputs = false;
  Indices examples = {};
  std::vector<std::vector<Tensor>> outputs = {};  ///< Of each example.
  std::vector<double> coded_bytes = {};           ///< Likewise; of tensors of f32.
  std::vector<double> encode_s = {};
  std::vector<double> decode_s = {};
  std::size_t kept_exact = 0;  ///< Examples.

  /// Another run's examples behind these.
  void append(const CodecRun& other) {
    examples.insert(examples.end(), other.examples.begin(), other.examples.end());
    outputs.insert(outputs.end(), other.outputs.begin(), other.outputs.end());
    coded_bytes.insert(coded_bytes.end(), other.coded_bytes.begin(), other.coded_bytes.end());
  }
};

/// One cut: head, tail, and what crosses for every example.
class CutCalibration {
 public:
  CutCalibration(const Model& model, LayerSet head, const CalibrationOptions& options)
      : options_(options), head_layers_(std::move(head)), result_slots_(model.result_slot_count()) {
    head_ = model.make_stage({{head_layers_}, 0}, options.stage);
    tail_ = model.make_stage({{head_layers_}, 1}, options.stage);
  }

  void add_example(const std::vector<Value>& inputs, std::size_t group, std::optional<std::size_t> label) {
    Example example;
    example.group = group;
    example.label = label;
    auto outputs = head_->run(inputs);
    const std::size_t count = head_->info().boundary_count;
    example.results.resize(result_slots_);
    put(head_->info(), outputs, example.results);
    example.boundary.assign(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(count));
    example.outputs = run_tail(example, example.boundary);
    examples_.push_back(std::move(example));
  }

  /// Of the first examples, for `train`.
  void find_gradients(std::size_t training) { gradients_ = gradients_of(training); }

  /// The tables of the codec transform from some of the first examples; nothing where it takes none of the boundary.
  [[nodiscard]] CodecTables train(const Indices& from) const {
    std::map<std::vector<std::int64_t>, std::vector<detail::TransformExample>> by_shape;
    std::size_t numbers = 0;
    for (const std::size_t e : from) {
      for (std::size_t v = 0; v < examples_[e].boundary.size(); ++v) {
        const auto* tensor = examples_[e].boundary[v].get_if<Tensor>();
        if (tensor == nullptr || tensor->dtype != DType::f32 || tensor->sizes.size() < 2) continue;
        if (tensor->element_count() < smallest_transformed) continue;
        detail::TransformExample example{*tensor, {}};
        for (const auto& gradient : gradients_[e]) {
          if (const auto* found = gradient[v].get_if<Tensor>()) example.gradients.push_back(*found);
        }
        numbers += static_cast<std::size_t>(tensor->element_count());
        by_shape[shape_of(*tensor)].push_back(std::move(example));
      }
    }
    std::vector<detail::TransformTables> tables;
    for (const auto& [shape, examples] : by_shape) {
      std::size_t own = 0;
      for (const auto& example : examples) own += static_cast<std::size_t>(example.value.element_count());
      detail::TrainingOptions training_options;  // The same steps for all tensors: shares of the loss by their sizes.
      training_options.reference_loss *= static_cast<double>(own) / static_cast<double>(numbers);
      if (auto made = detail::train_transform(examples, training_options)) tables.push_back(std::move(*made));
    }
    if (tables.empty()) return nullptr;
    if (tables.size() > detail::max_tables) tables.resize(detail::max_tables);  // Of other shapes travel raw.
    return std::make_shared<const std::string>(detail::to_bytes(tables));
  }

  /// Nothing when the codec takes none of the boundary.
  [[nodiscard]] std::optional<CodecRun> run(const std::string& name, const CodecTables& tables,
                                            const Indices& on) const {
    const auto codec = CodecRegistry::with_defaults().make(name, tables);
    if (!codec || (codec->only_inputs() && !head_layers_.empty())) return std::nullopt;
    CodecRun result{.name = name, .tables = tables, .only_inputs = codec->only_inputs(), .examples = on};
    bool takes_some = false;
    for (const std::size_t e : on) {
      const Example& example = examples_[e];
      const auto start = Clock::now();
      EncodedValues encoded = encode_values(*codec, example.boundary);
      const auto middle = Clock::now();
      double coded_bytes = 0;
      for (std::size_t v = 0; v < example.boundary.size(); ++v) {
        const auto* tensor = example.boundary[v].get_if<Tensor>();
        if (tensor == nullptr || tensor->dtype != DType::f32) continue;
        const auto& pair = encoded.values[v].get_if<Tuple>()->items;
        coded_bytes += static_cast<double>(pair[1].tensor().packed_bytes());
        takes_some = takes_some || *pair[0].get_if<bool>();
      }
      result.kept_exact += encoded.kept_exact > 0 ? 1 : 0;
      const auto decoding = Clock::now();
      const auto decoded = decode_values(*codec, std::move(encoded.values));
      result.decode_s.push_back(detail::seconds_since(decoding));
      result.encode_s.push_back(detail::seconds_between(start, middle));
      result.coded_bytes.push_back(coded_bytes);
      result.outputs.push_back(run_tail(example, decoded));
    }
    if (!takes_some) return std::nullopt;
    return result;
  }

  [[nodiscard]] CalibratedCodec judge(const CodecRun& run) const {
    EffectMeter meter(options_.output);
    double raw_bytes = 0;
    double coded_bytes = 0;
    for (std::size_t i = 0; i < run.outputs.size(); ++i) {
      const Example& example = examples_[run.examples[i]];
      meter.add(example.outputs, run.outputs[i], example.group, example.label);
      raw_bytes += static_cast<double>(float_bytes(example.boundary));
      coded_bytes += run.coded_bytes[i];
    }
    CalibratedCodec result;
    result.effect = meter.finish();
    result.kept_exact = run.kept_exact;
    const auto& accuracy = result.effect.accuracy;
    const double loss = accuracy ? std::max(0.0, accuracy->lost) : 1 - result.effect.agreement;
    result.profile = {.name = run.name,
                      .ratio = coded_bytes / raw_bytes,
                      .accuracy_loss = loss,
                      .only_inputs = run.only_inputs,
                      .head = head_layers_,
                      .tables = run.tables};
    const auto bytes = static_cast<double>(float_bytes(examples_[run.examples.front()].boundary));
    result.speed = {run.name, bytes / std::max(detail::median(run.encode_s), 1e-9),
                    bytes / std::max(detail::median(run.decode_s), 1e-9)};
    return result;
  }

  /// How close the answers of a run are, and by how much they seem clearer than they are.
  [[nodiscard]] detail::RefinementRung rung_of(const CodecRun& run) const {
    detail::RefinementRung rung;
    double raw_bytes = 0;
    double coded_bytes = 0;
    for (std::size_t i = 0; i < run.outputs.size(); ++i) {
      const auto lead = detail::closest_lead(run.outputs[i].front(), options_.output);
      rung.margins_nat.push_back(lead.margin_nat);
      const Example& example = examples_[run.examples[i]];
      const Tensor& exact = example.outputs.front();
      rung.overstated_nat.push_back(lead.margin_nat - detail::lead_nat(exact, options_.output, lead));
      raw_bytes += static_cast<double>(float_bytes(example.boundary));
      coded_bytes += run.coded_bytes[i];
    }
    rung.ratio = coded_bytes / raw_bytes;
    return rung;
  }

  /// Both runs on the same examples.
  [[nodiscard]] CalibratedCodec judge_refined(const CodecRun& coarse, const CodecRun& fine,
                                              double min_margin_nat) const {
    const Refinement refinement{coarse.name, fine.name, min_margin_nat, options_.output, options_.output_slots.front()};
    CodecRun both = coarse;
    both.name = refinement.name();
    if (!both.tables) both.tables = fine.tables;
    std::size_t refined = 0;
    for (std::size_t i = 0; i < both.outputs.size(); ++i) {
      if (margin_nat(coarse.outputs[i].front(), options_.output) >= min_margin_nat) continue;
      ++refined;
      both.outputs[i] = fine.outputs[i];
      both.coded_bytes[i] += fine.coded_bytes[i];
    }
    CalibratedCodec result = judge(both);
    const double share = static_cast<double>(refined) / static_cast<double>(both.outputs.size());
    const CodecSpeed second = judge(fine).speed;
    const auto together = [&](double one, double other) { return 1 / (1 / one + share / other); };
    result.speed.encode_bytes_per_s = together(result.speed.encode_bytes_per_s, second.encode_bytes_per_s);
    result.speed.decode_bytes_per_s = together(result.speed.decode_bytes_per_s, second.decode_bytes_per_s);
    result.profile.refinement = refinement;
    result.profile.refined_share = share;
    return result;
  }

 private:
  struct Example {
    std::vector<Value> boundary;
    std::vector<Value> results;  ///< Those that the head gave.
    std::vector<Tensor> outputs;
    std::size_t group = 0;
    std::optional<std::size_t> label;
  };

  static std::vector<std::int64_t> shape_of(const Tensor& tensor) {
    std::vector<std::int64_t> shape = tensor.sizes;
    shape.front() = 1;                    // The batch.
    if (shape.size() == 3) shape[1] = 1;  // Tokens may be any number.
    return shape;
  }

  void put(const StageInfo& info, const std::vector<Value>& outputs, std::vector<Value>& slots) const {
    for (std::size_t i = 0; i < info.result_slots.size(); ++i) {
      slots[info.result_slots[i]] = outputs[info.boundary_count + i];
    }
  }

  [[nodiscard]] std::vector<Tensor> outputs_in(const std::vector<Value>& slots) const {
    std::vector<Tensor> outputs;
    for (const std::size_t slot : options_.output_slots) {
      const auto* tensor = slot < slots.size() ? slots[slot].get_if<Tensor>() : nullptr;
      if (tensor == nullptr || tensor->dtype != DType::f32 || tensor->element_count() == 0) {
        throw Error(ErrorCode::invalid_argument, "CalibrationOptions::output_slots: " + std::to_string(slot) + " of " +
                                                     std::to_string(slots.size()) + " results is no tensor of f32");
      }
      outputs.push_back(*tensor);
    }
    return outputs;
  }

  [[nodiscard]] std::vector<Tensor> run_tail(const Example& example, const std::vector<Value>& boundary) const {
    auto slots = example.results;
    put(tail_->info(), tail_->run(boundary), slots);
    return outputs_in(slots);
  }

  /// [example][draw][value of the boundary]; no draws when the tail can't be differentiated or has not all outputs.
  [[nodiscard]] std::vector<std::vector<std::vector<Value>>> gradients_of(std::size_t training) const {
    std::vector<std::vector<std::vector<Value>>> gradients(training);
    const StageInfo& info = tail_->info();
    std::vector<std::size_t> at;  // Where the tail gives them.
    for (const std::size_t slot : options_.output_slots) {
      const auto found = std::find(info.result_slots.begin(), info.result_slots.end(), slot);
      if (found == info.result_slots.end()) return gradients;
      at.push_back(info.boundary_count + static_cast<std::size_t>(found - info.result_slots.begin()));
    }
    const std::size_t bytes = std::max<std::size_t>(float_bytes(examples_.front().boundary) * training, 1);
    const std::size_t draws = std::clamp<std::size_t>(max_gradient_bytes / bytes, 1, options_.gradients);
    LossGradient loss(options_.output, options_.seed);
    try {
      for (std::size_t e = 0; e < training && options_.gradients > 0; ++e) {
        const auto pass = tail_->differentiate(examples_[e].boundary);
        std::vector<Value> weights(pass->outputs().size());
        std::vector<Tensor> outputs;
        for (const std::size_t i : at) outputs.push_back(pass->outputs()[i].tensor());
        for (std::size_t draw = 0; draw < draws; ++draw) {
          const auto drawn = loss.draw(outputs);
          for (std::size_t i = 0; i < at.size(); ++i) weights[at[i]] = drawn[i];
          gradients[e].push_back(pass->gradients(weights));
        }
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::unsupported_model) throw;
      for (auto& draws_of_example : gradients) draws_of_example.clear();
    }
    return gradients;
  }

  const CalibrationOptions& options_;
  const LayerSet head_layers_;
  const std::size_t result_slots_;
  std::unique_ptr<Stage> head_;
  std::unique_ptr<Stage> tail_;
  std::vector<Example> examples_;
  std::vector<std::vector<std::vector<Value>>> gradients_;  ///< [example][draw][value of the boundary]
};

/// Near 25, 50 and 75 % of the FLOPs.
std::vector<Cut> default_cuts(const Model& model) {
  const LayerGraph& graph = model.layers();
  const auto flops = detail::sequential_flops(graph);
  const auto boundaries = detail::sequential_boundaries(graph);
  std::vector<Cut> cuts;
  for (const double target : {0.25, 0.5, 0.75}) {
    std::optional<std::size_t> best;
    LayerSet head;
    for (std::size_t i = 0; i + 1 < graph.layers.size(); ++i) {
      head.push_back(i);
      const double distance = std::abs(flops[i + 1] - target * flops.back());
      if (distance > 0.1 * flops.back() || model.refusal({head})) continue;
      if (!best || boundaries[i + 1].raw_bytes < boundaries[*best + 1].raw_bytes) best = i;
    }
    if (!best) continue;
    const Cut cut = Cut::after_index(*best);
    if (std::find(cuts.begin(), cuts.end(), cut) == cuts.end()) cuts.push_back(cut);
  }
  return cuts;
}

void check_one_each(const std::string& field, std::size_t found, std::size_t examples) {
  if (found == 0 || found == examples) return;
  throw Error(ErrorCode::invalid_argument, "CalibrationOptions::" + field + " has " + std::to_string(found) +
                                               " items, expected none or one for each of the " +
                                               std::to_string(examples) + " examples");
}

/// Examples in the order of use, and how many of them are for training: whole groups from the last one on are held out.
std::pair<std::vector<std::size_t>, std::size_t> split(std::size_t count, const CalibrationOptions& options) {
  const auto group_of = [&](std::size_t i) { return options.groups.empty() ? i : options.groups[i]; };
  const auto wanted = std::max(1.0, std::round(options.held_out * static_cast<double>(count)));
  std::set<std::size_t> held_out;
  std::size_t taken = 0;
  for (std::size_t i = count; i-- > 0 && static_cast<double>(taken) < wanted;) {
    if (!held_out.insert(group_of(i)).second) continue;
    for (std::size_t j = 0; j < count; ++j) taken += group_of(j) == group_of(i) ? 1 : 0;
  }
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto middle =
      std::stable_partition(order.begin(), order.end(), [&](std::size_t i) { return !held_out.contains(group_of(i)); });
  const auto training = static_cast<std::size_t>(middle - order.begin());
  detail::check_at_least("calibrate: the number of examples that are not held out", training, 2);
  return {std::move(order), training};
}

/// Codecs for pictures in front of the first layer.
std::vector<std::string> picture_codecs(const CalibrationOptions& options) {
  if (options.pixels.empty()) return {};
  std::vector<std::string> codecs{"u8:" + options.pixels};
  for (const std::string& format : detail::picture_format_names()) {
    for (const int quality : options.qualities) {
      codecs.push_back(format + ":" + options.pixels + (format == "jpeg" ? ";subsampling=420" : "") +
                       ";quality=" + std::to_string(quality));
    }
  }
  return codecs;
}

std::string transform_name(const std::string& tables, int coarseness) {
  return "transform:tables=" + detail::digest_of_tables(tables) + ";coarseness=" + std::to_string(coarseness);
}

class Calibrator {
 public:
  Calibrator(const Model& model, const std::vector<std::vector<Value>>& examples, const CalibrationOptions& options)
      : model_(model),
        examples_(examples),
        options_(options),
        cuts_(options.cuts.empty() ? default_cuts(model) : options.cuts),
        pictures_(picture_codecs(options)),
        refines_(!options.refined_losses.empty() && options.output_slots.size() == 1 &&
                 detail::has_classes(options.output)) {
    std::size_t count = 0;
    std::tie(order_, count) = split(examples.size(), options);
    training_.resize(count);
    std::iota(training_.begin(), training_.end(), std::size_t{0});
    held_out_.resize(examples.size() - count);
    std::iota(held_out_.begin(), held_out_.end(), count);
    std::map<std::size_t, std::size_t> half_of;  // Of each group.
    for (const std::size_t i : training_) {
      const std::size_t half = half_of.emplace(group_of(order_[i]), half_of.size() % 2).first->second;
      halves_[half].push_back(i);
    }
    for (const Indices& half : halves_) by_halves_.insert(by_halves_.end(), half.begin(), half.end());
  }

  Calibration run() {
    result_.fingerprint = model_.fingerprint();
    const std::size_t rungs = options_.codecs.size() + options_.coarsenesses.size();
    const std::size_t per_rung = held_out_.size() + (refines_ ? training_.size() : 0);
    total_ = cuts_.size() * (examples_.size() + rungs * per_rung) +
             (pictures_.empty() ? 0 : examples_.size() + pictures_.size() * held_out_.size());
    if (!pictures_.empty()) calibrate_input();
    for (const Cut& cut : cuts_) calibrate_cut(cut);
    return std::move(result_);
  }

 private:
  [[nodiscard]] std::size_t group_of(std::size_t example) const {
    return options_.groups.empty() ? example : options_.groups[example];
  }
  void progress(std::size_t passes) {
    done_ += passes;
    if (options_.progress) options_.progress(done_, total_);
  }

  void add_examples(CutCalibration& calibration) {
    for (const std::size_t i : order_) {
      const auto label = options_.labels.empty() ? std::nullopt : std::optional(options_.labels[i]);
      calibration.add_example(examples_[i], group_of(i), label);
      progress(1);
    }
  }

  std::optional<CodecRun> measure(const CutCalibration& calibration, const std::string& codec,
                                  const CodecTables& tables) {
    auto run = calibration.run(codec, tables, held_out_);
    if (run) result_.codecs.push_back(calibration.judge(*run));
    progress(held_out_.size());
    return run;
  }

  void calibrate_input() {
    CutCalibration calibration(model_, {}, options_);
    add_examples(calibration);
    for (const std::string& codec : pictures_) measure(calibration, codec, nullptr);
    if (result_.codecs.empty()) {
      throw Error(ErrorCode::invalid_argument, "CalibrationOptions::pixels is " + options_.pixels +
                                                   ", and no input is a picture of f32 with so many channels");
    }
  }

  void calibrate_cut(const Cut& cut) {
    CutCalibration calibration(model_, model_.layers().resolve(cut), options_);
    add_examples(calibration);
    std::vector<CodecRun> runs;
    std::vector<detail::RefinementRung> seen;  // The same codecs on examples that their tables don't come from.
    const auto keep = [&](CodecRun run, const std::optional<CodecRun>& on_training) {
      if (!on_training) return;
      seen.push_back(calibration.rung_of(*on_training));
      runs.push_back(std::move(run));
    };
    for (const std::string& codec : options_.codecs) {
      auto run = measure(calibration, codec, nullptr);
      if (!refines_) continue;
      if (run) keep(std::move(*run), calibration.run(codec, nullptr, by_halves_));
      progress(training_.size());
    }
    if (!options_.coarsenesses.empty()) {
      calibration.find_gradients(training_.size());
      calibrate_transform(calibration, keep);
    }
    for (const double loss : options_.refined_losses) {
      const auto choice = detail::choose_refinement(seen, loss);
      if (!choice) continue;
      result_.codecs.push_back(
          calibration.judge_refined(runs[choice->first], runs[choice->second], choice->min_margin_nat));
    }
  }

  template <class Keep>
  void calibrate_transform(const CutCalibration& calibration, Keep&& keep) {
    const CodecTables tables = calibration.train(training_);
    if (!tables) return;
    // How close answers are is learned with tables from the other half of the groups.
    std::array<CodecTables, 2> half_tables;
    for (std::size_t half = 0; half < 2 && refines_; ++half) half_tables[half] = calibration.train(halves_[1 - half]);
    for (const int coarseness : options_.coarsenesses) {
      auto run = measure(calibration, transform_name(*tables, coarseness), tables);
      if (!refines_) continue;
      std::optional<CodecRun> on_training;
      for (std::size_t half = 0; half < 2 && half_tables[half]; ++half) {
        const auto& learned = half_tables[half];
        const auto part = calibration.run(transform_name(*learned, coarseness), learned, halves_[half]);
        if (!part) continue;
        if (on_training) on_training->append(*part);
        if (!on_training) on_training = part;
      }
      if (run) keep(std::move(*run), on_training);
      progress(training_.size());
    }
  }

  const Model& model_;
  const std::vector<std::vector<Value>>& examples_;
  const CalibrationOptions& options_;
  const std::vector<Cut> cuts_;
  const std::vector<std::string> pictures_;
  const bool refines_;
  Indices order_;  // Of the examples as they are used; what follows counts in this order.
  Indices training_;
  Indices held_out_;
  std::array<Indices, 2> halves_;  // Of the training examples, by groups.
  Indices by_halves_;              // The one behind the other.
  std::size_t done_ = 0;
  std::size_t total_ = 0;
  Calibration result_;
};

}  // namespace

void CalibrationOptions::validate() const {
  detail::check_number(held_out > 0 && held_out < 1, "CalibrationOptions::held_out", held_out,
                       "a number between 0 and 1");
  for (const double loss : refined_losses) {
    detail::check_number(loss > 0 && loss < 1, "CalibrationOptions::refined_losses", loss, "numbers between 0 and 1");
  }
  if (!labels.empty() && !detail::has_classes(output)) {
    throw Error(ErrorCode::invalid_argument,
                "CalibrationOptions::labels are there, expected logits or probabilities as output");
  }
  for (const int coarseness : coarsenesses) {
    detail::check_number(coarseness >= -64 && coarseness <= 64, "CalibrationOptions::coarsenesses", coarseness,
                         "whole numbers from −64 to 64");
  }
  for (const int quality : qualities) {
    detail::check_number(quality >= 1 && quality <= 100, "CalibrationOptions::qualities", quality,
                         "whole numbers from 1 to 100");
  }
}

Calibration calibrate(const Model& model, const std::vector<std::vector<Value>>& examples,
                      const CalibrationOptions& options) {
  options.validate();
  detail::check_at_least("calibrate: the number of examples", examples.size(), min_examples);
  check_one_each("groups", options.groups.size(), examples.size());
  check_one_each("labels", options.labels.size(), examples.size());
  return Calibrator(model, examples, options).run();
}

std::optional<CalibratedCodec> smallest_picture(const std::vector<CalibratedCodec>& calibrated,
                                                double max_accuracy_loss) {
  const CalibratedCodec* best = nullptr;
  for (const CalibratedCodec& codec : calibrated) {
    if (!codec.profile.only_inputs || codec.profile.accuracy_loss > max_accuracy_loss) continue;
    if (best == nullptr || codec.profile.ratio < best->profile.ratio) best = &codec;
  }
  return best == nullptr ? std::nullopt : std::optional(*best);
}

CodecProfile profile_of_files(const Model& model, const std::vector<EncodedPicture>& typical) {
  detail::check_at_least("profile_of_files: the number of files", typical.size(), 1);
  const auto& examples = model.example_inputs();
  const auto input = std::find_if(examples.begin(), examples.end(), [](const Value& example) {
    const auto* tensor = example.get_if<Tensor>();
    return tensor != nullptr && tensor->dtype == DType::f32 && tensor->sizes.size() >= 3;
  });
  const auto sizes =
      detail::picture_sizes(model, input == examples.end() ? 0 : static_cast<std::size_t>(input - examples.begin()));
  double file_bytes = 0;
  for (const EncodedPicture& picture : typical) {
    if (picture.codec != typical.front().codec) {
      throw Error(ErrorCode::invalid_argument, "profile_of_files: found a picture for codec " + picture.codec +
                                                   ", expected " + typical.front().codec + " as of the first");
    }
    const Value framed = detail::framed_picture(picture, sizes, "the model");
    file_bytes += static_cast<double>(framed.get_if<Tuple>()->items[1].tensor().packed_bytes());
  }
  const Tensor one{{}, DType::f32, sizes, contiguous_strides(sizes), 0};
  const double ratio = file_bytes / static_cast<double>(typical.size() * one.packed_bytes());
  // The ratio is for all inputs of f32, of which others than the picture travel raw.
  const auto all_bytes = static_cast<double>(float_bytes(examples));
  const auto picture_bytes = static_cast<double>(input->tensor().packed_bytes());
  CodecProfile profile;
  profile.name = typical.front().codec;
  profile.ratio = 1 - (1 - ratio) * picture_bytes / all_bytes;
  profile.only_inputs = true;
  profile.head = LayerSet{};
  profile.inputs_arrive = true;
  return profile;
}

}  // namespace splitnet
