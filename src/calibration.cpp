// SPDX-License-Identifier: Apache-2.0
#include "splitnet/calibration.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "boundary.hpp"
#include "check_number.hpp"
#include "elements.hpp"
#include "splitnet/error.hpp"
#include "statistics.hpp"
#include "transform_codec.hpp"
#include "transform_training.hpp"

namespace splitnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t min_examples = 4;
constexpr std::size_t max_gradient_bytes = std::size_t{512} << 20;

/// Of a tensor of f32, row by row of its last dimension.
struct Rows {
  std::vector<float> items;
  std::size_t width = 1;

  explicit Rows(const Tensor& tensor)
      : width(tensor.sizes.empty() ? 1 : static_cast<std::size_t>(tensor.sizes.back())) {
    const auto elements = detail::row_major(tensor);
    items.assign(elements.begin(), elements.end());
  }
  [[nodiscard]] std::size_t count() const { return width == 0 ? 0 : items.size() / width; }
  [[nodiscard]] std::span<const float> row(std::size_t i) const { return {items.data() + i * width, width}; }
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

  Tensor draw(const Tensor& output) {
    const Rows rows(output);
    Tensor weights = Tensor::empty(DType::f32, output.sizes);
    auto* to = reinterpret_cast<float*>(weights.data());
    if (kind_ == OutputKind::numbers) {
      const double norm = std::sqrt(std::max(dot(rows.items, rows.items), 1e-30));
      for (std::size_t i = 0; i < rows.items.size(); ++i) to[i] = static_cast<float>(normal_(random_) / norm);
      return weights;
    }
    for (std::size_t i = 0; i < rows.count(); ++i, to += rows.width) {
      if (kind_ == OutputKind::embedding) {
        draw_across(rows.row(i), to);
      } else {
        draw_class(rows.row(i), to);
      }
    }
    return weights;
  }

 private:
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

/// Collects what one codec does to answers.
class EffectMeter {
 public:
  explicit EffectMeter(OutputKind kind) : kind_(kind) {}

  void add(const Tensor& exact_output, const Tensor& other_output) {
    ++examples_;
    const Rows exact(exact_output);
    const Rows other(other_output);
    for (std::size_t i = 0; i < exact.items.size(); ++i) {
      const double error = std::abs(static_cast<double>(exact.items[i]) - static_cast<double>(other.items[i]));
      largest_error_ = std::max(largest_error_, error);
    }
    if (kind_ == OutputKind::numbers) {
      double square = 0;
      for (std::size_t i = 0; i < exact.items.size(); ++i) {
        square += std::pow(static_cast<double>(exact.items[i]) - static_cast<double>(other.items[i]), 2);
      }
      const double size = std::max(dot(exact.items, exact.items), 1e-30);
      agreements_.push_back(std::max(0.0, 1 - std::sqrt(square / size)));
      return;
    }
    for (std::size_t i = 0; i < exact.count(); ++i) add_row(exact.row(i), other.row(i));
  }

  [[nodiscard]] CodecEffect finish() const {
    CodecEffect effect;
    effect.examples = examples_;
    effect.largest_error = largest_error_;
    const auto count = static_cast<double>(std::max<std::size_t>(agreements_.size(), 1));
    double sum = 0;
    double squares = 0;
    for (const double agreement : agreements_) {
      sum += agreement;
      squares += agreement * agreement;
    }
    effect.agreement = agreements_.empty() ? 1 : sum / count;
    effect.divergence_nat = divergence_ / count;
    const double mean = effect.agreement;
    if (kind_ == OutputKind::logits || kind_ == OutputKind::probabilities) {
      // Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 1927).
      constexpr double z = 1.96;
      const double center = (mean + z * z / (2 * count)) / (1 + z * z / count);
      const double half = z / (1 + z * z / count) * std::sqrt(mean * (1 - mean) / count + z * z / (4 * count * count));
      effect.agreement_low = std::max(0.0, center - half);
      effect.agreement_high = std::min(1.0, center + half);
    } else {
      const double error = std::sqrt(std::max(0.0, squares / count - mean * mean) / count);
      effect.agreement_low = std::max(0.0, mean - 2 * error);
      effect.agreement_high = std::min(1.0, mean + 2 * error);
    }
    return effect;
  }

 private:
  void add_row(std::span<const float> exact, std::span<const float> other) {
    if (kind_ == OutputKind::embedding) {
      const double size = std::sqrt(std::max(dot(exact, exact) * dot(other, other), 1e-30));
      agreements_.push_back(std::max(0.0, dot(exact, other) / size));
      return;
    }
    agreements_.push_back(best_of(exact) == best_of(other) ? 1 : 0);
    const auto p = probabilities_of(exact, kind_);
    const auto q = probabilities_of(other, kind_);
    for (std::size_t j = 0; j < p.size(); ++j) {
      if (p[j] > 0) divergence_ += p[j] * std::log(p[j] / std::max(q[j], 1e-300));
    }
  }

