// SPDX-License-Identifier: Apache-2.0
#include "aws/random_name.hpp"

#include <openssl/rand.h>

#include <array>
#include <string_view>

#include "aws/digest.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

std::string random_name() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) throw Error(ErrorCode::internal, "no random numbers to be had");
  return to_hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

bool is_random_name(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace splitnet::detail
