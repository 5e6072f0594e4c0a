// SPDX-License-Identifier: Apache-2.0
// The loss that a small error e of the boundary makes is ½ eᵀ F e with F the mean of g gᵀ over gradients g (for
// log-probabilities of answers drawn from the model F is Fisher's matrix and the loss the Kullback–Leibler divergence:
// Amari, "Natural gradient works efficiently in learning", Neural Computation 1998). With S the covariance of the
// channels, the components are the principal axes of F^½ S F^½: uncorrelated, and an error of one unit in any of them
// costs the same, so that one step for all is optimal (reverse water-filling: Cover, Thomas, "Elements of Information
// Theory", §10.3). That is done for each band of frequencies, whose steps then follow the sensitivity that is left in
// them.
#include "transform_training.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "elements.hpp"
#include "transform_codec.hpp"

namespace splitnet::detail {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Integers of the largest numbers in the examples, with room for other inputs: twice as much in components, four times
// in channels.
constexpr double largest_coefficient = 15000;
constexpr double input_range = 2047;
constexpr double smallest_step = 64;
constexpr double row_sum = 65000;  ///< Of a matrix of 16-bit integers; see TransformTables::validate.

/// The largest divisor from 4 to 32, or the side itself when it is small.
std::size_t tile_side(std::size_t side) {
  if (side <= 32) return side;
  for (std::size_t n = 32; n >= 4; --n) {
    if (side % n == 0) return n;
  }
  return 0;
}

/// Row f: the cosine of frequency f, orthonormal.
Matrix cosines(std::size_t n) {
  Matrix result(n, n);
  for (std::size_t f = 0; f < n; ++f) {
    for (std::size_t i = 0; i < n; ++i) {
      const double angle =
          M_PI * (2 * static_cast<double>(i) + 1) * static_cast<double>(f) / (2 * static_cast<double>(n));
      result(f, i) = std::cos(angle) * std::sqrt((f == 0 ? 1.0 : 2.0) / static_cast<double>(n));
    }
  }
  return result;
}

std::vector<std::int16_t> fixed_point(const Matrix& matrix, double scale) {
  std::vector<std::int16_t> result;
  for (Eigen::Index i = 0; i < matrix.rows(); ++i) {
    for (Eigen::Index j = 0; j < matrix.cols(); ++j) {
      result.push_back(static_cast<std::int16_t>(std::clamp(std::round(matrix(i, j) * scale), -32767.0, 32767.0)));
    }
  }
  return result;
}

/// As integers times 2^−shift, as fine as sums of 32 bits allow.
std::pair<std::vector<std::int16_t>, std::uint8_t> fixed_point(const Matrix& matrix) {
  const double sum = matrix.cwiseAbs().rowwise().sum().maxCoeff();
  const double item = matrix.cwiseAbs().maxCoeff();
  int shift = 30;
  while (shift > 1 && (std::ldexp(sum, shift) > row_sum || std::ldexp(item, shift) > 32767)) --shift;
  return {fixed_point(matrix, std::ldexp(1.0, shift)), static_cast<std::uint8_t>(shift)};
}

Matrix power(const Matrix& symmetric, double exponent) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(symmetric);
  const Vector values = solver.eigenvalues().cwiseMax(1e-300).array().pow(exponent);
  return solver.eigenvectors() * values.asDiagonal() * solver.eigenvectors().transpose();
}

class Trainer {
 public:
  Trainer(const std::vector<TransformExample>& examples, const TrainingOptions& options)
      : examples_(examples), options_(options) {}

  std::optional<TransformTables> run() {
    if (!measure()) return std::nullopt;
    center();
    find_components();
    measure_coefficients();
    choose_steps();
    write_tables();
    count_symbols();
    tables_.validate();
    return std::move(tables_);
  }

 private:
  [[nodiscard]] std::size_t positions() const { return tables_.positions(); }
  [[nodiscard]] Eigen::Index channels() const { return tables_.channels; }

