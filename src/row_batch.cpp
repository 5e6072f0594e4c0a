// SPDX-License-Identifier: Apache-2.0
#include "row_batch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <random>
#include <set>
#include <utility>

#include "elements.hpp"

namespace splitnet::detail {

namespace {

using Parts = std::vector<std::vector<Value>>;

std::int64_t row_elements(const Tensor& tensor) {
  std::int64_t elements = 1;
  for (std::size_t d = 1; d < tensor.sizes.size(); ++d) elements *= tensor.sizes[d];
  return elements;
}

std::size_t row_bytes(const Tensor& tensor) {
  return static_cast<std::size_t>(row_elements(tensor)) * size_bytes(tensor.dtype);
}

/// From the first to the last element of a row there is nothing else, and nothing twice.
bool has_dense_rows(const Tensor& tensor) {
  std::int64_t span = 1;
  for (std::size_t d = 1; d < tensor.sizes.size(); ++d) span += (tensor.sizes[d] - 1) * tensor.strides[d];
  if (span != row_elements(tensor)) return false;
  std::vector<std::pair<std::int64_t, std::int64_t>> dims;  // Stride and size.
  for (std::size_t d = 1; d < tensor.sizes.size(); ++d) {
    if (tensor.sizes[d] > 1) dims.emplace_back(tensor.strides[d], tensor.sizes[d]);
  }
  std::sort(dims.begin(), dims.end());
  std::int64_t dense = 1;
  for (const auto& [stride, size] : dims) {
    if (stride != dense) return false;
    dense *= size;
  }
  return true;
}

bool overlap(const Tensor& a, const Tensor& b) {
  const std::less<> before;
  return before(a.data(), b.data() + b.span_bytes()) && before(b.data(), a.data() + a.span_bytes());
}

bool holds_tensors(const Value& value) {
  bool found = false;
  for_each_tensor(value, [&](const Tensor&) { found = true; });
  return found;
}

const std::byte* row(const Tensor& tensor, std::int64_t index) {
  return tensor.data() + static_cast<std::size_t>(index * tensor.strides.front()) * size_bytes(tensor.dtype);
}

/// Uninitialised, with rows laid out as those of `like`, one behind the other.
Tensor with_rows_like(const Tensor& like, std::int64_t rows) {
  auto sizes = like.sizes;
  sizes.front() = rows;
  Tensor tensor = Tensor::empty(like.dtype, std::move(sizes));
  tensor.strides = like.strides;
  tensor.strides.front() = row_elements(like);
  return tensor;
}

Tensor joined(const Parts& parts, std::size_t index) {
  std::int64_t rows = 0;
  for (const auto& part : parts) rows += part[index].tensor().sizes.front();
  const Tensor result = with_rows_like(parts.front()[index].tensor(), rows);
  const std::size_t bytes = row_bytes(result);
  std::byte* to = result.data();
  for (const auto& part : parts) {
    const Tensor& tensor = part[index].tensor();
    for (std::int64_t i = 0; i < tensor.sizes.front(); ++i, to += bytes) std::memcpy(to, row(tensor, i), bytes);
  }
  return result;
}

Tensor rows_from(const Tensor& tensor, std::int64_t first, std::int64_t count) {
  if (has_dense_rows(tensor)) {
    const Tensor result = with_rows_like(tensor, count);
    const std::size_t bytes = row_bytes(tensor);
    std::byte* to = result.data();
    for (std::int64_t i = 0; i < count; ++i, to += bytes) std::memcpy(to, row(tensor, first + i), bytes);
    return result;
  }
  Tensor view = tensor;
  view.sizes.front() = count;
  view.offset_bytes += static_cast<std::size_t>(first * tensor.strides.front()) * size_bytes(tensor.dtype);
  Tensor result = Tensor::empty(tensor.dtype, view.sizes);
  for_each_row_major_run(view, [&](std::size_t at, std::size_t dense_at, std::size_t bytes) {
    std::memcpy(result.data() + dense_at, view.data() + at, bytes);
  });
  return result;
}

// ---- The check.

std::size_t mantissa_bits(DType dtype) {
  switch (dtype) {
    case DType::f16: return 10;
    case DType::bf16: return 7;
    case DType::f32: return 23;
    case DType::f64: return 52;
    default: return 0;
  }
}

/// Other elements of the same kind: floats of the same sign and magnitude; of integers, which may be indices, some 0.
void vary(std::byte* element, DType dtype, std::minstd_rand& random) {
  const std::size_t bytes = size_bytes(dtype);
  const std::size_t bits = mantissa_bits(dtype);
  if (bits == 0) {
    if (random() % 4 == 0) std::memset(element, 0, bytes);
    return;
  }
  std::uint64_t pattern = 0;
  std::memcpy(&pattern, element, bytes);
  const std::uint64_t noise = (std::uint64_t{random()} << 31U) ^ random();
  pattern ^= noise & ((std::uint64_t{1} << bits) - 1);
  std::memcpy(element, &pattern, bytes);
}

/// The same for the same number; 0 is the example itself.
std::vector<Value> variation(const std::vector<Value>& example, std::size_t number) {
  auto values = join_rows({example});
  std::minstd_rand random(static_cast<unsigned>(number));
  for (Value& value : values) {
    const auto* const tensor = value.get_if<Tensor>();
    if (tensor == nullptr || number == 0) continue;
    const std::size_t item = size_bytes(tensor->dtype);
    const std::size_t bytes = row_bytes(*tensor);
    for (std::byte* at = tensor->data(); at != tensor->data() + bytes * static_cast<std::size_t>(tensor->sizes[0]);
         at += bytes) {
      std::rotate(at, at + number * item % bytes, at + bytes);
      for (std::size_t i = 0; i < bytes; i += item) vary(at + i, tensor->dtype, random);
    }
  }
  return values;
}

double as_double(const std::byte* element, DType dtype) {
  if (dtype == DType::f64) {
    double number = 0;
    std::memcpy(&number, element, sizeof number);
    return number;
  }
  if (dtype == DType::f32) {
    float number = 0;
    std::memcpy(&number, element, sizeof number);
    return number;
  }
  std::uint16_t pattern = 0;
  std::memcpy(&pattern, element, sizeof pattern);
  const double sign = (pattern >> 15U) != 0 ? -1 : 1;
  const unsigned fraction_bits = dtype == DType::f16 ? 10 : 7;
  const int bias = dtype == DType::f16 ? 15 : 127;
  const int exponent = (pattern & 0x7FFFU) >> fraction_bits;
  const double fraction = std::ldexp(pattern & ((1U << fraction_bits) - 1), -static_cast<int>(fraction_bits));
  if (exponent == 2 * bias + 1) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * std::ldexp(exponent == 0 ? fraction : 1 + fraction, std::max(exponent, 1) - bias);
}

/// Both without gaps, as `split_rows` gives them.
bool are_close(const Tensor& a, const Tensor& b, double tolerance) {
  if (bit_identical(a, b)) return true;
  if (tolerance == 0 || mantissa_bits(a.dtype) == 0 || a.dtype != b.dtype || a.sizes != b.sizes) return false;
  double largest = 0;
  double difference = 0;
  const std::size_t item = size_bytes(a.dtype);
  auto dims = paired(a.sizes, a.strides, b.strides, item);
  return for_each_run(std::move(dims), item,
                      [&](std::size_t at_a, std::size_t at_b, std::size_t bytes) {
                        for (std::size_t i = 0; i < bytes; i += item) {
                          const double x = as_double(a.data() + at_a + i, a.dtype);
                          const double y = as_double(b.data() + at_b + i, b.dtype);
                          if (x == y || (std::isnan(x) && std::isnan(y))) continue;
                          if (!std::isfinite(x) || !std::isfinite(y)) return false;
                          difference = std::max(difference, std::abs(x - y));
                        }
                        for (std::size_t i = 0; i < bytes; i += item) {
                          const double x = std::abs(as_double(a.data() + at_a + i, a.dtype));
                          if (std::isfinite(x)) largest = std::max(largest, x);
                        }
                        return true;
                      }) &&
         difference <= tolerance * largest;
}

/// What the stage gives for each part, run together; nothing when that can't be said.
std::optional<Parts> run_joined(const Stage& stage, const Parts& parts, std::int64_t rows) {
  return split_rows(stage.run(join_rows(parts)), std::vector<std::int64_t>(parts.size(), rows));
}

bool are_close(const std::vector<Value>& a, const std::vector<Value>& b, double tolerance) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const Value& x, const Value& y) { return are_close(x.tensor(), y.tensor(), tolerance); });
}

