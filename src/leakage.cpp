// SPDX-License-Identifier: Apache-2.0
#include "splitnet/leakage.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "check_number.hpp"
#include "distance_correlation.hpp"
#include "elements.hpp"
#include "inversion_attack.hpp"
#include "picture_similarity.hpp"
#include "sequential_flops.hpp"
#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

using Examples = std::vector<std::vector<Value>>;

constexpr std::size_t min_examples = 4;

void check_alike(const Examples& examples) {
  const auto& first = examples.front();
  for (std::size_t e = 1; e < examples.size(); ++e) {
    const std::string name = "measure_leakage: example " + std::to_string(e);
    if (examples[e].size() != first.size()) {
      throw Error(ErrorCode::invalid_argument, name + " has " + std::to_string(examples[e].size()) +
                                                   " inputs, expected " + std::to_string(first.size()));
    }
    for (std::size_t i = 0; i < first.size(); ++i) {
      const auto* tensor = examples[e][i].get_if<Tensor>();
      const auto* expected = first[i].get_if<Tensor>();
      const bool is_alike = tensor != nullptr && expected != nullptr
                                ? tensor->dtype == expected->dtype && tensor->sizes == expected->sizes
                                : examples[e][i].variant().index() == first[i].variant().index();
      if (is_alike) continue;
      throw Error(ErrorCode::invalid_argument, name + ": input " + std::to_string(i) + " is a " +
                                                   describe(examples[e][i]) + ", expected one as in example 0, a " +
                                                   describe(first[i]));
    }
  }
}

/// The inputs that an attacker looks for, with what is known of them without a boundary.
class Inputs {
 public:
  explicit Inputs(const Examples& examples) : examples_(examples) {
    check_alike(examples);
    for (std::size_t i = 0; i < examples.front().size(); ++i) {
      const auto* tensor = examples.front()[i].get_if<Tensor>();
      if (tensor == nullptr || tensor->dtype != DType::f32) continue;
      has_floats_ = true;
      add(i, static_cast<std::size_t>(tensor->element_count()));
    }
  }

  [[nodiscard]] const std::vector<detail::SoughtInput>& sought() const { return sought_; }
  /// Why there is nothing to look for.
  [[nodiscard]] std::string why_none() const {
    return has_floats_ ? "all examples have the same inputs of f32" : "no input is a tensor of f32";
  }

  /// The means of the other examples, one for each input sought.
  [[nodiscard]] std::vector<Tensor> trivial(std::size_t example) const {
    std::vector<Tensor> guesses;
    for (std::size_t i = 0; i < sought_.size(); ++i) {
      const Tensor& own = examples_[example][sought_[i].index].tensor();
      Tensor guess = Tensor::empty(DType::f32, own.sizes);
      auto* to = reinterpret_cast<float*>(guess.data());
      const auto items = detail::row_major(own);
      const auto others = static_cast<double>(examples_.size() - 1);
      for (std::size_t k = 0; k < items.size(); ++k) {
        to[k] = static_cast<float>((sums_[i][k] - static_cast<double>(items[k])) / others);
      }
      guesses.push_back(std::move(guess));
    }
    return guesses;
  }

  [[nodiscard]] Similarity similarity(std::size_t example, const std::vector<Tensor>& rebuilt) const {
    double error = 0;
    double count = 0;
    double ssim = 0;
    double pictures = 0;
    for (std::size_t i = 0; i < sought_.size(); ++i) {
      const Tensor& own = examples_[example][sought_[i].index].tensor();
      const double range = static_cast<double>(sought_[i].high) - static_cast<double>(sought_[i].low);
      error += detail::square_error(own, rebuilt[i], range);
      count += static_cast<double>(own.element_count());
      if (!detail::is_picture(own)) continue;
      ssim += detail::ssim(own, rebuilt[i], range);
      pictures += 1;
    }
    Similarity similarity{detail::psnr_db(error / count), std::nullopt};
    if (pictures > 0) similarity.ssim = ssim / pictures;
    return similarity;
  }