  bool measure() {
    if (examples_.size() < 2) return false;
    const Tensor& first = examples_.front().value;
    const std::size_t rank = first.sizes.size();
    if (first.dtype != DType::f32 || rank < 2 || rank > 4 || first.element_count() == 0) return false;
    for (const TransformExample& example : examples_) {
      if (example.value.dtype != DType::f32 || example.value.sizes.size() != rank) return false;
      for (const float element : row_major(example.value)) {
        if (!std::isfinite(element)) return false;
      }
    }
    if (rank == 4) {
      for (const TransformExample& example : examples_) {
        if (!std::equal(first.sizes.begin() + 1, first.sizes.end(), example.value.sizes.begin() + 1)) return false;
      }
      tables_.kind = BoundaryKind::maps;
      tables_.channels = static_cast<std::uint32_t>(first.sizes[1]);
      tables_.height = static_cast<std::uint32_t>(tile_side(static_cast<std::size_t>(first.sizes[2])));
      tables_.width = static_cast<std::uint32_t>(tile_side(static_cast<std::size_t>(first.sizes[3])));
    } else {
      tables_.kind = BoundaryKind::tokens;
      tables_.channels = static_cast<std::uint32_t>(first.sizes[rank - 1]);
      for (const TransformExample& example : examples_) {
        if (example.value.sizes[rank - 1] != first.sizes[rank - 1]) return false;
      }
    }
    return tables_.height > 0 && tables_.width > 0;
  }

  /// Calls visit(tile as positions × channels).
  template <class Visit>
  void for_each_tile(const Tensor& tensor, Visit&& visit) const {
    const auto elements = row_major(tensor);
    const std::size_t count = tables_.channels;
    RowMatrix tile(positions(), count);
    if (tables_.kind == BoundaryKind::tokens) {
      for (std::size_t at = 0; at < elements.size(); at += count) {
        for (std::size_t c = 0; c < count; ++c) tile(0, c) = elements[at + c];
        visit(tile);
      }
      return;
    }
    const auto rows = static_cast<std::size_t>(tensor.sizes[2]);
    const auto columns = static_cast<std::size_t>(tensor.sizes[3]);
    for (std::size_t n = 0; n < static_cast<std::size_t>(tensor.sizes[0]); ++n) {
      for (std::size_t top = 0; top < rows; top += tables_.height) {
        for (std::size_t left = 0; left < columns; left += tables_.width) {
          for (std::size_t c = 0; c < count; ++c) {
            for (std::size_t p = 0; p < positions(); ++p) {
              const std::size_t y = top + p / tables_.width;
              const std::size_t x = left + p % tables_.width;
              tile(p, c) = elements[((n * count + c) * rows + y) * columns + x];
            }
          }
          visit(tile);
        }
      }
    }
  }

  /// Mean and range of each channel.
  void center() {
    Vector sum = Vector::Zero(channels());
    double tiles = 0;
    for (const TransformExample& example : examples_) {
      for_each_tile(example.value, [&](const RowMatrix& tile) {
        sum += tile.cast<double>().colwise().sum().transpose();
        ++tiles;
      });
    }
    tiles_per_example_ = tiles / static_cast<double>(examples_.size());
    mean_ = (sum / (tiles * static_cast<double>(positions()))).cast<float>().cast<double>();
    Vector range = Vector::Zero(channels());
    for (const TransformExample& example : examples_) {
      for_each_tile(example.value, [&](const RowMatrix& tile) {
        const Matrix centered = tile.cast<double>().rowwise() - mean_.transpose();
        range = range.cwiseMax(centered.cwiseAbs().colwise().maxCoeff().transpose());
      });
    }
    per_unit_ = Vector(channels());
    const double widest = range.maxCoeff();
    for (Eigen::Index c = 0; c < channels(); ++c) {
      // A channel that never moves would have a unit without end.
      const double moves = range[c] > 1e-8 * widest ? range[c] : std::max(widest, 1e-30);
      per_unit_[c] = static_cast<float>(input_range / moves);
    }
  }

