// SPDX-License-Identifier: Apache-2.0
// What an action throws. For tests.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "splitnet/error.hpp"

namespace splitnet::testing {

/// The splitnet::Error that `action` throws, or nothing.
template <class Action>
std::optional<Error> error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

/// Passes when `action` throws an Error with this code whose text contains `words`.
template <class Action>
::testing::AssertionResult throws(ErrorCode code, const std::string& words, Action&& action) {
  const auto error = error_of(action);
  if (!error) return ::testing::AssertionFailure() << "nothing was thrown";
  if (error->code() == code && std::string(error->what()).find(words) != std::string::npos) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << to_string(error->code()) << ": " << error->what();
}

}  // namespace splitnet::testing
