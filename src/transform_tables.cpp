// SPDX-License-Identifier: Apache-2.0
#include "transform_tables.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

constexpr std::uint32_t format_version = 1;
constexpr std::uint32_t max_channels = 4096;
constexpr std::uint32_t max_side = 48;
constexpr std::size_t max_bands = 8;

static_assert(std::endian::native == std::endian::little, "tables are copied as they lie in memory");

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "tables of codec transform: " + what);
}

template <class T>
void check_size(const char* name, const std::vector<T>& items, std::size_t expected) {
  if (items.size() == expected) return;
  corrupt(std::string(name) + " has " + std::to_string(items.size()) + " items, expected " + std::to_string(expected));
}

template <class T>
void check_below(const char* name, const std::vector<T>& items, std::size_t bound) {
  for (const T item : items) {
    if (item >= bound)
      corrupt(std::string(name) + " has " + std::to_string(item) + ", expected below " + std::to_string(bound));
  }
}

/// The sums of a product with numbers of 16 bits must fit 32.
void check_rows(const char* name, const std::vector<std::int16_t>& matrix, std::size_t columns) {
  for (std::size_t begin = 0; begin < matrix.size(); begin += columns) {
    std::int64_t sum = 0;
    for (std::size_t i = begin; i < begin + columns; ++i) sum += std::abs(int{matrix[i]});
    if (sum >= 65536 - 64) corrupt(std::string(name) + " has a row whose sums could overflow");
  }
}

void check_finite(const char* name, const std::vector<float>& items) {
  for (const float item : items) {
    if (!std::isfinite(item)) corrupt(std::string(name) + " has something that is not finite");
  }
}

// ---- Bytes.

/// The same order for writing and reading.
template <class Archive>
void fields(Archive&& archive, TransformTables& tables) {
  archive.number(tables.kind);
  archive.number(tables.channels);
  archive.number(tables.components);
  archive.number(tables.height);
  archive.number(tables.width);
  archive.list(tables.mean);
  archive.list(tables.per_unit);
  archive.list(tables.unit);
  archive.list(tables.cosine_height);
  archive.list(tables.cosine_width);
  archive.number(tables.extra_shift);
  archive.list(tables.band_of);
  archive.count(tables.bands, max_bands);
  for (ComponentBand& band : tables.bands) {
    archive.list(band.analysis);
    archive.list(band.synthesis);
    archive.number(band.analysis_shift);
    archive.number(band.synthesis_shift);
  }
  archive.list(tables.radial_of);
  archive.list(tables.steps);
  archive.list(tables.spread);
  archive.list(tables.frequencies);
  for (auto& shrink : tables.shrink) archive.number(shrink);
  archive.number(tables.rate_weight);
}

class TableWriter {
 public:
  template <class T>
  void number(const T& item) {
    bytes.append(reinterpret_cast<const char*>(&item), sizeof item);
  }
  template <class T>
  void list(const std::vector<T>& items) {
    static_assert(std::is_trivially_copyable_v<T>);
    number(static_cast<std::uint32_t>(items.size()));
    bytes.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(T));
  }
  template <class T>
  void count(const std::vector<T>& items, std::size_t) {
    number(static_cast<std::uint32_t>(items.size()));
  }
  std::string bytes;
};

class TableReader {
 public:
  explicit TableReader(std::span<const std::byte> bytes) : rest(bytes) {}
  template <class T>
  void number(T& item) {
    take(&item, sizeof item);
  }
  template <class T>
  void list(std::vector<T>& items) {
    std::uint32_t size = 0;
    number(size);
    if (size > rest.size() / sizeof(T)) corrupt("they end early");
    items.resize(size);
    take(items.data(), size * sizeof(T));
  }
  template <class T>
  void count(std::vector<T>& items, std::size_t most) {
    std::uint32_t size = 0;
    number(size);
    if (size > most) corrupt(std::to_string(size) + " bands, at most " + std::to_string(most));
    items.resize(size);
  }
  std::span<const std::byte> rest;

