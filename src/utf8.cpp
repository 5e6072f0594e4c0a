// SPDX-License-Identifier: Apache-2.0
#include "utf8.hpp"

#include <array>
#include <cstddef>

namespace splitnet::detail {
namespace {

constexpr char32_t not_utf8 = 0xFFFD;

/// The first character of `text`, which has one, and how many bytes it takes.
struct Character {
  char32_t point = not_utf8;
  std::size_t bytes = 1;
};

Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xC2 && lead < 0xE0   ? 2
                            : (lead & 0xF0U) == 0xE0      ? 3
                            : lead >= 0xF0 && lead < 0xF5 ? 4
                                                          : 0;
  if (bytes == 0) return {};
  char32_t point = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if (i >= text.size() || (byte(i) & 0xC0U) != 0x80) return {not_utf8, i};
    point = (point << 6U) | (byte(i) & 0x3FU);
  }
  // Longer than it need be, half of a surrogate pair, or beyond Unicode.
  constexpr std::array<char32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_allowed = point >= least[bytes] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
  return {is_allowed ? point : not_utf8, bytes};
}

bool is_control(char32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029;
}

std::string cleaned(std::string_view text, bool without_controls) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const auto [point, bytes] = first_of(text);
    if (point == not_utf8) {
      result += "\xEF\xBF\xBD";
    } else if (without_controls && is_control(point)) {
      result += '?';
    } else {
      result += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return result;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  return cleaned(text, false);
}

std::string one_line(std::string_view text) {
  return cleaned(text, true);
}

}  // namespace splitnet::detail