 private:
  void add(std::size_t index, std::size_t elements) {
    std::vector<double> sums(elements, 0);
    float low = std::numeric_limits<float>::infinity();
    float high = -low;
    bool is_finite = true;
    bool differs = false;
    for (const auto& example : examples_) {
      differs = differs || !bit_identical(example[index].tensor(), examples_.front()[index].tensor());
      const auto items = detail::row_major(example[index].tensor());
      for (std::size_t k = 0; k < elements; ++k) {
        is_finite = is_finite && std::isfinite(items[k]);
        sums[k] += static_cast<double>(items[k]);
        low = std::min(low, items[k]);
        high = std::max(high, items[k]);
      }
    }
    if (!is_finite || !std::isfinite(high - low)) {
      throw Error(ErrorCode::invalid_argument, "measure_leakage: input " + std::to_string(index) +
                                                   " has elements that are not finite or a range that is not");
    }
    if (!differs || low >= high) return;  // 0 and −0 differ.
    sought_.push_back({index, low, high});
    sums_.push_back(std::move(sums));
  }

  const Examples& examples_;
  std::vector<detail::SoughtInput> sought_;
  std::vector<std::vector<double>> sums_;  ///< Over all examples, element by element.
  bool has_floats_ = false;
};

/// Means of what was found for several examples.
class SimilaritySum {
 public:
  void add(const Similarity& found) {
    count_ += 1;
    psnr_db_ += found.psnr_db;
    highest_psnr_db_ = std::max(highest_psnr_db_, found.psnr_db);
    if (found.ssim) ssim_ = ssim_.value_or(0) + *found.ssim;
  }
  [[nodiscard]] Similarity mean() const {
    return {psnr_db_ / count_, ssim_ ? std::optional(*ssim_ / count_) : std::nullopt};
  }
  [[nodiscard]] double highest_psnr_db() const { return highest_psnr_db_; }

 private:
  double count_ = 0;
  double psnr_db_ = 0;
  double highest_psnr_db_ = -std::numeric_limits<double>::infinity();
  std::optional<double> ssim_;
};

/// One cut: its head, and what crosses for every example.
class CutLeakage {
 public:
  CutLeakage(const Model& model, LayerSet head, const Examples& examples, const Inputs& inputs,
             const LeakageOptions& options)
      : examples_(examples), inputs_(inputs), options_(options), layers_(std::move(head)) {
    head_ = model.make_stage({{layers_}, 0}, options.stage);
    const StageInfo& info = head_->info();
    for (std::size_t i = 0; i < inputs.sought().size(); ++i) {
      const auto id = info.inputs[inputs.sought()[i].index].id;
      const auto end = info.outputs.begin() + static_cast<std::ptrdiff_t>(info.boundary_count);
      const auto at = std::find_if(info.outputs.begin(), end, [&](const StageValue& value) { return value.id == id; });
      sent_as_.push_back(at == end ? std::nullopt : std::optional(static_cast<std::size_t>(at - info.outputs.begin())));
    }
  }

  [[nodiscard]] bool sends_input() const {
    return std::ranges::any_of(sent_as_, [](const auto& at) { return at.has_value(); });
  }
  [[nodiscard]] bool applies(const CodecProfile& codec) const { return !codec.head || *codec.head == layers_; }

  void run(std::size_t example) {
    auto outputs = head_->run(examples_[example]);
    outputs.resize(head_->info().boundary_count);
    boundaries_.push_back(std::move(outputs));
  }

  /// All but what the attack finds. Nothing when the codec is for inputs only and others cross.
  [[nodiscard]] std::optional<Leakage> measure(const CodecProfile& profile,
                                               const std::optional<detail::Distances>& input_distances) {
    const auto codec = CodecRegistry::with_defaults().make(profile.name, profile.tables);
    if (codec && codec->only_inputs() && !layers_.empty()) return std::nullopt;
    decoded_ = boundaries_;
    for (auto& boundary : decoded_) {
      if (codec) boundary = decode_values(*codec, encode_values(*codec, std::move(boundary)).values);
    }
    Leakage result;
    result.head = layers_;
    result.codec = profile.name;
    result.examples = examples_.size();
    result.sends_input = sends_input();
    const auto distances = detail::distances_between(decoded_);
    if (input_distances && distances) {
      result.distance_correlation = detail::distance_correlation(*input_distances, *distances);
    }
    return result;
  }

