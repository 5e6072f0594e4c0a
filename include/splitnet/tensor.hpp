// SPDX-License-Identifier: Apache-2.0
/// \file
/// A dense tensor without a framework: shared bytes, a data type, sizes, strides and an offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace splitnet {

/// Element types that travel. The numbers are part of the wire format: never renumber.
enum class DType : std::uint8_t {
  u8 = 1,
  i8 = 2,
  i16 = 3,
  i32 = 4,
  i64 = 5,
  f16 = 6,
  bf16 = 7,
  f32 = 8,
  f64 = 9,
  boolean = 10,
};

/// Bytes of one element.
std::size_t size_bytes(DType dtype) noexcept;
/// For example "f32".
std::string_view to_string(DType dtype) noexcept;
/// True when `number` is the number of a DType.
bool is_dtype(unsigned number) noexcept;

/// Payloads and allocations start on this boundary, which is what vector kernels assume.
inline constexpr std::size_t tensor_alignment_bytes = 64;

/// A handle to shared bytes. Copies share the bytes; the last handle frees them.
/// Thread-safety: as std::shared_ptr; the bytes themselves are not guarded.
class Storage {
 public:
  Storage() = default;
  /// New bytes, aligned to `tensor_alignment_bytes`, uninitialised.
  static Storage allocate(std::size_t bytes);
  /// Bytes that `owner` keeps alive. Two storages adopted from one owner count as one owner (`owners`).
  static Storage adopt(void* data, std::size_t bytes, std::shared_ptr<void> owner);
  /// Bytes that another process lends (see is_foreign).
  static Storage adopt_foreign(void* data, std::size_t bytes, std::shared_ptr<void> owner);

  /// `bytes` of these bytes from `offset_bytes` on, with the same owner. Both must lie inside.
  [[nodiscard]] Storage slice(std::size_t offset_bytes, std::size_t bytes) const;

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return bytes_; }
  /// Who keeps the bytes alive; `owner().use_count()` tells whether anybody else holds them.
  [[nodiscard]] const std::shared_ptr<void>& owner() const noexcept { return owner_; }
  /// These are bytes of another process, read where they lie (`shm:`). Writing to them ends this process, whoever else
  /// has a handle; and since the other side can change them at any time, what is decided by looking at them must be
  /// decided on a copy.
  [[nodiscard]] bool is_foreign() const noexcept { return is_foreign_; }
  /// Same bytes, not equal bytes.
  friend bool operator==(const Storage& a, const Storage& b) noexcept {
    return a.data_ == b.data_ && a.bytes_ == b.bytes_;
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::shared_ptr<void> owner_;
  bool is_foreign_ = false;
};

/// Strides of a row-major tensor, in elements.
std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& sizes);

/// A view of a storage. Several tensors may view one storage; on the wire they still do.
/// Invariant (see `validate`): every element that sizes and strides reach lies inside the storage.
struct Tensor {
  Storage storage;
  DType dtype = DType::f32;
  std::vector<std::int64_t> sizes;    ///< Elements per dimension; empty means a scalar tensor.
  std::vector<std::int64_t> strides;  ///< In elements, none negative; as many as sizes.
  std::size_t offset_bytes = 0;       ///< Of element 0 from the start of the storage.

  /// A new contiguous tensor, uninitialised. Throws invalid_argument on a negative size or overflow.
  static Tensor empty(DType dtype, std::vector<std::int64_t> sizes);

  /// Product of sizes.
  [[nodiscard]] std::int64_t element_count() const noexcept;
  /// Bytes from element 0 to the end of the furthest element; 0 when there is none.
  [[nodiscard]] std::size_t span_bytes() const noexcept;
  /// element_count × size of an element: what a packed copy takes.
  [[nodiscard]] std::size_t packed_bytes() const noexcept;
  [[nodiscard]] bool is_contiguous() const noexcept;
  [[nodiscard]] std::byte* data() const noexcept { return storage.data() + offset_bytes; }

  /// Checks the invariant in checked arithmetic. Throws invalid_argument naming what is wrong.
  void validate() const;
};

/// Same dtype, sizes and elements, bit by bit (a NaN equals the same NaN); strides may differ.
bool bit_identical(const Tensor& a, const Tensor& b);

}  // namespace splitnet
