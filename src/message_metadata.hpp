// SPDX-License-Identifier: Apache-2.0
// What a message says besides tensor bytes: to and from the metadata part of its body.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "splitnet/message.hpp"

namespace splitnet::detail {

/// How the bytes of a storage travel.
enum class StorageForm : std::uint8_t {
  span = 0,    ///< As they lie in memory; any number of tensors view them.
  packed = 1,  ///< The elements of one tensor without the gaps between them.
};

struct WireStorage {
  StorageForm form = StorageForm::span;
  std::uint64_t bytes = 0;  ///< On the wire, without padding.
  friend bool operator==(const WireStorage&, const WireStorage&) = default;
};

/// Where a tensor's elements are.
struct TensorPlace {
  static constexpr std::uint32_t no_storage = ~std::uint32_t{0};  ///< Of a tensor without elements.
  std::uint32_t storage = no_storage;
  std::uint64_t offset_bytes = 0;
  friend bool operator==(const TensorPlace&, const TensorPlace&) = default;
};

/// Errors and cancels have none.
constexpr bool has_values(MessageKind kind) noexcept {
  return kind == MessageKind::request || kind == MessageKind::reply || kind == MessageKind::hello;
}

/// Longer texts of errors are cut on the wire.
inline constexpr std::size_t max_error_text_bytes = 4096;

/// The oldest version of the wire format that can say this.
std::uint16_t version_for(const Message& message) noexcept;

/// `places` in the order of for_each_tensor over message.values. Throws too_large, invalid_argument.
std::vector<std::byte> write_metadata(const Message& message, std::span<const WireStorage> storages,
                                      std::span<const TensorPlace> places, const MessageLimits& limits);

struct Metadata {
  Message message;  ///< Its tensors have dtype, sizes and strides, but no storage yet.
  std::vector<WireStorage> storages;
  std::vector<TensorPlace> places;
};

/// Throws corrupt, incompatible, too_large.
Metadata read_metadata(std::uint16_t version, MessageKind kind, std::span<const std::byte> bytes,
                       const MessageLimits& limits);

}  // namespace splitnet::detail