  /// The spectrum of a tile: frequencies × channels.
  [[nodiscard]] Matrix spectrum(const Matrix& tile) const {
    if (positions() == 1) return tile;
    Matrix result(tile.rows(), tile.cols());
    const Eigen::Index w = tables_.width;
    for (Eigen::Index y = 0; y < tables_.height; ++y)
      result.middleRows(y * w, w) = cosine_width_ * tile.middleRows(y * w, w);
    const Matrix rows = result;
    for (Eigen::Index x = 0; x < w; ++x) {
      Matrix column(tables_.height, tile.cols());
      for (Eigen::Index y = 0; y < tables_.height; ++y) column.row(y) = rows.row(y * w + x);
      column = cosine_height_ * column;
      for (Eigen::Index y = 0; y < tables_.height; ++y) result.row(y * w + x) = column.row(y);
    }
    return result;
  }

  template <class Visit>
  void for_each_spectrum(Visit&& visit) const {
    for (const TransformExample& example : examples_) {
      for_each_tile(example.value,
                    [&](const RowMatrix& tile) { visit(spectrum(tile.cast<double>().rowwise() - mean_.transpose())); });
    }
  }
  template <class Visit>
  void for_each_gradient(Visit&& visit) const {
    for (const TransformExample& example : examples_) {
      for (const Tensor& gradient : example.gradients) {
        for_each_tile(gradient, [&](const RowMatrix& tile) { visit(spectrum(tile.cast<double>())); });
      }
    }
  }

  void find_components() {
    cosine_height_ = cosines(tables_.height);
    cosine_width_ = cosines(tables_.width);
    choose_bands();
    const std::size_t bands = band_edges_.size() + 1;
    std::vector<Matrix> covariance(bands, Matrix::Zero(channels(), channels()));
    std::vector<Matrix> sensitivity = covariance;
    std::vector<double> spectra(bands, 0);
    std::vector<double> gradients(bands, 0);
    const auto add = [&](const Matrix& tile, std::vector<Matrix>& sums, std::vector<double>& counts) {
      for (std::size_t b = 0; b < bands; ++b) {
        const Matrix rows = rows_of_band(tile, b);
        sums[b].selfadjointView<Eigen::Lower>().rankUpdate(rows.transpose());
        counts[b] += static_cast<double>(rows.rows());
      }
    };
    for_each_spectrum([&](const Matrix& tile) { add(tile, covariance, spectra); });
    for_each_gradient([&](const Matrix& tile) { add(tile, sensitivity, gradients); });
    has_gradients_ = gradients.front() > 0;
    Matrix whole_covariance = mean_of(covariance, spectra);
    Matrix whole_sensitivity =
        has_gradients_ ? mean_of(sensitivity, gradients) : Matrix(Matrix::Identity(channels(), channels()));
    for (std::size_t b = 0; b < bands; ++b) {
      const Matrix s = blended(covariance[b], spectra[b], whole_covariance, bands);
      Matrix f = has_gradients_ ? blended(sensitivity[b], gradients[b], whole_sensitivity, bands) : whole_sensitivity;
      f *= whole_sensitivity.trace() / std::max(f.trace(), 1e-300);  // Steps follow the level.
      f.diagonal().array() += options_.ridge * whole_sensitivity.trace() / static_cast<double>(channels()) + 1e-300;
      const Matrix root = power(f, 0.5);
      const Eigen::SelfAdjointEigenSolver<Matrix> solver(Matrix(root * s * root));
      const Matrix axes = solver.eigenvectors().rowwise().reverse();
      analysis_.push_back(axes.transpose() * root);
      synthesis_.push_back(power(f, -0.5) * axes);
    }
  }