  /// The attack's figures for the boundaries that `measure` decoded last. `progress` is told of each pass.
  template <class Progress>
  void attack(Leakage& result, Progress&& progress) const {
    SimilaritySum rebuilt;
    SimilaritySum trivial;
    const std::size_t count = std::min(options_.attacked, examples_.size());
    for (std::size_t example = 0; example < count; ++example) {
      const auto guess = inputs_.trivial(example);
      trivial.add(inputs_.similarity(example, guess));
      std::optional<Similarity> best;
      for (std::size_t run = 0; run < options_.attacks.size(); ++run) {
        const auto found = invert(example, guess, run);
        progress(options_.steps);
        if (!found.failure.empty()) {
          result.no_statement = found.failure;
          continue;
        }
        const auto similarity = inputs_.similarity(example, found.inputs);
        if (!best || similarity.psnr_db > best->psnr_db) best = similarity;
      }
      if (!best) return;
      rebuilt.add(*best);
    }
    result.no_statement.clear();
    result.attacked = count;
    result.trivial = trivial.mean();
    result.rebuilt = rebuilt.mean();
    result.highest_psnr_db = rebuilt.highest_psnr_db();
  }

 private:
  /// Those sought: inputs that cross themselves are there already, the others are looked for.
  [[nodiscard]] detail::Inverted invert(std::size_t example, const std::vector<Tensor>& guess, std::size_t run) const {
    detail::Inversion inversion{examples_[example], {}, decoded_[example]};
    std::mt19937_64 random(options_.seed + 1000 * example + run);
    for (std::size_t i = 0; i < guess.size(); ++i) {
      const auto& input = inputs_.sought()[i];
      if (sent_as_[i]) {
        inversion.inputs[input.index] = decoded_[example][*sent_as_[i]];
      } else {
        inversion.inputs[input.index] = start(guess[i], input, random);
        inversion.sought.push_back(input);
      }
    }
    detail::Inverted found;
    if (!inversion.sought.empty()) {
      try {
        found = detail::invert(*head_, inversion, options_.attacks[run], options_.steps);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::unsupported_model) throw;
        found.failure = error.what();
      }
    }
    if (!found.failure.empty()) return found;
    for (std::size_t i = 0; i < guess.size(); ++i) {
      if (!sent_as_[i]) continue;
      found.inputs.insert(found.inputs.begin() + static_cast<std::ptrdiff_t>(i),
                          decoded_[example][*sent_as_[i]].tensor());
    }
    return found;
  }

  /// A little noise keeps equal elements from staying equal.
  static Tensor start(const Tensor& guess, const detail::SoughtInput& input, std::mt19937_64& random) {
    const float range = input.high - input.low;
    std::normal_distribution<float> noise(0, 0.01F * range);
    Tensor tensor = Tensor::empty(DType::f32, guess.sizes);
    auto* to = reinterpret_cast<float*>(tensor.data());
    for (const float item : detail::row_major(guess)) *to++ = std::clamp(item + noise(random), input.low, input.high);
    return tensor;
  }

  const Examples& examples_;
  const Inputs& inputs_;
  const LeakageOptions& options_;
  const LayerSet layers_;
  std::unique_ptr<Stage> head_;
  std::vector<std::optional<std::size_t>> sent_as_;  ///< For each input sought: which boundary value it is itself.
  Examples boundaries_;
  Examples decoded_;
};

/// The layers 0 … i for every i at which the model can be cut.
std::vector<LayerSet> sequential_heads(const Model& model) {
  std::vector<LayerSet> heads;
  LayerSet head;
  for (std::size_t i = 0; i + 1 < model.layers().layers.size(); ++i) {
    head.push_back(i);
    if (!model.refusal({head})) heads.push_back(head);
  }
  return heads;
}

/// The first one, and those nearest to 10, 25, 50 and 75 % of the FLOPs.
std::vector<LayerSet> default_heads(const Model& model) {
  const auto heads = sequential_heads(model);
  const auto done = detail::sequential_flops(model.layers());
  std::vector<LayerSet> chosen;
  if (!heads.empty()) chosen.push_back(heads.front());
  for (const double share : {0.1, 0.25, 0.5, 0.75}) {
    const auto distance = [&](const LayerSet& head) { return std::abs(done[head.size()] - share * done.back()); };
    const auto nearest = std::ranges::min_element(heads, {}, distance);
    if (nearest != heads.end() && std::ranges::find(chosen, *nearest) == chosen.end()) chosen.push_back(*nearest);
  }
  return chosen;
}

class Measurement {
 public:
  Measurement(const Model& model, const Examples& examples, const LeakageOptions& options)
      : model_(model), examples_(examples), options_(options), inputs_(examples) {
    for (const CodecProfile& codec : options.codecs) {
      (void)CodecRegistry::with_defaults().make(codec.name, codec.tables);
    }
    if (options.cuts.empty()) heads_ = default_heads(model);
    for (const Cut& cut : options.cuts) heads_.push_back(model.layers().resolve(cut));
  }

