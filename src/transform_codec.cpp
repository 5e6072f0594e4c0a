// SPDX-License-Identifier: Apache-2.0
// Encoding: channels as integers; a cosine transform of each tile, row by row and column by column (Ahmed, Natarajan,
// Rao, "Discrete Cosine Transform", IEEE Trans. Computers 1974); a linear map from channels to components for each band
// of frequencies; a quantiser that weighs error against bits (Sullivan, Wiegand, "Rate-distortion optimization for
// video compression", IEEE Signal Processing Magazine 1998); an entropy coder whose contexts are the size that
// calibration saw at this place and the sizes of neighbours that are decoded already. All in integers.
//
// Order: tile by tile; in a tile frequency by frequency, row by row; of each frequency component by component.
// Layout: the entropy coder's bytes (symbol_coder.cpp), the form (exact_form.hpp).
#include "transform_codec.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "codec_parameters.hpp"
#include "elements.hpp"
#include "exact_form.hpp"
#include "hash.hpp"
#include "integer_product.hpp"
#include "scratch.hpp"

namespace splitnet::detail {
namespace {

constexpr int largest_input = 8191;
constexpr unsigned escape = symbol_count - 1;  ///< This size or more: the rest follows as plain bits.
constexpr std::uint8_t never = 255;            ///< A place whose size is 0 and is not coded.

/// log2 in 1/256, rounded down; of a number above 0. By repeated squaring, so that it is the same everywhere.
unsigned log2_of(std::uint32_t number) {
  const auto whole = static_cast<unsigned>(std::bit_width(number) - 1);
  std::uint64_t fraction = (static_cast<std::uint64_t>(number) << 31U) >> whole;  // In [2^31, 2^32).
  unsigned result = whole;
  for (int i = 0; i < 8; ++i) {
    fraction = (fraction * fraction) >> 31U;
    const bool carries = (fraction >> 32U) != 0;
    result = 2 * result + (carries ? 1 : 0);
    if (carries) fraction >>= 1U;
  }
  return result;
}

/// step · 2^(parts / 8), at least 1.
std::uint32_t coarser(std::uint32_t step, int parts) {
  constexpr std::uint64_t eighths[octave_parts] = {65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194};
  const int octaves = parts >= 0 ? parts / 8 : -((7 - parts) / 8);
  const std::uint64_t scaled = step * eighths[static_cast<unsigned>(parts - 8 * octaves)];
  const int shift = 16 - octaves;
  const std::uint64_t rounded = shift > 0 ? (scaled + (std::uint64_t{1} << (shift - 1))) >> shift : scaled << -shift;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rounded, 1, 32767));
}

/// Sizes of a frequency's components, with zeros around them.
struct Neighbours {
  const std::uint8_t* up;
  const std::uint8_t* left;
  const std::uint8_t* up_left;
  const std::uint8_t* up_twice;
  const std::uint8_t* left_twice;
};
constexpr std::size_t margin = 2;  ///< Components before the first one that are 0, and behind the last.