  /// Radii of frequencies at which bands begin: four bands where there are enough frequencies.
  void choose_bands() {
    band_edges_ = positions() >= 36 ? std::vector<double>{1e-6, 0.2, 0.45} : std::vector<double>{};
    for (std::size_t f = 0; f < positions(); ++f) {
      const double y = static_cast<double>(f / tables_.width) / tables_.height;
      const double x = static_cast<double>(f % tables_.width) / tables_.width;
      const double radius = std::hypot(x, y);
      const auto band = std::upper_bound(band_edges_.begin(), band_edges_.end(), radius) - band_edges_.begin();
      tables_.band_of.push_back(static_cast<std::uint8_t>(band));
      tables_.radial_of.push_back(static_cast<std::uint8_t>(std::min(radius * 12, radial_bands - 1.0)));
    }
  }

  [[nodiscard]] Matrix rows_of_band(const Matrix& tile, std::size_t band) const {
    if (band_edges_.empty()) return tile;
    Matrix rows(tile.rows(), tile.cols());
    Eigen::Index count = 0;
    for (std::size_t f = 0; f < positions(); ++f) {
      if (tables_.band_of[f] == band) rows.row(count++) = tile.row(static_cast<Eigen::Index>(f));
    }
    return rows.topRows(count);
  }

  static Matrix symmetric(const Matrix& lower) { return lower.selfadjointView<Eigen::Lower>(); }
  static Matrix mean_of(const std::vector<Matrix>& sums, const std::vector<double>& counts) {
    Matrix sum = Matrix::Zero(sums.front().rows(), sums.front().cols());
    double count = 0;
    for (std::size_t b = 0; b < sums.size(); ++b) {
      sum += symmetric(sums[b]);
      count += counts[b];
    }
    return sum / std::max(count, 1.0);
  }
  /// Of few samples, nearer to the mean of all bands.
  [[nodiscard]] Matrix blended(const Matrix& sum, double count, const Matrix& whole, std::size_t bands) const {
    const Matrix own = symmetric(sum) / std::max(count, 1.0);
    const double share = bands == 1 ? 0 : std::min(0.6, 2 * static_cast<double>(channels()) / std::max(count, 1.0));
    return (1 - share) * own + share * own.trace() / std::max(whole.trace(), 1e-300) * whole;
  }

  /// Components of a tile: frequencies × components.
  [[nodiscard]] Matrix map(const Matrix& tile, const std::vector<Matrix>& matrices) const {
    Matrix result(tile.rows(), tile.cols());
    for (std::size_t b = 0; b < matrices.size(); ++b) {
      const Matrix rows = rows_of_band(tile, b) * matrices[b].transpose();
      Eigen::Index next = 0;
      for (std::size_t f = 0; f < positions(); ++f) {
        if (matrices.size() == 1 || tables_.band_of[f] == b)
          result.row(static_cast<Eigen::Index>(f)) = rows.row(next++);
      }
    }
    return result;
  }

  void measure_coefficients() {
    const auto rows = static_cast<Eigen::Index>(positions());
    square_ = Matrix::Zero(rows, channels());
    largest_ = Vector::Zero(channels());
    double count = 0;
    for_each_spectrum([&](const Matrix& tile) {
      const Matrix numbers = map(tile, analysis_);
      square_ += numbers.cwiseAbs2();
      largest_ = largest_.cwiseMax(numbers.cwiseAbs().colwise().maxCoeff().transpose());
      ++count;
    });
    square_ /= count;
    Matrix weight = Matrix::Zero(rows, channels());
    count = 0;
    std::vector<Matrix> transposed;
    for (const Matrix& matrix : synthesis_) transposed.push_back(matrix.transpose());
    for_each_gradient([&](const Matrix& tile) {
      weight += map(tile, transposed).cwiseAbs2();
      ++count;
    });
    if (count > 0) {
      weight /= count;
    } else {
      weight.setOnes();
    }
    weight_ = Matrix::Zero(radial_bands, channels());
    Vector frequencies = Vector::Zero(radial_bands);
    for (Eigen::Index f = 0; f < rows; ++f) {
      weight_.row(tables_.radial_of[static_cast<std::size_t>(f)]) += weight.row(f);
      ++frequencies[tables_.radial_of[static_cast<std::size_t>(f)]];
    }
    for (std::size_t b = 0; b < radial_bands; ++b) weight_.row(b) /= std::max(frequencies[b], 1.0);
    weight_ = weight_.cwiseMax(1e-3 * weight_.maxCoeff());
  }

