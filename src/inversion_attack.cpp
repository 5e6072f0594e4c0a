// SPDX-License-Identifier: Apache-2.0
#include "inversion_attack.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numbers>
#include <optional>
#include <span>
#include <utility>

#include "elements.hpp"
#include "picture_similarity.hpp"

namespace splitnet::detail {
namespace {

std::vector<float> items_of(const Tensor& tensor) {
  const auto elements = row_major(tensor);
  return {elements.begin(), elements.end()};
}

std::span<float> span_of(Tensor& tensor) {
  return {reinterpret_cast<float*>(tensor.data()), static_cast<std::size_t>(tensor.element_count())};
}

const Tensor* float_tensor(const Value& value) {
  const auto* tensor = value.get_if<Tensor>();
  return tensor != nullptr && tensor->dtype == DType::f32 && tensor->element_count() > 0 ? tensor : nullptr;
}

Tensor contiguous_copy(const Tensor& tensor) {
  Tensor copy = Tensor::empty(DType::f32, tensor.sizes);
  std::ranges::copy(row_major(tensor), span_of(copy).begin());
  return copy;
}

/// The boundary to match, and how far a pass is from it.
class Target {
 public:
  explicit Target(const std::vector<Value>& boundary) {
    for (std::size_t i = 0; i < boundary.size(); ++i) {
      const Tensor* tensor = float_tensor(boundary[i]);
      if (tensor == nullptr) continue;
      parts_.push_back({i, tensor->sizes, items_of(*tensor), 0});
      Part& part = parts_.back();
      for (const float item : part.items) part.square += static_cast<double>(item) * static_cast<double>(item);
      if (part.square <= 0) part.square = static_cast<double>(part.items.size());
    }
  }

  [[nodiscard]] bool is_empty() const { return parts_.empty(); }

  /// The boundary's part of the loss; its gradients by the outputs go to `weights`. Nothing when the sizes differ.
  std::optional<double> compare(const std::vector<Value>& outputs, std::vector<Value>& weights) const {
    weights.assign(outputs.size(), None{});
    double loss = 0;
    for (const Part& part : parts_) {
      const Tensor* output = float_tensor(outputs[part.index]);
      if (output == nullptr || output->sizes != part.sizes) return std::nullopt;
      Tensor weight = Tensor::empty(DType::f32, part.sizes);
      const auto to = span_of(weight);
      const auto found = row_major(*output);
      const double scale = part.square * static_cast<double>(parts_.size());
      for (std::size_t i = 0; i < to.size(); ++i) {
        const double difference = static_cast<double>(found[i]) - static_cast<double>(part.items[i]);
        loss += difference * difference / scale;
        to[i] = static_cast<float>(2 * difference / scale);
      }
      weights[part.index] = std::move(weight);
    }
    return loss;
  }

 private:
  struct Part {
    std::size_t index = 0;
    std::vector<std::int64_t> sizes;
    std::vector<float> items;
    double square = 0;  ///< ‖items‖².
  };
  std::vector<Part> parts_;
};

/// Adds weight · V to the loss and its gradients to `gradient`.
double add_total_variation(const Tensor& picture, double weight, double range, std::vector<double>& gradient) {
  constexpr double corner = 1e-3;  // The root is smooth at 0.
  const auto height = static_cast<std::size_t>(picture.sizes[2]);
  const auto width = static_cast<std::size_t>(picture.sizes[3]);
  const auto* items = reinterpret_cast<const float*>(picture.data());
  const double share = weight / static_cast<double>(gradient.size());
  double loss = 0;
  for (std::size_t at = 0; at < gradient.size(); ++at) {
    const std::size_t x = at % width;
    const std::size_t y = at / width % height;
    const auto step_to = [&](bool is_inside, std::size_t next) {
      return is_inside ? (static_cast<double>(items[next]) - static_cast<double>(items[at])) / range : 0.0;
    };
    const bool has_right = x + 1 < width;
    const bool has_down = y + 1 < height;
    const double right = step_to(has_right, has_right ? at + 1 : at);
    const double down = step_to(has_down, has_down ? at + width : at);
    const double root = std::sqrt(right * right + down * down + corner * corner);
    loss += share * (root - corner);
    gradient[at] -= share * (right + down) / (root * range);
    if (has_right) gradient[at + 1] += share * right / (root * range);
    if (has_down) gradient[at + width] += share * down / (root * range);
  }
  return loss;
}

double range_of(const SoughtInput& input) {
  return static_cast<double>(input.high) - static_cast<double>(input.low);
}

/// Kingma and Ba 2015, algorithm 1, for one input in parts of its range; keeps it within.
class Adam {
 public:
  explicit Adam(std::size_t count) : mean_(count, 0), square_(count, 0) {}

