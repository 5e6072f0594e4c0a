// SPDX-License-Identifier: Apache-2.0
#include "distance_correlation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "elements.hpp"

namespace splitnet::detail {
namespace {

bool is_left_out(DType dtype) {
  return dtype == DType::f16 || dtype == DType::bf16;
}
bool is_category(DType dtype) {
  return dtype == DType::i32 || dtype == DType::i64 || dtype == DType::boolean;
}

/// The bytes in row-major order.
std::vector<std::byte> packed(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.packed_bytes());
  for_each_row_major_run(tensor, [&](std::size_t at, std::size_t dense_at, std::size_t count) {
    std::memcpy(bytes.data() + dense_at, tensor.data() + at, count);
  });
  return bytes;
}

template <class T>
double square_distance(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  double sum = 0;
  for (std::size_t at = 0; at < a.size(); at += sizeof(T)) {
    T x{};
    T y{};
    std::memcpy(&x, a.data() + at, sizeof(T));
    std::memcpy(&y, b.data() + at, sizeof(T));
    const double difference = static_cast<double>(x) - static_cast<double>(y);
    sum += difference * difference;
  }
  return sum;
}

double elements_that_differ(const std::vector<std::byte>& a, const std::vector<std::byte>& b, std::size_t item_bytes) {
  double count = 0;
  for (std::size_t at = 0; at < a.size(); at += item_bytes) {
    count += std::memcmp(a.data() + at, b.data() + at, item_bytes) != 0 ? 1 : 0;
  }
  return count;
}

double square_distance(DType dtype, const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  if (is_category(dtype)) return elements_that_differ(a, b, size_bytes(dtype));
  switch (dtype) {
    case DType::u8: return square_distance<std::uint8_t>(a, b);
    case DType::i8: return square_distance<std::int8_t>(a, b);
    case DType::i16: return square_distance<std::int16_t>(a, b);
    case DType::f64: return square_distance<double>(a, b);
    default: return square_distance<float>(a, b);
  }
}

/// Whether value `index` of all examples is a tensor that can be compared.
bool is_comparable(const std::vector<std::vector<Value>>& examples, std::size_t index) {
  const auto* first = examples.front()[index].get_if<Tensor>();
  if (first == nullptr || is_left_out(first->dtype) || first->element_count() == 0) return false;
  return std::all_of(examples.begin(), examples.end(), [&](const std::vector<Value>& example) {
    const auto* tensor = example[index].get_if<Tensor>();
    return tensor != nullptr && tensor->dtype == first->dtype && tensor->sizes == first->sizes;
  });
}

/// Adds the squares of the distances between value `index` of the examples, in parts of their mean.
void add_squares(const std::vector<std::vector<Value>>& examples, std::size_t index, Distances& sums) {
  const std::size_t count = examples.size();
  const DType dtype = examples.front()[index].tensor().dtype;
  std::vector<std::vector<std::byte>> items;
  for (const auto& example : examples) items.push_back(packed(example[index].tensor()));
  Distances squares(count);
  double mean = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) {
      const double square = square_distance(dtype, items[i], items[j]);
      squares.set(i, j, square);
      mean += square;
    }
  }
  mean /= static_cast<double>(count * (count - 1) / 2);
  if (mean <= 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) sums.set(i, j, sums(i, j) + squares(i, j) / mean);
  }
}

/// U-centred: Székely and Rizzo 2014, definition 2.
Distances centered(const Distances& distances) {
  const std::size_t count = distances.count();
  const auto n = static_cast<double>(count);
  std::vector<double> rows(count, 0);
  double all = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < count; ++j) rows[i] += distances(i, j);
    all += rows[i];
  }
  Distances result(count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) {
      result.set(i, j, distances(i, j) - (rows[i] + rows[j]) / (n - 2) + all / ((n - 1) * (n - 2)));
    }
  }
  return result;
}

double product(const Distances& a, const Distances& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.count(); ++i) {
    for (std::size_t j = i + 1; j < a.count(); ++j) sum += a(i, j) * b(i, j);
  }
  return sum;
}

}  // namespace

std::optional<Distances> distances_between(const std::vector<std::vector<Value>>& examples) {
  Distances sums(examples.size());
  bool is_any = false;
  for (std::size_t i = 0; i < examples.front().size(); ++i) {
    if (!is_comparable(examples, i)) continue;
    is_any = true;
    add_squares(examples, i, sums);
  }
  if (!is_any) return std::nullopt;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    for (std::size_t j = i + 1; j < examples.size(); ++j) sums.set(i, j, std::sqrt(sums(i, j)));
  }
  return sums;
}

double distance_correlation(const Distances& a, const Distances& b) {
  const Distances x = centered(a);
  const Distances y = centered(b);
  const double size = std::sqrt(product(x, x) * product(y, y));
  return size > 0 ? product(x, y) / size : 0;
}

}  // namespace splitnet::detail
