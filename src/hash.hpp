// SPDX-License-Identifier: Apache-2.0
// xxh3 with 128 bits, fed piece by piece.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace splitnet::detail {

class Hash128 {
 public:
  Hash128() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_128bits_reset(state_.get()); }

  /// The length is part of what is hashed, so that pieces can't be shifted against one another.
  void add(const void* data, std::size_t bytes) {
    const unsigned long long length = bytes;
    XXH3_128bits_update(state_.get(), &length, sizeof(length));
    if (bytes > 0) XXH3_128bits_update(state_.get(), data, bytes);
  }
  void add(std::string_view text) { add(text.data(), text.size()); }

  [[nodiscard]] std::string hex() const {
    const auto digest = XXH3_128bits_digest(state_.get());
    char text[33];
    std::snprintf(text, sizeof(text), "%016llx%016llx", static_cast<unsigned long long>(digest.high64),
                  static_cast<unsigned long long>(digest.low64));
    return text;
  }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

}  // namespace splitnet::detail
