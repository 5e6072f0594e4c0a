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

/// The code of the Error that `action` throws, and its words in `words`; a failure of the test when there is none.
template <class Action>
ErrorCode thrown_code(Action&& action, std::string* words = nullptr) {
  const auto error = error_of(action);
  if (!error) {
    ADD_FAILURE() << "no error";
    return ErrorCode::internal;
  }
  if (words != nullptr) *words = error->what();
  return error->code();
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