  /// An even share of the reference loss for every coefficient: its error is a twelfth of the step's square.
  void choose_steps() {
    const double numbers = static_cast<double>(positions()) * static_cast<double>(channels()) * tiles_per_example_;
    const double loss =
        has_gradients_ ? options_.reference_loss : options_.reference_loss * square_.sum() * tiles_per_example_;
    step_ = (24 * loss / numbers * weight_.cwiseInverse()).cwiseSqrt();
  }

  void write_tables() {
    tables_.components = tables_.channels;
    for (Eigen::Index c = 0; c < channels(); ++c) {
      tables_.mean.push_back(static_cast<float>(mean_[c]));
      tables_.per_unit.push_back(static_cast<float>(per_unit_[c]));
      tables_.unit.push_back(static_cast<float>(1 / per_unit_[c]));
    }
    tables_.cosine_height = fixed_point(cosine_height_, 1 << cosine_bits);
    tables_.cosine_width = fixed_point(cosine_width_, 1 << cosine_bits);
    const double gain = std::sqrt(static_cast<double>(positions()));
    while (input_range * gain / (1 << tables_.extra_shift) > 32767 && tables_.extra_shift < 4) ++tables_.extra_shift;

    const double input_scale = std::ldexp(1.0, -tables_.extra_shift);
    Vector scale(channels());  // Of components, so that steps and largest numbers are in range.
    for (Eigen::Index k = 0; k < channels(); ++k) {
      scale[k] = std::min(smallest_step / step_.col(k).minCoeff(), largest_coefficient / std::max(largest_[k], 1e-300));
    }
    const Vector in = per_unit_ * input_scale;
    bound_synthesis(in, scale);
    for (std::size_t b = 0; b < analysis_.size(); ++b) {
      ComponentBand band;
      std::tie(band.analysis, band.analysis_shift) =
          fixed_point(Matrix(scale.asDiagonal() * analysis_[b] * in.cwiseInverse().asDiagonal()));
      std::tie(band.synthesis, band.synthesis_shift) =
          fixed_point(Matrix(in.asDiagonal() * synthesis_[b] * scale.cwiseInverse().asDiagonal()));
      tables_.bands.push_back(std::move(band));
    }
    for (std::size_t r = 0; r < radial_bands; ++r) {
      for (Eigen::Index k = 0; k < channels(); ++k) {
        tables_.steps.push_back(
            static_cast<std::uint16_t>(std::clamp(std::round(step_(r, k) * scale[k]), 1.0, 65535.0)));
      }
    }
    for (Eigen::Index f = 0; f < square_.rows(); ++f) {
      for (Eigen::Index k = 0; k < channels(); ++k) {
        const double size = std::sqrt(square_(f, k)) * scale[k];
        tables_.spread.push_back(static_cast<std::uint8_t>(std::round(8 * std::log2(std::max(size, 1.0)))));
      }
    }
    tables_.rate_weight = static_cast<std::uint8_t>(std::clamp(std::round(options_.rate_weight * 256), 0.0, 255.0));
  }

  /// Where an output hardly feels its boundary, steps are larger than the numbers, and a unit of a component would be
  /// more than sums of 32 bits hold: each component gets its even share of a row then.
  void bound_synthesis(const Vector& in, Vector& scale) const {
    Vector largest = Vector::Zero(channels());  // What a component adds to a channel.
    double sum = 0;
    for (const Matrix& synthesis : synthesis_) {
      const Matrix parts = (in.asDiagonal() * synthesis).cwiseAbs();
      largest = largest.cwiseMax(parts.colwise().maxCoeff().transpose());
      sum = std::max(sum, (parts * scale.cwiseInverse()).maxCoeff());
    }
    const double most = row_sum / 4;
    if (sum > most) scale = scale.cwiseMax(largest * static_cast<double>(channels()) / most);
  }