  void step(std::span<float> items, const std::vector<double>& gradients, double length, const SoughtInput& input) {
    constexpr double keep_mean = 0.9;
    constexpr double keep_square = 0.999;
    constexpr double small = 1e-8;
    const double range = range_of(input);
    const double scale = range * static_cast<double>(items.size());  // So that `small` is small beside any gradient.
    ++steps_;
    const double mean_bias = 1 - std::pow(keep_mean, steps_);
    const double square_bias = 1 - std::pow(keep_square, steps_);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const double gradient = gradients[i] * scale;
      mean_[i] = keep_mean * mean_[i] + (1 - keep_mean) * gradient;
      square_[i] = keep_square * square_[i] + (1 - keep_square) * gradient * gradient;
      const double part = mean_[i] / mean_bias / (std::sqrt(square_[i] / square_bias) + small);
      const double moved = static_cast<double>(items[i]) - length * range * part;
      items[i] = std::clamp(static_cast<float>(moved), input.low, input.high);
    }
  }

 private:
  std::vector<double> mean_;
  std::vector<double> square_;
  int steps_ = 0;
};

class Attack {
 public:
  Attack(const Stage& head, const Inversion& inversion, const AttackSettings& settings)
      : head_(head),
        sought_(inversion.sought),
        settings_(settings),
        inputs_(inversion.inputs),
        target_(inversion.boundary) {
    for (const SoughtInput& input : sought_) {
      now_.push_back(contiguous_copy(inputs_[input.index].tensor()));
      inputs_[input.index] = now_.back();
      adams_.emplace_back(span_of(now_.back()).size());
    }
  }

  Inverted run(std::size_t steps) {
    Inverted result;
    if (target_.is_empty()) return {{}, "no tensor of f32 crosses the cut"};
    for (std::size_t step = 0; step < steps; ++step) {
      const auto loss = differentiate();
      if (!loss) return {{}, "the boundary's sizes depend on the input's elements"};
      if (!std::isfinite(*loss)) break;
      keep_best(*loss, result);
      const double part = static_cast<double>(step) / static_cast<double>(steps);
      const double length = settings_.learning_rate * (1 + std::cos(std::numbers::pi * part)) / 2;
      for (std::size_t i = 0; i < sought_.size(); ++i) {
        adams_[i].step(span_of(now_[i]), gradients_[i], length, sought_[i]);
      }
    }
    if (result.inputs.empty()) result.failure = "the error of the boundary is not a finite number";
    if (!has_gradients_) result.failure = "no gradient of the boundary reaches the input";
    return result;
  }

 private:
  /// One pass: the loss, and its gradients in gradients_.
  std::optional<double> differentiate() {
    const auto pass = head_.differentiate(inputs_);
    std::vector<Value> weights;
    auto loss = target_.compare(pass->outputs(), weights);
    if (!loss) return loss;
    const auto found = pass->gradients(weights);
    gradients_.clear();
    for (std::size_t i = 0; i < sought_.size(); ++i) {
      const std::size_t count = span_of(now_[i]).size();
      auto& gradient = gradients_.emplace_back(count, 0.0);
      if (const Tensor* tensor = float_tensor(found[sought_[i].index])) {
        const auto items = row_major(*tensor);
        gradient.assign(items.begin(), items.end());
      }
      has_gradients_ = has_gradients_ || *loss == 0 || std::ranges::any_of(gradient, [](double g) { return g != 0; });
      if (is_picture(now_[i])) {
        *loss += add_total_variation(now_[i], settings_.total_variation, range_of(sought_[i]), gradient);
      }
    }
    return loss;
  }

  void keep_best(double loss, Inverted& result) {
    if (loss >= best_loss_) return;
    best_loss_ = loss;
    result.inputs.clear();
    for (const Tensor& tensor : now_) result.inputs.push_back(contiguous_copy(tensor));
  }

  const Stage& head_;
  const std::vector<SoughtInput>& sought_;
  const AttackSettings& settings_;
  std::vector<Value> inputs_;  ///< Share their bytes with now_.
  const Target target_;
  std::vector<Tensor> now_;
  std::vector<Adam> adams_;
  std::vector<std::vector<double>> gradients_;
  bool has_gradients_ = false;
  double best_loss_ = std::numeric_limits<double>::infinity();
};

}  // namespace

Inverted invert(const Stage& head, const Inversion& inversion, const AttackSettings& settings, std::size_t steps) {
  return Attack(head, inversion, settings).run(steps);
}

}  // namespace splitnet::detail
