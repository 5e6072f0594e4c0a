// SPDX-License-Identifier: Apache-2.0
#include "splitnet/tensor.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "checked_math.hpp"
#include "splitnet/error.hpp"
#include "strided.hpp"

namespace splitnet {
namespace {

[[noreturn]] void invalid(const Tensor& tensor, const std::string& what) {
  std::string text = "tensor " + std::string(to_string(tensor.dtype)) + "[";
  for (std::size_t i = 0; i < tensor.sizes.size() && i < 8; ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(tensor.sizes[i]);
  }
  if (tensor.sizes.size() > 8) text += ", …";
  throw Error(ErrorCode::invalid_argument, text + "]: " + what);
}

bool has_no_elements(const Tensor& tensor) noexcept {
  return std::find(tensor.sizes.begin(), tensor.sizes.end(), 0) != tensor.sizes.end();
}

void check_dimensions(const Tensor& tensor) {
  if (!is_dtype(static_cast<unsigned>(tensor.dtype))) invalid(tensor, "unknown dtype");
  if (tensor.sizes.size() != tensor.strides.size()) {
    invalid(tensor,
            std::to_string(tensor.strides.size()) + " strides, expected " + std::to_string(tensor.sizes.size()));
  }
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    if (tensor.sizes[i] < 0) invalid(tensor, "size " + std::to_string(i) + " is negative");
    if (tensor.strides[i] < 0) invalid(tensor, "stride " + std::to_string(i) + " is negative");
  }
}

/// Zeros are left out, so that no order in which a framework multiplies can wrap.
void check_element_count(const Tensor& tensor) {
  detail::CheckedSize bytes = size_bytes(tensor.dtype);
  for (const auto size : tensor.sizes) {
    if (size != 0) bytes *= static_cast<std::size_t>(size);
  }
  if (!bytes.value()) invalid(tensor, "the number of bytes does not fit 63 bits");
}

std::optional<std::size_t> checked_span_bytes(const Tensor& tensor) {
  detail::CheckedSize last = 0;
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    last += detail::CheckedSize(static_cast<std::size_t>(tensor.sizes[i] - 1)) *
            static_cast<std::size_t>(tensor.strides[i]);
  }
  return ((last + 1) * size_bytes(tensor.dtype)).value();
}

}  // namespace

std::size_t size_bytes(DType dtype) noexcept {
  switch (dtype) {
    case DType::u8:
    case DType::i8:
    case DType::boolean: return 1;
    case DType::i16:
    case DType::f16:
    case DType::bf16: return 2;
    case DType::i32:
    case DType::f32: return 4;
    case DType::i64:
    case DType::f64: return 8;
  }
  return 1;
}

std::string_view to_string(DType dtype) noexcept {
  switch (dtype) {
    case DType::u8: return "u8";
    case DType::i8: return "i8";
    case DType::i16: return "i16";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::boolean: return "bool";
  }
  return "unknown";
}

bool is_dtype(unsigned number) noexcept {
  return number >= static_cast<unsigned>(DType::u8) && number <= static_cast<unsigned>(DType::boolean);
}

Storage Storage::allocate(std::size_t bytes) {
  constexpr std::align_val_t alignment{tensor_alignment_bytes};
  void* data = ::operator new(bytes, alignment);
  // When this throws, shared_ptr itself runs the deleter.
  std::shared_ptr<void> owner(data, [](void* p) { ::operator delete(p, alignment); });
  return adopt(data, bytes, std::move(owner));
}

Storage Storage::adopt(void* data, std::size_t bytes, std::shared_ptr<void> owner) {
  Storage storage;
  storage.data_ = static_cast<std::byte*>(data);
  storage.bytes_ = bytes;
  storage.owner_ = std::move(owner);
  return storage;
}

Storage Storage::adopt_foreign(void* data, std::size_t bytes, std::shared_ptr<void> owner) {
  Storage storage = adopt(data, bytes, std::move(owner));
  storage.is_foreign_ = true;
  return storage;
}

Storage Storage::slice(std::size_t offset_bytes, std::size_t bytes) const {
  Storage part = *this;
  part.data_ += offset_bytes;
  part.bytes_ = bytes;
  return part;
}

std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> strides(sizes.size());
  // Unsigned, because sizes may be hostile: wrapping is then caught by `validate`.
  std::uint64_t stride = 1;
  for (std::size_t i = sizes.size(); i > 0; --i) {
    strides[i - 1] = static_cast<std::int64_t>(stride);
    stride *= static_cast<std::uint64_t>(std::max<std::int64_t>(sizes[i - 1], 1));
  }
  return strides;
}

Tensor Tensor::empty(DType dtype, std::vector<std::int64_t> sizes) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.sizes = std::move(sizes);
  tensor.strides.resize(tensor.sizes.size());
  check_dimensions(tensor);
  check_element_count(tensor);
  tensor.strides = contiguous_strides(tensor.sizes);
  tensor.storage = Storage::allocate(tensor.packed_bytes());
  return tensor;
}

std::int64_t Tensor::element_count() const noexcept {
  if (has_no_elements(*this)) return 0;
  std::uint64_t count = 1;
  for (const auto size : sizes) count *= static_cast<std::uint64_t>(size);
  return static_cast<std::int64_t>(count);
}

std::size_t Tensor::span_bytes() const noexcept {
  if (has_no_elements(*this)) return 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < sizes.size() && i < strides.size(); ++i) {
    last += (static_cast<std::size_t>(sizes[i]) - 1) * static_cast<std::size_t>(strides[i]);
  }
  return (last + 1) * splitnet::size_bytes(dtype);
}

std::size_t Tensor::packed_bytes() const noexcept {
  return static_cast<std::size_t>(element_count()) * splitnet::size_bytes(dtype);
}

bool Tensor::is_contiguous() const noexcept {
  if (has_no_elements(*this)) return true;
  std::uint64_t expected = 1;
  for (std::size_t i = sizes.size(); i > 0; --i) {
    // The stride of a dimension of one element is never used.
    if (sizes[i - 1] == 1) continue;
    if (static_cast<std::uint64_t>(strides[i - 1]) != expected) return false;
    expected *= static_cast<std::uint64_t>(sizes[i - 1]);
  }
  return true;
}

void Tensor::validate() const {
  check_dimensions(*this);
  check_element_count(*this);
  // Frameworks let an empty view point anywhere.
  if (has_no_elements(*this)) return;
  const auto span = checked_span_bytes(*this);
  if (!span) invalid(*this, "its strides reach beyond 63 bits");
  const auto available = storage.size_bytes();
  if (offset_bytes > available || *span > available - offset_bytes) {
    invalid(*this, "needs " + std::to_string(*span) + " bytes from byte " + std::to_string(offset_bytes) +
                       ", but its storage has " + std::to_string(available));
  }
}

bool bit_identical(const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype || a.sizes != b.sizes) return false;
  if (has_no_elements(a)) return true;
  const auto item_bytes = size_bytes(a.dtype);
  auto dims = detail::paired(a.sizes, a.strides, b.strides, item_bytes);
  const auto* data_a = a.data();
  const auto* data_b = b.data();
  return detail::for_each_run(std::move(dims), item_bytes, [&](std::size_t at_a, std::size_t at_b, std::size_t bytes) {
    return std::memcmp(data_a + at_a, data_b + at_b, bytes) == 0;
  });
}

}  // namespace splitnet