  std::vector<Leakage> run() {
    const auto input_distances = detail::distances_between(examples_);
    if (!inputs_.sought().empty()) {
      attack_passes_ = std::min(options_.attacked, examples_.size()) * options_.attacks.size() * options_.steps;
    }
    total_ = heads_.size() * (examples_.size() + options_.codecs.size() * attack_passes_) + attack_passes_;
    const std::string no_statement = attack_passes_ == 0 ? inputs_.why_none() : try_first_layer();
    std::vector<Leakage> results;
    for (const LayerSet& head : heads_) {
      CutLeakage cut(model_, head, examples_, inputs_, options_);
      for (std::size_t e = 0; e < examples_.size(); ++e) {
        cut.run(e);
        progress(1);
      }
      for (const CodecProfile& codec : options_.codecs) {
        auto result = cut.applies(codec) ? cut.measure(codec, input_distances) : std::nullopt;
        if (result && (no_statement.empty() || cut.sends_input())) {
          attack(cut, *result);
        } else {
          progress(attack_passes_);
          if (result) result->no_statement = no_statement;
        }
        if (result) results.push_back(std::move(*result));
      }
    }
    return results;
  }

 private:
  /// Why the attack says nothing about this model; empty: it does.
  std::string try_first_layer() {
    for (const LayerSet& head : sequential_heads(model_)) {
      CutLeakage cut(model_, head, examples_, inputs_, options_);
      if (cut.sends_input()) continue;
      for (std::size_t e = 0; e < examples_.size(); ++e) cut.run(e);
      auto result = cut.measure({}, std::nullopt);
      attack(cut, *result);
      if (!result->rebuilt) return "behind the first layer that can be cut: " + result->no_statement;
      const double above_db = result->rebuilt->psnr_db - result->trivial->psnr_db;
      if (above_db >= options_.statement_db) return {};
      return "the attack can't even invert the first layer that can be cut: " +
             detail::short_number(result->rebuilt->psnr_db) + " dB, " + detail::short_number(above_db) +
             " dB above the trivial guess, expected at least " + detail::short_number(options_.statement_db);
    }
    return "no cut of this model keeps the input on the device";
  }

  void attack(const CutLeakage& cut, Leakage& result) {
    const std::size_t end = done_ + attack_passes_;
    cut.attack(result, [&](std::size_t passes) { progress(passes); });
    progress(end - done_);  // Those that a failure saved.
  }

  void progress(std::size_t passes) {
    done_ += passes;
    if (passes > 0 && options_.progress) options_.progress(done_, total_);
  }

  const Model& model_;
  const Examples& examples_;
  const LeakageOptions& options_;
  const Inputs inputs_;
  std::vector<LayerSet> heads_;
  std::size_t attack_passes_ = 0;  ///< Of one cut and codec.
  std::size_t done_ = 0;
  std::size_t total_ = 0;
};

}  // namespace

void LeakageOptions::validate() const {
  detail::check_at_least("LeakageOptions::codecs: the number", codecs.size(), 1);
  detail::check_at_least("LeakageOptions::attacked", attacked, 1);
  detail::check_at_least("LeakageOptions::attacks: the number", attacks.size(), 1);
  detail::check_at_least("LeakageOptions::steps", steps, 1);
  detail::check_not_negative("LeakageOptions::statement_db", statement_db);
  for (const AttackSettings& attack : attacks) {
    detail::check_number(attack.learning_rate > 0 && attack.learning_rate <= 1, "AttackSettings::learning_rate",
                         attack.learning_rate, "a number above 0, at most 1");
    detail::check_not_negative("AttackSettings::total_variation", attack.total_variation);
  }
}

std::vector<Leakage> measure_leakage(const Model& model, const std::vector<std::vector<Value>>& examples,
                                     const LeakageOptions& options) {
  options.validate();
  detail::check_at_least("measure_leakage: the number of examples", examples.size(), min_examples);
  return Measurement(model, examples, options).run();
}

std::vector<LeakageProfile> profiles_of(const std::vector<Leakage>& measured) {
  std::vector<LeakageProfile> profiles;
  for (const Leakage& leakage : measured) {
    if (leakage.highest_psnr_db) profiles.push_back({leakage.head, leakage.codec, *leakage.highest_psnr_db});
  }
  return profiles;
}

}  // namespace splitnet
