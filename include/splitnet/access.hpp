// SPDX-License-Identifier: Apache-2.0
/// \file
/// Shared tokens: who knows the token may use the worker. Over a road without encryption a token keeps strangers and
/// mistakes out, but whoever reads along has it: use `tls:` or `https:` there.
#pragma once

#include <string>
#include <string_view>

namespace splitnet {

/// Shortest and longest token that is taken, in characters.
inline constexpr std::size_t min_token_chars = 16;
inline constexpr std::size_t max_token_chars = 512;

/// Throws invalid_argument for a token that is too short, too long, or has characters other than printable ASCII
/// without spaces. The message does not show it.
void check_token(std::string_view token);

/// The first line of a file. Throws invalid_argument (no such file, readable by others than its owner and group, not a
/// token).
std::string load_token(const std::string& path);

/// Of an environment variable. Throws invalid_argument when it is not set or not a token.
std::string token_from_environment(const std::string& variable);

/// Takes as long for every `given` of one length, whatever it says.
bool is_same_token(std::string_view expected, std::string_view given) noexcept;

}  // namespace splitnet