/// What is fixed for a pair of tables and coarseness.
class Plan {
 public:
  Plan(TransformTables given, int coarseness) : tables(std::move(given)), model(tables.frequencies) {
    const std::size_t positions = tables.positions();
    const std::size_t components = tables.components;
    steps.resize(radial_bands * components);
    reciprocals.resize(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i] = coarser(tables.steps[i], coarseness);
      reciprocals[i] = (std::uint32_t{256} << 16U) / steps[i];
    }
    priors.resize(positions * components);
    for (std::size_t f = 0; f < positions; ++f) {
      for (std::size_t k = 0; k < components; ++k) {
        const int step = static_cast<int>(log2_of(steps[tables.radial_of[f] * components + k]) * octave_parts / 256);
        priors[f * components + k] = prior_of(tables.spread[f * components + k] - step);
      }
    }
    for (std::size_t sum = 0; sum < neighbour_class.size(); ++sum) {
      constexpr std::size_t bounds[neighbour_classes - 1] = {1, 2, 4, 6, 9, 13, 19, 29, 45, 73};
      neighbour_class[sum] =
          static_cast<std::uint8_t>(std::upper_bound(std::begin(bounds), std::end(bounds), sum) - std::begin(bounds));
    }
    costs.resize(context_count * symbol_count);
    for (std::size_t c = 0; c < context_count; ++c) {
      for (unsigned s = 0; s < symbol_count; ++s) {
        costs[c * symbol_count + s] =
            static_cast<std::uint16_t>(probability_bits * 256 - log2_of(model.frequency(c, s)) + (s > 0 ? 256 : 0));
      }
    }
    pack_bands();
    cosine_height_back = transposed(tables.cosine_height, tables.height);
    cosine_width_back = transposed(tables.cosine_width, tables.width);
  }

  TransformTables tables;
  SymbolModel model;
  std::vector<std::uint32_t> steps;        ///< [radial band][component]
  std::vector<std::uint32_t> reciprocals;  ///< 2^24 / step
  std::vector<std::uint8_t> priors;        ///< [position][component]: class, or never.
  std::array<std::uint8_t, 128> neighbour_class{};
  std::vector<std::uint16_t> costs;  ///< [context][symbol]: bits with the sign, in 1/256.
  std::vector<PackedMatrix> analyses;
  std::vector<PackedMatrix> syntheses;
  std::vector<std::int16_t> cosine_height_back;
  std::vector<std::int16_t> cosine_width_back;

 private:
  static std::uint8_t prior_of(int parts) {
    if (parts < -44) return never;
    return static_cast<std::uint8_t>(std::clamp((parts + 42) / 4, 0, static_cast<int>(prior_classes) - 1));
  }

  static std::vector<std::int16_t> transposed(const std::vector<std::int16_t>& matrix, std::size_t side) {
    std::vector<std::int16_t> result(matrix.size());
    for (std::size_t i = 0; i < side; ++i) {
      for (std::size_t j = 0; j < side; ++j) result[j * side + i] = matrix[i * side + j];
    }
    return result;
  }

  /// As right factors: channels × components to encode, components × channels to decode.
  void pack_bands() {
    const auto packed = [this](const std::vector<std::int16_t>& matrix, std::size_t rows, std::size_t columns) {
      std::vector<std::int16_t> turned(matrix.size());
      for (std::size_t i = 0; i < columns; ++i) {
        for (std::size_t j = 0; j < rows; ++j) turned[j * columns + i] = matrix[i * rows + j];
      }
      auto& room = rooms_.emplace_back(PackedMatrix::size_of(rows, columns));
      return pack(turned.data(), rows, columns, columns, room);
    };
    for (const ComponentBand& band : tables.bands) {
      analyses.push_back(packed(band.analysis, tables.channels, tables.components));
      syntheses.push_back(packed(band.synthesis, tables.components, tables.channels));
    }
  }

  std::vector<std::vector<std::int16_t>> rooms_;
};

/// Tiles of a tensor, elements in row-major order. The last ones of a map end where the map does: they overlap those
/// before them when its sides are no multiples of a tile's.
struct Tiles {
  std::size_t count = 0;
  std::size_t across = 1;
  std::size_t down = 1;
  std::size_t height = 1;  ///< Of the map.
  std::size_t width = 1;

  Tiles(const TransformTables& tables, const Tensor& tensor) {
    count = static_cast<std::size_t>(tensor.element_count()) / tables.channels;
    if (tables.kind == BoundaryKind::tokens) return;
    height = static_cast<std::size_t>(tensor.sizes[2]);
    width = static_cast<std::size_t>(tensor.sizes[3]);
    down = (height + tables.height - 1) / tables.height;
    across = (width + tables.width - 1) / tables.width;
    count = static_cast<std::size_t>(tensor.sizes[0]) * down * across;
  }
};

