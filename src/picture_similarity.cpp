// SPDX-License-Identifier: Apache-2.0
#include "picture_similarity.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "elements.hpp"

namespace splitnet::detail {
namespace {

constexpr std::size_t window = 11;

std::array<double, window> gaussian() {
  std::array<double, window> weights{};
  double sum = 0;
  for (std::size_t i = 0; i < window; ++i) {
    const double distance = static_cast<double>(i) - static_cast<double>(window / 2);
    sum += weights[i] = std::exp(-distance * distance / (2 * 1.5 * 1.5));
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

std::vector<double> items_of(const Tensor& tensor) {
  const auto elements = row_major(tensor);
  return {elements.begin(), elements.end()};
}

/// One channel, weighted by the window in both directions; the result is smaller by window − 1.
std::vector<double> blurred(const std::vector<double>& plane, std::size_t height, std::size_t width) {
  static const auto weights = gaussian();
  const std::size_t columns = width - window + 1;
  std::vector<double> across(height * columns, 0);
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < columns; ++x) {
      for (std::size_t i = 0; i < window; ++i) across[y * columns + x] += weights[i] * plane[y * width + x + i];
    }
  }
  std::vector<double> result((height - window + 1) * columns, 0);
  for (std::size_t y = 0; y + window <= height; ++y) {
    for (std::size_t x = 0; x < columns; ++x) {
      for (std::size_t i = 0; i < window; ++i) result[y * columns + x] += weights[i] * across[(y + i) * columns + x];
    }
  }
  return result;
}

double ssim_of_plane(const std::vector<double>& a, const std::vector<double>& b, std::size_t height, std::size_t width,
                     double range) {
  const auto blurred_product = [&](const std::vector<double>& x, const std::vector<double>& y) {
    std::vector<double> product(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) product[i] = x[i] * y[i];
    return blurred(product, height, width);
  };
  const auto mean_a = blurred(a, height, width);
  const auto mean_b = blurred(b, height, width);
  const auto square_a = blurred_product(a, a);
  const auto square_b = blurred_product(b, b);
  const auto product = blurred_product(a, b);
  const double c1 = std::pow(0.01 * range, 2);
  const double c2 = std::pow(0.03 * range, 2);
  double sum = 0;
  for (std::size_t i = 0; i < mean_a.size(); ++i) {
    const double means = mean_a[i] * mean_b[i];
    const double squares = mean_a[i] * mean_a[i] + mean_b[i] * mean_b[i];
    const double variances = square_a[i] + square_b[i] - squares;
    sum += (2 * means + c1) * (2 * (product[i] - means) + c2) / ((squares + c1) * (variances + c2));
  }
  return sum / static_cast<double>(mean_a.size());
}

}  // namespace

bool is_picture(const Tensor& tensor) {
  return tensor.sizes.size() == 4 && tensor.sizes[0] > 0 && tensor.sizes[1] > 0 &&
         tensor.sizes[2] >= static_cast<std::int64_t>(window) && tensor.sizes[3] >= static_cast<std::int64_t>(window);
}

double square_error(const Tensor& a, const Tensor& b, double range) {
  const auto x = items_of(a);
  const auto y = items_of(b);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow((x[i] - y[i]) / range, 2);
  return sum;
}

double psnr_db(double mean_square_error) {
  return mean_square_error > 0 ? -10 * std::log10(mean_square_error) : std::numeric_limits<double>::infinity();
}

double ssim(const Tensor& a, const Tensor& b, double range) {
  const auto height = static_cast<std::size_t>(a.sizes[2]);
  const auto width = static_cast<std::size_t>(a.sizes[3]);
  const auto x = items_of(a);
  const auto y = items_of(b);
  const std::size_t plane = height * width;
  double sum = 0;
  for (std::size_t at = 0; at < x.size(); at += plane) {
    const auto part = [&](const std::vector<double>& items) {
      const auto from = items.begin() + static_cast<std::ptrdiff_t>(at);
      return std::vector<double>(from, from + static_cast<std::ptrdiff_t>(plane));
    };
    sum += ssim_of_plane(part(x), part(y), height, width, range);
  }
  return sum / static_cast<double>(x.size() / plane);
}

}  // namespace splitnet::detail
