// SPDX-License-Identifier: Apache-2.0
// Compressed pictures by well-kept libraries. Private.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codec_parameters.hpp"

namespace splitnet::detail {

/// Eight bits for each of `channels` (1: grey, 3: red, green, blue), which lie together.
struct PictureSize {
  std::size_t width = 0;
  std::size_t height = 0;
  std::size_t channels = 3;
  friend bool operator==(const PictureSize&, const PictureSize&) = default;
  [[nodiscard]] std::size_t plane() const { return width * height; }
  [[nodiscard]] std::size_t bytes() const { return plane() * channels; }
};

/// What the first bytes of a file say.
struct PictureHeader {
  PictureSize size;
  std::string unsupported;  ///< Why it can't be decoded: "CMYK colours", "an animation"; empty: it can.
};

class PictureFormat {
 public:
  virtual ~PictureFormat() = default;
  /// What it can have: sides of so many pixels at most, and channels.
  [[nodiscard]] virtual bool has(const PictureSize& size) const noexcept = 0;
  [[nodiscard]] virtual std::size_t max_compressed_bytes(const PictureSize& size) const = 0;
  /// The size of what is written to the start of `to`, which has max_compressed_bytes.
  virtual std::size_t compress(std::span<const std::byte> pixels, const PictureSize& size,
                               std::span<std::byte> to) const = 0;
  /// Reads no further than the header. Throws corrupt for what has none.
  [[nodiscard]] virtual PictureHeader header_of(std::span<const std::byte> from) const = 0;
  /// Throws corrupt for what is no whole picture of this size.
  virtual void decompress(std::span<const std::byte> from, const PictureSize& size,
                          std::span<std::byte> pixels) const = 0;

 protected:
  PictureFormat() = default;
  PictureFormat(const PictureFormat&) = default;
  PictureFormat& operator=(const PictureFormat&) = default;
};

/// Of this build: "jpeg", "webp".
std::vector<std::string> picture_format_names();
/// Which format a file has, by its first bytes, whether this build has it or not; empty: neither.
std::string picture_format_of(std::span<const std::byte> file);
/// `name` is one of them. Takes its parameters: quality, and of jpeg subsampling.
std::unique_ptr<const PictureFormat> make_picture_format(const std::string& name, CodecParameters& parameters);

}  // namespace splitnet::detail