/// A coefficient plane and what goes with it, in this thread's scratch memory.
struct Room {
  std::int16_t* inputs;       ///< [position][channel]
  std::int16_t* transformed;  ///< The same size.
  std::int16_t* components;   ///< [position][component]
  std::span<std::int16_t> packed;
  std::uint8_t* sizes;  ///< [position][margin + components + margin]
  std::size_t size_stride;
};

Room room_for(const TransformTables& tables) {
  const std::size_t positions = tables.positions();
  const std::size_t inputs = positions * tables.channels;
  const std::size_t components = positions * tables.components;
  const std::size_t packed = std::max(PackedMatrix::size_of(tables.height, tables.width * tables.channels),
                                      PackedMatrix::size_of(tables.width, tables.channels));
  const std::size_t size_stride = tables.components + 2 * margin;
  // One row of zeros behind the sizes stands for all that lie outside of the tile.
  const std::size_t sizes = ((positions + 1) * size_stride + 1) / 2;
  const auto memory = scratch<std::int16_t, ScratchUse::symbols>(2 * inputs + components + packed + sizes);
  std::int16_t* const begin = memory.data();
  Room room{begin,
            begin + inputs,
            begin + 2 * inputs,
            memory.subspan(2 * inputs + components, packed),
            reinterpret_cast<std::uint8_t*>(begin + 2 * inputs + components + packed),
            size_stride};
  std::fill_n(room.sizes, (positions + 1) * size_stride, std::uint8_t{0});
  return room;
}

/// Both ways: rows, then columns; `left` matrices for columns and rows of a tile.
void cosine_transform(const TransformTables& tables, const std::int16_t* by_width, const std::int16_t* by_height,
                      unsigned width_shift, unsigned height_shift, bool height_first, std::int16_t* data,
                      std::int16_t* other, std::span<std::int16_t> packed) {
  const std::size_t row = std::size_t{tables.width} * tables.channels;
  const auto along_width = [&](const std::int16_t* from, std::int16_t* to) {
    for (std::size_t h = 0; h < tables.height; ++h) {
      const PackedMatrix right = pack(from + h * row, tables.width, tables.channels, tables.channels, packed);
      multiply(by_width, tables.width, right, width_shift, {tables.width, tables.channels}, to + h * row);
    }
  };
  const auto along_height = [&](const std::int16_t* from, std::int16_t* to) {
    const PackedMatrix right = pack(from, tables.height, row, row, packed);
    multiply(by_height, tables.height, right, height_shift, {tables.height, row}, to);
  };
  if (height_first) {
    along_height(data, other);
    along_width(other, data);
  } else {
    along_width(data, other);
    along_height(other, data);
  }
}

/// Runs of positions of one band, through the band's matrix.
void map_bands(const TransformTables& tables, const std::vector<PackedMatrix>& matrices, bool is_analysis,
               const std::int16_t* from, std::size_t from_stride, std::int16_t* to, std::size_t to_stride) {
  for (std::size_t begin = 0; begin < tables.positions();) {
    const std::size_t b = tables.band_of[begin];
    std::size_t end = begin + 1;
    while (end < tables.positions() && tables.band_of[end] == b) ++end;
    const ComponentBand& band = tables.bands[b];
    multiply(from + begin * from_stride, end - begin, matrices[b],
             is_analysis ? band.analysis_shift : band.synthesis_shift, {from_stride, to_stride},
             to + begin * to_stride);
    begin = end;
  }
}

Neighbours neighbours_of(const TransformTables& tables, const Room& room, std::size_t position) {
  const std::size_t y = position / tables.width;
  const std::size_t x = position % tables.width;
  const std::uint8_t* const none = room.sizes + tables.positions() * room.size_stride + margin;
  const auto at = [&](std::size_t dy, std::size_t dx) {
    if (y < dy || x < dx) return none;
    return static_cast<const std::uint8_t*>(room.sizes + ((y - dy) * tables.width + x - dx) * room.size_stride +
                                            margin);
  };
  return {at(1, 0), at(0, 1), at(1, 1), at(2, 0), at(0, 2)};
}