  void count_symbols() {
    TransformStatistics statistics;
    guess(statistics);
    for (std::size_t round = 0; round <= options_.rounds; ++round) {
      write_frequencies(statistics);
      if (round == options_.rounds) break;
      statistics = {};
      for (const int coarseness : options_.coarsenesses) {
        for (const TransformExample& example : examples_) {
          add_statistics(tables_, coarseness, example.value, statistics);
        }
      }
    }
  }

  /// Geometric, from prior and neighbours.
  static void guess(TransformStatistics& statistics) {
    for (std::size_t c = 0; c < context_count; ++c) {
      const double prior = std::exp2(static_cast<double>(c / neighbour_classes) / 2 - 5) * 0.7;
      const double around = std::exp2(static_cast<double>(c % neighbour_classes) * 0.75) / 20;
      const double mean = std::sqrt(prior * around);
      for (unsigned s = 0; s < symbol_count; ++s) {
        statistics.symbols[c * symbol_count + s] = 1000 * std::pow(mean / (1 + mean), s) / (1 + mean);
      }
    }
  }

  /// Contexts that came seldom lean on those of the same prior and of the same neighbours.
  void write_frequencies(const TransformStatistics& statistics) {
    Matrix by_prior = Matrix::Constant(prior_classes, symbol_count, 0.05);
    Matrix by_neighbour = Matrix::Constant(neighbour_classes, symbol_count, 0.05);
    for (std::size_t c = 0; c < context_count; ++c) {
      for (unsigned s = 0; s < symbol_count; ++s) {
        by_prior(c / neighbour_classes, s) += statistics.symbols[c * symbol_count + s];
        by_neighbour(c % neighbour_classes, s) += statistics.symbols[c * symbol_count + s];
      }
    }
    tables_.frequencies.clear();
    for (std::size_t c = 0; c < context_count; ++c) {
      std::vector<double> counts;
      const auto prior = by_prior.row(static_cast<Eigen::Index>(c / neighbour_classes));
      const auto neighbour = by_neighbour.row(static_cast<Eigen::Index>(c % neighbour_classes));
      for (unsigned s = 0; s < symbol_count; ++s) {
        counts.push_back(statistics.symbols[c * symbol_count + s] + 4 * prior[s] / prior.sum() +
                         4 * neighbour[s] / neighbour.sum());
      }
      tables_.frequencies.push_back(frequencies_of(counts));
    }
    for (std::size_t i = 0; i < tables_.shrink.size(); ++i) {
      const double shortfall = statistics.sizes[i] > 0 ? statistics.shortfalls[i] / statistics.sizes[i] : 0;
      tables_.shrink[i] = static_cast<std::int8_t>(std::clamp(std::round(shortfall), -100.0, 100.0));
    }
  }

  const std::vector<TransformExample>& examples_;
  const TrainingOptions& options_;
  TransformTables tables_;
  double tiles_per_example_ = 1;
  bool has_gradients_ = false;
  Vector mean_;      // Of channels, as the float that the table has.
  Vector per_unit_;  // Likewise.
  Matrix cosine_height_;
  Matrix cosine_width_;
  std::vector<double> band_edges_;
  std::vector<Matrix> analysis_;   // Of each band: components × channels.
  std::vector<Matrix> synthesis_;  // Channels × components.
  Matrix square_;                  // Mean squares: frequencies × components.
  Vector largest_;                 // Of each component.
  Matrix weight_;                  // Sensitivity: radial bands × components.
  Matrix step_;                    // Likewise.
};

}  // namespace

std::optional<TransformTables> train_transform(const std::vector<TransformExample>& examples,
                                               const TrainingOptions& options) {
  return Trainer(examples, options).run();
}

}  // namespace splitnet::detail