bool agree(const Stage& stage, const Parts& inputs, const Parts& alone, std::int64_t rows, double tolerance) {
  const auto together = run_joined(stage, inputs, rows);
  if (!together) return false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!are_close(alone[i], (*together)[i], tolerance)) return false;
  }
  return true;
}

}  // namespace

std::optional<std::int64_t> rows_of(const std::vector<Value>& values) {
  std::vector<const Tensor*> tensors;
  for (const Value& value : values) {
    if (const auto* tensor = value.get_if<Tensor>()) {
      tensors.push_back(tensor);
    } else if (holds_tensors(value)) {
      return std::nullopt;
    }
  }
  if (tensors.empty()) return std::nullopt;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = *tensors[i];
    if (tensor.sizes.empty() || tensor.element_count() == 0 || tensor.sizes.front() != tensors.front()->sizes.front() ||
        !has_dense_rows(tensor)) {
      return std::nullopt;
    }
    if (std::any_of(tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const Tensor* other) { return overlap(*other, tensor); })) {
      return std::nullopt;
    }
  }
  return tensors.front()->sizes.front();
}

bool can_join(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Value& x, const Value& y) {
    const auto* const s = x.get_if<Tensor>();
    const auto* const t = y.get_if<Tensor>();
    if (s == nullptr || t == nullptr) return s == t && bit_identical(x, y);
    const auto are_equal = [](const auto& u, const auto& v) {
      return std::equal(u.begin() + 1, u.end(), v.begin() + 1, v.end());
    };
    return s->dtype == t->dtype && s->sizes.size() == t->sizes.size() && are_equal(s->sizes, t->sizes) &&
           are_equal(s->strides, t->strides);
  });
}