/// The part of a context that does not depend on the components of the same frequency.
unsigned outer_sum(const Neighbours& n, std::ptrdiff_t k) {
  return 4U * (n.up[k] + n.left[k]) + 2U * (n.up_left[k] + n.up_twice[k] + n.left_twice[k]) + n.up[k - 1] +
         n.left[k - 1] + n.up[k + 1] + n.left[k + 1];
}

/// In place of a SymbolWriter.
struct Counter {
  TransformStatistics& statistics;
  void put(std::size_t context, unsigned symbol) { ++statistics.symbols[context * symbol_count + symbol]; }
  void put_bits(std::uint32_t, unsigned) {}
  void note(std::int64_t steps, std::uint32_t size) {
    if (size == 0) return;
    const std::size_t at = std::min<std::uint32_t>(size, 3) - 1;
    ++statistics.sizes[at];
    statistics.shortfalls[at] += 256.0 * size - static_cast<double>(steps);
  }
};

/// For tensors of one kind and size.
class BoundaryCodec {
 public:
  BoundaryCodec(TransformTables tables, int coarseness) : plan_(std::move(tables), coarseness), tables_(plan_.tables) {}
  BoundaryCodec(const BoundaryCodec&) = delete;
  BoundaryCodec& operator=(const BoundaryCodec&) = delete;

  [[nodiscard]] bool takes(const Tensor& tensor) const noexcept {
    const std::size_t rank = tensor.sizes.size();
    if (tensor.dtype != DType::f32 || tensor.element_count() == 0) return false;
    const auto channels = static_cast<std::int64_t>(tables_.channels);
    if (tables_.kind == BoundaryKind::tokens) return (rank == 2 || rank == 3) && tensor.sizes[rank - 1] == channels;
    return rank == 4 && tensor.sizes[1] == channels && tensor.sizes[2] >= tables_.height &&
           tensor.sizes[3] >= tables_.width;
  }
  /// Of a tensor that it takes: no tile overlaps another.
  [[nodiscard]] bool fits(const Tensor& tensor) const noexcept {
    return tables_.kind == BoundaryKind::tokens ||
           (tensor.sizes[2] % tables_.height == 0 && tensor.sizes[3] % tables_.width == 0);
  }

  [[nodiscard]] std::size_t max_coded_bytes(const Tensor& tensor) const {
    constexpr std::size_t most_bits = 1 + 4 + 15;  // Sign and the rest of a large size.
    const std::size_t symbols = Tiles(tables_, tensor).count * tables_.positions() * tables_.components;
    return std::max(exact_form_bytes(tensor), SymbolWriter::max_bytes(symbols, symbols * most_bits) + 1);
  }

  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const {
    const auto elements = row_major(tensor);
    const Tiles tiles(tables_, tensor);
    SymbolWriter writer(plan_.model, tiles.count * tables_.positions() * tables_.components, coded);
    if (!encode_tiles(elements, tiles, writer)) return encode_exact(elements, coded);
    const std::size_t bytes = writer.finish();
    coded[bytes] = encoded_form;
    return {bytes + 1};
  }

  void add_statistics(const Tensor& tensor, TransformStatistics& statistics) const {
    Counter counter{statistics};
    (void)encode_tiles(row_major(tensor), Tiles(tables_, tensor), counter);
  }

  void decode(std::span<const std::byte> coded, Tensor& tensor) const {
    if (decode_exact("transform", coded, tensor)) return;
    SymbolReader reader(plan_.model, coded.first(coded.size() - 1));
    const Tiles tiles(tables_, tensor);
    const Room room = room_for(tables_);
    fill_row_major(tensor, [&](std::span<float> to) {
      for (std::size_t tile = 0; tile < tiles.count; ++tile) {
        restore(room, reader);
        map_bands(tables_, plan_.syntheses, false, room.components, tables_.components, room.inputs, tables_.channels);
        if (tables_.positions() > 1) {
          cosine_transform(tables_, plan_.cosine_width_back.data(), plan_.cosine_height_back.data(),
                           cosine_bits - tables_.extra_shift, cosine_bits, true, room.inputs, room.transformed,
                           room.packed);
        }
        scatter(room.inputs, tiles, tile, to.data());
      }
    });
    reader.finish();
  }

