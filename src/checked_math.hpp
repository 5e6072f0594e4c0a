// SPDX-License-Identifier: Apache-2.0
// Arithmetic on sizes that come from outside: it says when it would wrap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace splitnet::detail {

/// A size that remembers that it has wrapped.
class CheckedSize {
 public:
  CheckedSize(std::size_t value) : value_(value) {}  // NOLINT(google-explicit-constructor)

  CheckedSize& operator+=(CheckedSize other) noexcept {
    wrapped_ |= other.wrapped_ | __builtin_add_overflow(value_, other.value_, &value_);
    return *this;
  }
  CheckedSize& operator*=(CheckedSize other) noexcept {
    wrapped_ |= other.wrapped_ | __builtin_mul_overflow(value_, other.value_, &value_);
    return *this;
  }
  friend CheckedSize operator+(CheckedSize a, CheckedSize b) noexcept { return a += b; }
  friend CheckedSize operator*(CheckedSize a, CheckedSize b) noexcept { return a *= b; }

  /// Nothing when it has wrapped or is beyond what signed arithmetic can take later on.
  [[nodiscard]] std::optional<std::size_t> value() const noexcept {
    if (wrapped_ || value_ > static_cast<std::size_t>(PTRDIFF_MAX)) return std::nullopt;
    return value_;
  }

 private:
  std::size_t value_;
  bool wrapped_ = false;
};

}  // namespace splitnet::detail