  const OutputKind kind_;
  std::size_t examples_ = 0;
  std::vector<double> agreements_;
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

/// One cut: head, tail, and what crosses for every example.
class CutCalibration {
 public:
  CutCalibration(const Model& model, LayerSet head, const CalibrationOptions& options)
      : options_(options), head_layers_(std::move(head)), result_slots_(model.result_slot_count()) {
    head_ = model.make_stage({{head_layers_}, 0}, options.stage);
    tail_ = model.make_stage({{head_layers_}, 1}, options.stage);
    only_inputs_ = head_layers_.empty();
  }

  void add_example(const std::vector<Value>& inputs) {
    Example example;
    auto outputs = head_->run(inputs);
    const std::size_t count = head_->info().boundary_count;
    example.results.resize(result_slots_);
    put(head_->info(), outputs, example.results);
    example.boundary.assign(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(count));
    example.output = run_tail(example, example.boundary);
    examples_.push_back(std::move(example));
  }

  /// The tables of the codec transform; nothing where it takes none of the boundary.
  [[nodiscard]] CodecTables train(std::size_t training) const {
    const auto gradients = gradients_of(training);
    std::map<std::vector<std::int64_t>, std::vector<detail::TransformExample>> by_shape;
    std::size_t numbers = 0;
    for (std::size_t e = 0; e < training; ++e) {
      for (std::size_t v = 0; v < examples_[e].boundary.size(); ++v) {
        const auto* tensor = examples_[e].boundary[v].get_if<Tensor>();
        if (tensor == nullptr || tensor->dtype != DType::f32 || tensor->sizes.size() < 2) continue;
        detail::TransformExample example{*tensor, {}};
        for (const auto& gradient : gradients[e]) {
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
    return std::make_shared<const std::string>(detail::to_bytes(tables));
  }

  /// On the examples from `first` on. Nothing when the codec takes none of the boundary.
  [[nodiscard]] std::optional<CalibratedCodec> measure(const std::string& name, const CodecTables& tables,
                                                       std::size_t first) const {
    const auto codec = CodecRegistry::with_defaults().make(name, tables);
    if (!codec || (codec->only_inputs() && !only_inputs_)) return std::nullopt;
    EffectMeter meter(options_.output);
    CalibratedCodec result;
    double raw_bytes = 0;
    double coded_bytes = 0;
    std::vector<double> encode_s;
    std::vector<double> decode_s;
    bool takes_some = false;
    for (std::size_t e = first; e < examples_.size(); ++e) {
      const Example& example = examples_[e];
      const auto start = Clock::now();
      EncodedValues encoded = encode_values(*codec, example.boundary);
      const auto middle = Clock::now();
      for (std::size_t v = 0; v < example.boundary.size(); ++v) {
        const auto* tensor = example.boundary[v].get_if<Tensor>();
        if (tensor == nullptr || tensor->dtype != DType::f32) continue;
        raw_bytes += static_cast<double>(tensor->packed_bytes());
        const auto& pair = encoded.values[v].get_if<Tuple>()->items;
        coded_bytes += static_cast<double>(pair[1].tensor().packed_bytes());
        takes_some = takes_some || *pair[0].get_if<bool>();
      }
      result.kept_exact += encoded.kept_exact > 0 ? 1 : 0;
      const auto decoding = Clock::now();
      const auto decoded = decode_values(*codec, std::move(encoded.values));
      decode_s.push_back(std::chrono::duration<double>(Clock::now() - decoding).count());
      encode_s.push_back(std::chrono::duration<double>(middle - start).count());
      meter.add(example.output, run_tail(example, decoded));
    }
    if (!takes_some) return std::nullopt;
    result.effect = meter.finish();
    result.profile = {name,  coded_bytes / raw_bytes, 1 - result.effect.agreement, codec->only_inputs(), head_layers_,
                      tables};
    const auto bytes = static_cast<double>(float_bytes(examples_[first].boundary));
    result.speed = {name, bytes / std::max(detail::median(encode_s), 1e-9),
                    bytes / std::max(detail::median(decode_s), 1e-9)};
    return result;
  }

 private:
  struct Example {
    std::vector<Value> boundary;
    std::vector<Value> results;  ///< Those that the head gave.
    Tensor output;
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

  [[nodiscard]] Tensor output_in(const std::vector<Value>& slots) const {
    const auto* tensor = options_.output_slot < slots.size() ? slots[options_.output_slot].get_if<Tensor>() : nullptr;
    if (tensor != nullptr && tensor->dtype == DType::f32) return *tensor;
    throw Error(ErrorCode::invalid_argument, "CalibrationOptions::output_slot " + std::to_string(options_.output_slot) +
                                                 " of " + std::to_string(slots.size()) +
                                                 " results is no tensor of f32");
  }

  [[nodiscard]] Tensor run_tail(const Example& example, const std::vector<Value>& boundary) const {
    auto slots = example.results;
    put(tail_->info(), tail_->run(boundary), slots);
    return output_in(slots);
  }

  /// [example][draw][value of the boundary]; no draws when the tail can't be differentiated or has not the output.
  [[nodiscard]] std::vector<std::vector<std::vector<Value>>> gradients_of(std::size_t training) const {
    std::vector<std::vector<std::vector<Value>>> gradients(training);
    const StageInfo& info = tail_->info();
    const auto slot = std::find(info.result_slots.begin(), info.result_slots.end(), options_.output_slot);
    if (slot == info.result_slots.end()) return gradients;
    const std::size_t at = info.boundary_count + static_cast<std::size_t>(slot - info.result_slots.begin());
    const std::size_t bytes = std::max<std::size_t>(float_bytes(examples_.front().boundary) * training, 1);
    const std::size_t draws = std::clamp<std::size_t>(max_gradient_bytes / bytes, 1, options_.gradients);
    LossGradient loss(options_.output, options_.seed);
    try {
      for (std::size_t e = 0; e < training && options_.gradients > 0; ++e) {
        const auto pass = tail_->differentiate(examples_[e].boundary);
        std::vector<Value> weights(pass->outputs().size());
        for (std::size_t draw = 0; draw < draws; ++draw) {
          weights[at] = loss.draw(pass->outputs()[at].tensor());
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
  bool only_inputs_ = false;
  std::vector<Example> examples_;
};

/// Near 25, 50 and 75 % of the FLOPs.
std::vector<Cut> default_cuts(const Model& model) {
  const LayerGraph& graph = model.layers();
  double total = 0;
  for (const Layer& layer : graph.layers) total += static_cast<double>(layer.flops.value_or(0));
  const auto boundaries = detail::sequential_boundaries(graph);
  std::vector<Cut> cuts;
  for (const double target : {0.25, 0.5, 0.75}) {
    std::optional<std::size_t> best;
    double done = 0;
    LayerSet head;
    for (std::size_t i = 0; i + 1 < graph.layers.size(); ++i) {
      head.push_back(i);
      done += static_cast<double>(graph.layers[i].flops.value_or(0));
      if (std::abs(done - target * total) > 0.1 * total || model.refusal({head})) continue;
      if (!best || boundaries[i + 1].raw_bytes < boundaries[*best + 1].raw_bytes) best = i;
    }
    if (!best) continue;
    const Cut cut = Cut::after_index(*best);
    if (std::find(cuts.begin(), cuts.end(), cut) == cuts.end()) cuts.push_back(cut);
  }
  return cuts;
}

}  // namespace

void CalibrationOptions::validate() const {
  detail::check_number(held_out > 0 && held_out < 1, "CalibrationOptions::held_out", held_out,
                       "a number between 0 and 1");
  for (const int coarseness : coarsenesses) {
    detail::check_number(coarseness >= -64 && coarseness <= 64, "CalibrationOptions::coarsenesses", coarseness,
                         "whole numbers from −64 to 64");
  }
}

std::vector<CalibratedCodec> calibrate(const Model& model, const std::vector<std::vector<Value>>& examples,
                                       const CalibrationOptions& options) {
  options.validate();
  detail::check_at_least("calibrate: the number of examples", examples.size(), min_examples);
  const auto cuts = options.cuts.empty() ? default_cuts(model) : options.cuts;
  const auto held_out = std::clamp<std::size_t>(
      static_cast<std::size_t>(std::lround(options.held_out * static_cast<double>(examples.size()))), 1,
      examples.size() - 2);
  const std::size_t training = examples.size() - held_out;
  const std::size_t rungs = options.codecs.size() + options.coarsenesses.size();
  const std::size_t total = cuts.size() * (examples.size() + rungs * held_out);
  std::size_t done = 0;
  const auto progress = [&](std::size_t passes) {
    done += passes;
    if (options.progress) options.progress(done, total);
  };
  std::vector<CalibratedCodec> result;
  for (const Cut& cut : cuts) {
    CutCalibration calibration(model, model.layers().resolve(cut), options);
    for (const auto& example : examples) {
      calibration.add_example(example);
      progress(1);
    }
    const auto keep = [&](std::optional<CalibratedCodec> found) {
      if (found) result.push_back(std::move(*found));
      progress(held_out);
    };
    for (const std::string& codec : options.codecs) keep(calibration.measure(codec, nullptr, training));
    const CodecTables tables = options.coarsenesses.empty() ? nullptr : calibration.train(training);
    for (const int coarseness : options.coarsenesses) {
      if (!tables) break;
      const std::string name =
          "transform:tables=" + detail::digest_of_tables(*tables) + ";coarseness=" + std::to_string(coarseness);
      keep(calibration.measure(name, tables, training));
    }
  }
  return result;
}

}  // namespace splitnet