 private:
  /// False when an element is not finite.
  template <class Writer>
  bool encode_tiles(std::span<const float> elements, const Tiles& tiles, Writer& writer) const {
    const Room room = room_for(tables_);
    for (std::size_t tile = 0; tile < tiles.count; ++tile) {
      if (!gather(elements.data(), tiles, tile, room.inputs)) return false;
      if (tables_.positions() > 1) {
        cosine_transform(tables_, tables_.cosine_width.data(), tables_.cosine_height.data(), cosine_bits,
                         cosine_bits + tables_.extra_shift, false, room.inputs, room.transformed, room.packed);
      }
      map_bands(tables_, plan_.analyses, true, room.inputs, tables_.channels, room.components, tables_.components);
      quantise(room, writer);
    }
    return true;
  }

  /// The tile's channels as integers, [position][channel]. False when an element is not finite.
  bool gather(const float* elements, const Tiles& tiles, std::size_t tile, std::int16_t* to) const {
    float probe = 0;
    const auto convert = [&](float element, std::size_t c) {
      constexpr float largest = largest_input;
      constexpr float magic = 12582912.0F;  // 1.5 · 2^23: its last place is 1.
      const float scaled = (element - tables_.mean[c]) * tables_.per_unit[c];
      const float bounded = scaled < -largest ? -largest : scaled > largest ? largest : scaled;
      probe += element * 0.0F;
      return static_cast<std::int16_t>(std::bit_cast<std::int32_t>(bounded + magic) -
                                       std::bit_cast<std::int32_t>(magic));
    };
    for_each_row(
        tiles, tile,
        [&](std::size_t element, std::size_t position, std::size_t c, std::size_t count) {
          for (std::size_t i = 0; i < count; ++i)
            to[(position + i) * tables_.channels + c] = convert(elements[element + i], c);
        },
        [&](std::size_t element, std::size_t position) {
          for (std::size_t c = 0; c < tables_.channels; ++c)
            to[position * tables_.channels + c] = convert(elements[element + c], c);
        });
    return probe == 0;
  }

  void scatter(const std::int16_t* from, const Tiles& tiles, std::size_t tile, float* elements) const {
    const auto convert = [&](std::int16_t number, std::size_t c) {
      return tables_.mean[c] + static_cast<float>(number) * tables_.unit[c];
    };
    for_each_row(
        tiles, tile,
        [&](std::size_t element, std::size_t position, std::size_t c, std::size_t count) {
          for (std::size_t i = 0; i < count; ++i)
            elements[element + i] = convert(from[(position + i) * tables_.channels + c], c);
        },
        [&](std::size_t element, std::size_t position) {
          for (std::size_t c = 0; c < tables_.channels; ++c)
            elements[element + c] = convert(from[position * tables_.channels + c], c);
        });
  }

  /// Of maps by_row(element, position, channel, count) for each row of each channel of the tile; of tokens
  /// by_token(element, position).
  template <class ByRow, class ByToken>
  void for_each_row(const Tiles& tiles, std::size_t tile, ByRow&& by_row, ByToken&& by_token) const {
    if (tables_.kind == BoundaryKind::tokens) return by_token(tile * tables_.channels, 0);
    const std::size_t per_picture = tiles.across * tiles.down;
    const std::size_t picture = tile / per_picture;
    const std::size_t top = std::min(tile % per_picture / tiles.across * tables_.height, tiles.height - tables_.height);
    const std::size_t left = std::min(tile % tiles.across * tables_.width, tiles.width - tables_.width);
    const std::size_t row = tiles.width;
    const std::size_t plane = tiles.height * tiles.width;
    for (std::size_t c = 0; c < tables_.channels; ++c) {
      const std::size_t begin = (picture * tables_.channels + c) * plane + top * row + left;
      for (std::size_t y = 0; y < tables_.height; ++y) by_row(begin + y * row, y * tables_.width, c, tables_.width);
    }
  }