 private:
  void take(void* to, std::size_t count) {
    if (count > rest.size()) corrupt("they end early");
    if (count > 0) std::memcpy(to, rest.data(), count);
    rest = rest.subspan(count);
  }
};

}  // namespace

void TransformTables::validate() const {
  if (kind != BoundaryKind::maps && kind != BoundaryKind::tokens) corrupt("an unknown kind of boundary");
  if (channels == 0 || channels > max_channels)
    corrupt(std::to_string(channels) + " channels, expected 1 … " + std::to_string(max_channels));
  if (components == 0 || components > channels)
    corrupt(std::to_string(components) + " components of " + std::to_string(channels) + " channels");
  if (height == 0 || width == 0 || height > max_side || width > max_side) {
    corrupt("maps of " + std::to_string(height) + " × " + std::to_string(width) + ", expected sides of 1 … " +
            std::to_string(max_side));
  }
  if (kind == BoundaryKind::tokens && positions() != 1) corrupt("tokens have height and width 1");
  check_size("mean", mean, channels);
  check_size("per_unit", per_unit, channels);
  check_size("unit", unit, channels);
  check_finite("mean", mean);
  check_finite("per_unit", per_unit);
  check_finite("unit", unit);
  check_size("cosine_height", cosine_height, std::size_t{height} * height);
  check_size("cosine_width", cosine_width, std::size_t{width} * width);
  check_rows("cosine_height", cosine_height, height);
  check_rows("cosine_width", cosine_width, width);
  if (extra_shift > 4) corrupt("extra_shift is " + std::to_string(extra_shift) + ", expected 0 … 4");
  check_size("band_of", band_of, positions());
  check_below("band_of", band_of, bands.size());
  for (const ComponentBand& band : bands) {
    check_size("analysis", band.analysis, std::size_t{components} * channels);
    check_size("synthesis", band.synthesis, std::size_t{components} * channels);
    check_rows("analysis", band.analysis, channels);
    check_rows("synthesis", band.synthesis, components);
    for (const unsigned shift : {band.analysis_shift, band.synthesis_shift}) {
      if (shift < 1 || shift > 30) corrupt("a shift of " + std::to_string(shift) + ", expected 1 … 30");
    }
  }
  check_size("radial_of", radial_of, positions());
  check_below("radial_of", radial_of, radial_bands);
  check_size("steps", steps, radial_bands * components);
  if (std::count(steps.begin(), steps.end(), 0) > 0) corrupt("a step of 0");
  check_size("spread", spread, positions() * components);
  check_size("frequencies", frequencies, context_count);
  (void)SymbolModel(frequencies);
}

std::string to_bytes(const std::vector<TransformTables>& tables) {
  TableWriter writer;
  writer.number(format_version);
  writer.number(static_cast<std::uint32_t>(tables.size()));
  for (const TransformTables& one : tables) fields(writer, const_cast<TransformTables&>(one));  // Only read.
  return std::move(writer.bytes);
}

std::vector<TransformTables> tables_from_bytes(std::span<const std::byte> bytes) {
  TableReader reader(bytes);
  std::uint32_t version = 0;
  reader.number(version);
  if (version != format_version) {
    throw Error(ErrorCode::incompatible, "tables of codec transform: version " + std::to_string(version) +
                                             ", expected " + std::to_string(format_version));
  }
  std::uint32_t count = 0;
  reader.number(count);
  if (count == 0 || count > max_tables) {
    corrupt(std::to_string(count) + " of them, expected 1 … " + std::to_string(max_tables));
  }
  std::vector<TransformTables> tables(count);
  for (TransformTables& one : tables) {
    fields(reader, one);
    one.validate();
  }
  if (!reader.rest.empty()) corrupt(std::to_string(reader.rest.size()) + " bytes behind them");
  return tables;
}

}  // namespace splitnet::detail
