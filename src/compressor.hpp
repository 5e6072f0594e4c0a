// SPDX-License-Identifier: Apache-2.0
// Lossless compression by well-kept libraries, with the memory kept for each thread. Private.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace splitnet::detail {

class Compressor {
 public:
  virtual ~Compressor() = default;
  [[nodiscard]] virtual std::size_t max_compressed_bytes(std::size_t bytes) const = 0;
  /// The size; 0 when it can't: `to` is too small, or there are more bytes than the format can have.
  virtual std::size_t compress(std::span<const std::byte> from, std::span<std::byte> to) const = 0;
  /// The size. Throws corrupt for what `compress` never gives, or more than `to` has room for.
  virtual std::size_t decompress(std::span<const std::byte> from, std::span<std::byte> to) const = 0;

 protected:
  Compressor() = default;
  Compressor(const Compressor&) = default;
  Compressor& operator=(const Compressor&) = default;
};

/// Of this build: "lz4", "zstd".
std::vector<std::string> compressor_names();
/// `name` is one of them; `level` is for zstd.
std::unique_ptr<const Compressor> make_compressor(const std::string& name, int level);

}  // namespace splitnet::detail