  /// `writer` is a SymbolWriter or a Counter.
  template <class Writer>
  void quantise(const Room& room, Writer& writer) const {
    const std::size_t count = tables_.components;
    for (std::size_t f = 0; f < tables_.positions(); ++f) {
      const Neighbours neighbours = neighbours_of(tables_, room, f);
      std::uint8_t* const sizes = room.sizes + f * room.size_stride + margin;
      const std::int16_t* const numbers = room.components + f * count;
      const std::uint8_t* const priors = plan_.priors.data() + f * count;
      const std::uint32_t* const reciprocals = plan_.reciprocals.data() + tables_.radial_of[f] * count;
      for (std::size_t k = 0; k < count; ++k) {
        if (priors[k] == never) {
          sizes[k] = 0;
          continue;
        }
        const std::size_t context = context_of(neighbours, sizes, priors[k], k);
        const auto number = static_cast<std::uint32_t>(std::abs(int{numbers[k]}));
        const auto steps = static_cast<std::int64_t>((std::uint64_t{number} * reciprocals[k]) >> 16U);  // In 1/256.
        const std::uint32_t size = best_size(steps, context);
        if constexpr (std::is_same_v<Writer, Counter>) writer.note(steps, size);
        sizes[k] = static_cast<std::uint8_t>(std::min(size, escape));
        writer.put(context, sizes[k]);
        if (size == 0) continue;
        writer.put_bits(numbers[k] < 0 ? 1 : 0, 1);
        if (size < escape) continue;
        const std::uint32_t rest = size - escape + 1;
        const auto bits = static_cast<unsigned>(std::bit_width(rest) - 1);
        writer.put_bits(bits, 4);
        writer.put_bits(rest & ((1U << bits) - 1), bits);
      }
    }
  }

  void restore(const Room& room, SymbolReader& reader) const {
    const std::size_t count = tables_.components;
    for (std::size_t f = 0; f < tables_.positions(); ++f) {
      const Neighbours neighbours = neighbours_of(tables_, room, f);
      std::uint8_t* const sizes = room.sizes + f * room.size_stride + margin;
      std::int16_t* const numbers = room.components + f * count;
      const std::uint8_t* const priors = plan_.priors.data() + f * count;
      const std::uint32_t* const steps = plan_.steps.data() + tables_.radial_of[f] * count;
      for (std::size_t k = 0; k < count; ++k) {
        sizes[k] = 0;
        numbers[k] = 0;
        if (priors[k] == never) continue;
        std::uint32_t size = reader.get(context_of(neighbours, sizes, priors[k], k));
        if (size == 0) continue;
        sizes[k] = static_cast<std::uint8_t>(size);
        const bool negative = reader.get_bits(1) != 0;
        if (size == escape) {
          const unsigned bits = reader.get_bits(4);
          size = escape - 1 + ((1U << bits) | reader.get_bits(bits));
        }
        const std::int64_t parts = 256 * std::int64_t{size} - tables_.shrink[std::min<std::uint32_t>(size, 3) - 1];
        const auto number = static_cast<std::int32_t>(std::min<std::int64_t>((parts * steps[k] + 128) >> 8, 32767));
        numbers[k] = static_cast<std::int16_t>(negative ? -number : number);
      }
    }
  }

  [[nodiscard]] std::size_t context_of(const Neighbours& neighbours, const std::uint8_t* sizes, std::size_t prior,
                                       std::size_t k) const {
    const auto at = static_cast<std::ptrdiff_t>(k);
    const unsigned sum = outer_sum(neighbours, at) + 3U * sizes[at - 1] + 2U * sizes[at - 2];
    return prior * neighbour_classes + plan_.neighbour_class[std::min(sum, 127U)];
  }