std::vector<Value> join_rows(const Parts& parts) {
  std::vector<Value> values = parts.front();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].get_if<Tensor>() != nullptr) values[i] = joined(parts, i);
  }
  return values;
}

std::optional<Parts> split_rows(const std::vector<Value>& values, const std::vector<std::int64_t>& counts) {
  std::int64_t rows = 0;
  for (const std::int64_t count : counts) rows += count;
  Parts parts(counts.size());
  for (const Value& value : values) {
    const auto* const tensor = value.get_if<Tensor>();
    if (tensor == nullptr || tensor->sizes.empty() || tensor->sizes.front() != rows) return std::nullopt;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < counts.size(); first += counts[i++]) {
      parts[i].emplace_back(rows_from(*tensor, first, counts[i]));
    }
  }
  return parts;
}

bool rows_are_independent(const Stage& stage, const std::vector<Value>& example, std::size_t max_rows,
                          double tolerance) {
  constexpr std::size_t most_variations = 8;
  try {
    const auto rows = rows_of(example);
    if (!rows) return false;
    const std::size_t count = std::min(max_rows / static_cast<std::size_t>(*rows), most_variations);
    if (count < 2) return false;
    Parts inputs;
    Parts alone;
    for (std::size_t i = 0; i < count; ++i) {
      inputs.push_back(variation(example, i));
      auto outputs = run_joined(stage, {inputs.back()}, *rows);
      if (!outputs) return false;
      alone.push_back(std::move(outputs->front()));
    }
    const auto first = [](const Parts& parts, std::size_t many) {
      return Parts(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(many));
    };
    for (const std::size_t together : std::set{std::size_t{2}, (count + 2) / 2, count}) {  // Kernels choose by size.
      if (!agree(stage, first(inputs, together), first(alone, together), *rows, tolerance)) return false;
    }
    std::reverse(inputs.begin(), inputs.end());
    std::reverse(alone.begin(), alone.end());
    return agree(stage, inputs, alone, *rows, tolerance);
  } catch (const std::exception&) {
    return false;  // It does not take more rows, or other elements.
  }
}

}  // namespace splitnet::detail
