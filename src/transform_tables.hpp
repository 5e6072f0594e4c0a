// SPDX-License-Identifier: Apache-2.0
// What calibration learned about one boundary, for the codec transform. Private.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "symbol_coder.hpp"

namespace splitnet::detail {

/// Where channels, rows and columns lie in a tensor.
enum class BoundaryKind : std::uint8_t {
  maps = 0,    ///< [n, channels, rows, columns], tile by tile
  tokens = 1,  ///< [n, tokens, channels] or [n, channels]; height and width are 1.
};

// Fixed-point formats, in which coder and decoder agree.
inline constexpr unsigned cosine_bits = 13;      ///< Fraction bits of the cosine transform.
inline constexpr unsigned step_unit_bits = 6;    ///< A coefficient of the reference step is 64.
inline constexpr unsigned octave_parts = 8;      ///< Logarithms count eighths of octaves.
inline constexpr std::size_t max_tables = 16;    ///< For the tensors of one boundary.
inline constexpr std::size_t radial_bands = 16;  ///< Of frequencies, for steps.
inline constexpr std::size_t prior_classes = 20;
inline constexpr std::size_t neighbour_classes = 11;
inline constexpr std::size_t context_count = prior_classes * neighbour_classes;

/// One linear map between channels and components.
struct ComponentBand {
  std::vector<std::int16_t> analysis;   ///< [components][channels]
  std::vector<std::int16_t> synthesis;  ///< [channels][components]
  std::uint8_t analysis_shift = 1;
  std::uint8_t synthesis_shift = 1;
};

/// A plain value. All numbers are as they are used: nothing is computed in floating point when a tensor is coded but
/// one product and one sum for each element at either end.
struct TransformTables {
  BoundaryKind kind = BoundaryKind::maps;
  std::uint32_t channels = 0;
  std::uint32_t components = 0;  ///< At most `channels`, by falling variance.
  std::uint32_t height = 1;      ///< Of a tile, on which the cosine transform works.
  std::uint32_t width = 1;

  // Channels as integers: round((x − mean) · per_unit), and back: mean + integer · unit.
  std::vector<float> mean;      ///< [channels]
  std::vector<float> per_unit;  ///< [channels]
  std::vector<float> unit;      ///< [channels]

  std::vector<std::int16_t> cosine_height;  ///< [height][height], orthonormal, with cosine_bits.
  std::vector<std::int16_t> cosine_width;   ///< [width][width]
  std::uint8_t extra_shift = 0;             ///< Coefficients are so many bits smaller than an orthonormal transform's.

  std::vector<std::uint8_t> band_of;  ///< [height · width]: which of `bands` a frequency belongs to.
  std::vector<ComponentBand> bands;

  std::vector<std::uint8_t> radial_of;  ///< [height · width]: below radial_bands.
  std::vector<std::uint16_t> steps;     ///< [radial_bands][components], of the reference quality; at least 1.
  std::vector<std::uint8_t> spread;     ///< [height · width][components]: log2 of the mean size in eighths of octaves.

  std::vector<SymbolFrequencies> frequencies;  ///< [context_count]
  std::array<std::int8_t, 3> shrink = {};      ///< Of sizes 1, 2 and more: how much nearer to 0, in 1/256 steps.
  std::uint8_t rate_weight = 31;               ///< λ of the encoder: steps² per bit, in 1/256.

  [[nodiscard]] std::size_t positions() const { return std::size_t{height} * width; }
  /// Throws corrupt, naming what is wrong: sizes that do not fit together, sums that could overflow, numbers that are
  /// not finite.
  void validate() const;
};

/// Bytes for a file or a message: sizes first, everything little-endian.
std::string to_bytes(const std::vector<TransformTables>& tables);
/// Throws corrupt, incompatible (another version); checks sizes before it takes memory.
std::vector<TransformTables> tables_from_bytes(std::span<const std::byte> bytes);

}  // namespace splitnet::detail