  /// The size with the least error² + λ · bits, of the nearest one, one less, and 0.
  [[nodiscard]] std::uint32_t best_size(std::int64_t steps, std::size_t context) const {
    const auto nearest = static_cast<std::uint32_t>((steps + 128) >> 8);
    if (nearest == 0) return 0;
    const std::uint16_t* const costs = plan_.costs.data() + context * symbol_count;
    const auto cost = [&](std::uint32_t size) {
      std::int64_t bits = costs[std::min(size, escape)];
      if (size >= escape) bits += 256 * (4 + std::bit_width(size - escape + 1) - 1);
      const std::int64_t shrink = size == 0 ? 0 : tables_.shrink[std::min<std::uint32_t>(size, 3) - 1];
      const std::int64_t error = steps - (std::int64_t{256} * size - shrink);
      return error * error + std::int64_t{tables_.rate_weight} * bits;
    };
    std::uint32_t best = nearest;
    std::int64_t least = cost(nearest);
    for (const std::uint32_t size : {nearest - 1, std::uint32_t{0}}) {
      const std::int64_t found = cost(size);
      if (found < least) {
        least = found;
        best = size;
      }
      if (nearest > 2) break;
    }
    return best;
  }

  const Plan plan_;
  const TransformTables& tables_;
};

class TransformCodec final : public Codec {
 public:
  TransformCodec(std::vector<TransformTables> tables, int coarseness) {
    for (TransformTables& one : tables) codecs_.push_back(std::make_unique<BoundaryCodec>(std::move(one), coarseness));
  }

  bool takes(const Tensor& tensor) const noexcept override { return codec_for(tensor) != nullptr; }
  std::size_t max_coded_bytes(const Tensor& tensor) const override {
    return codec_for(tensor)->max_coded_bytes(tensor);
  }
  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    return codec_for(tensor)->encode(tensor, coded);
  }
  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    codec_for(tensor)->decode(coded, tensor);
  }

 private:
  /// Null when the codec does not take the tensor.
  [[nodiscard]] const BoundaryCodec* codec_for(const Tensor& tensor) const noexcept {
    const BoundaryCodec* first = nullptr;
    for (const auto& codec : codecs_) {
      if (!codec->takes(tensor)) continue;
      if (codec->fits(tensor)) return codec.get();
      if (first == nullptr) first = codec.get();
    }
    return first;
  }

  std::vector<std::unique_ptr<const BoundaryCodec>> codecs_;
};

}  // namespace

std::shared_ptr<const Codec> make_transform_codec(std::vector<TransformTables> tables, int coarseness) {
  return std::make_shared<TransformCodec>(std::move(tables), coarseness);
}

std::string digest_of_tables(const std::string& tables) {
  Hash128 hash;
  hash.add(tables);
  return hash.hex();
}

std::shared_ptr<const Codec> make_named_transform_codec(const std::string& parameters, const CodecTables& tables) {
  if (parameters.empty()) {
    throw Error(ErrorCode::invalid_argument,
                "codec transform: found no parameters, expected the name that calibrate() gave it");
  }
  CodecParameters asked("transform", parameters);
  const std::string digest = asked.text("tables");
  const int coarseness = asked.integer("coarseness", -64, 64, 0);
  asked.finish();
  if (!tables) {
    throw Error(ErrorCode::incompatible, "codec transform: the tables " + digest.substr(0, 40) +
                                             " are not here; SessionOptions::codec_tables gives them");
  }
  if (const std::string found = digest_of_tables(*tables); found != digest) {
    throw Error(ErrorCode::incompatible,
                "codec transform: found the tables " + found + ", expected " + digest.substr(0, 40));
  }
  return make_transform_codec(tables_from_bytes({reinterpret_cast<const std::byte*>(tables->data()), tables->size()}),
                              coarseness);
}

void add_statistics(const TransformTables& tables, int coarseness, const Tensor& tensor,
                    TransformStatistics& statistics) {
  BoundaryCodec(tables, coarseness).add_statistics(tensor, statistics);
}

}  // namespace splitnet::detail
