// SPDX-License-Identifier: Apache-2.0
// cereal archives for message metadata: little-endian, without padding, and on the reading side with
// bounds, because cereal's own archives believe every length that they read.
#pragma once

#include <bit>
#include <cereal/cereal.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Turns `bytes` bytes at `data`, items of `item_bytes`, from this machine's order to little-endian or back.
inline void swap_to_little_endian(void* data, std::size_t bytes, std::size_t item_bytes) {
  if constexpr (std::endian::native == std::endian::little) return;
  auto* first = static_cast<std::byte*>(data);
  for (std::size_t item = 0; item + item_bytes <= bytes; item += item_bytes) {
    for (std::size_t i = 0; i < item_bytes / 2; ++i) {
      std::swap(first[item + i], first[item + item_bytes - 1 - i]);
    }
  }
}

class MetadataWriter : public cereal::OutputArchive<MetadataWriter> {
 public:
  MetadataWriter() : OutputArchive(this) { bytes_.reserve(256); }

  void write(const void* data, std::size_t bytes, std::size_t item_bytes) {
    if (bytes == 0) return;
    const auto start = bytes_.size();
    bytes_.resize(start + bytes);
    std::memcpy(bytes_.data() + start, data, bytes);
    swap_to_little_endian(bytes_.data() + start, bytes, item_bytes);
  }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads only bytes that are there. A length that can't be true is refused before memory is taken: each
/// item takes at least a byte, so a container never has more items than bytes remain.
class BoundedReader : public cereal::InputArchive<BoundedReader> {
 public:
  BoundedReader(std::span<const std::byte> bytes, std::size_t max_depth, std::size_t max_values)
      : InputArchive(this), bytes_(bytes), max_depth_(max_depth), max_values_(max_values) {}

  void read(void* data, std::size_t bytes, std::size_t item_bytes) {
    if (bytes > remaining()) {
      throw Error(ErrorCode::corrupt, "message metadata: " + std::to_string(bytes) + " bytes expected at byte " +
                                          std::to_string(at_) + ", " + std::to_string(remaining()) + " left");
    }
    if (bytes == 0) return;
    std::memcpy(data, bytes_.data() + at_, bytes);
    swap_to_little_endian(data, bytes, item_bytes);
    at_ += bytes;
  }

  /// A count of items of at least `item_bytes` each.
  std::uint32_t read_count(std::size_t item_bytes) {
    std::uint32_t count = 0;
    read(&count, sizeof(count), sizeof(count));
    if (count > remaining() / item_bytes) {
      throw Error(ErrorCode::corrupt, "message metadata: " + std::to_string(count) + " items announced at byte " +
                                          std::to_string(at_) + ", but only " + std::to_string(remaining()) +
                                          " bytes left");
    }
    return count;
  }

  /// Counts values against the limit, before they are made.
  void expect_values(std::size_t count) {
    if (count > max_values_ - values_) {
      throw Error(ErrorCode::too_large, "message metadata: more than " + std::to_string(max_values_) + " values");
    }
    values_ += count;
  }

  /// Held while the inside of a container is read.
  class Nesting {
   public:
    explicit Nesting(BoundedReader& reader) : reader_(reader) {
      if (reader.depth_ >= reader.max_depth_) {
        throw Error(ErrorCode::too_large,
                    "message metadata: values nested deeper than " + std::to_string(reader.max_depth_));
      }
      ++reader.depth_;
    }
    ~Nesting() { --reader_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    BoundedReader& reader_;
  };

  [[nodiscard]] std::size_t remaining() const noexcept { return bytes_.size() - at_; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  std::size_t max_depth_;
  std::size_t max_values_;
  std::size_t depth_ = 0;
  std::size_t values_ = 0;
};

// What cereal looks for, by name. bool is left out: any byte but 0 and 1 would be undefined behaviour.

template <class T>
concept MetadataNumber = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

template <MetadataNumber T>
void CEREAL_SAVE_FUNCTION_NAME(MetadataWriter& writer, const T& number) {
  writer.write(&number, sizeof(T), sizeof(T));
}
template <MetadataNumber T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedReader& reader, T& number) {
  reader.read(&number, sizeof(T), sizeof(T));
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(MetadataWriter& writer, const cereal::SizeTag<T>& tag) {
  const auto count = static_cast<std::uint32_t>(tag.size);
  if (count != tag.size) throw Error(ErrorCode::too_large, "message metadata: a length beyond 32 bits");
  writer.write(&count, sizeof(count), sizeof(count));
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedReader& reader, cereal::SizeTag<T>& tag) {
  tag.size = reader.read_count(1);
}

/// cereal gives the parts of map items names, which binary archives leave out.
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(MetadataWriter& writer, const cereal::NameValuePair<T>& pair) {
  writer(pair.value);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedReader& reader, cereal::NameValuePair<T>& pair) {
  reader(pair.value);
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(MetadataWriter& writer, const cereal::BinaryData<T>& data) {
  writer.write(data.data, static_cast<std::size_t>(data.size), sizeof(std::remove_pointer_t<T>));
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedReader& reader, cereal::BinaryData<T>& data) {
  reader.read(data.data, static_cast<std::size_t>(data.size), sizeof(std::remove_pointer_t<T>));
}

}  // namespace splitnet::detail

CEREAL_SETUP_ARCHIVE_TRAITS(splitnet::detail::BoundedReader, splitnet::detail::MetadataWriter)
