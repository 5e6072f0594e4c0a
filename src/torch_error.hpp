// SPDX-License-Identifier: Apache-2.0
// What libtorch's exceptions say, for a message of ours.
#pragma once

#include <exception>
#include <string>

namespace splitnet::detail {

/// One line in the operator's own words, without TorchScript's traceback and torch's advice to report it.
std::string torch_words(const std::exception& error);

}  // namespace splitnet::detail
