// SPDX-License-Identifier: Apache-2.0
/// \file
/// One error type for the whole library, sorted by what the caller should do next.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace splitnet {

/// What went wrong, as an instruction to the caller. Travels in error messages: never renumber.
enum class ErrorCode : unsigned char {
  invalid_argument = 1,   ///< The call is wrong: mend it.
  unsupported_model = 2,  ///< This model can't be cut at all: use another or run it whole.
  incompatible = 3,       ///< Version, fingerprint or cut of another model: update one side.
  corrupt = 4,            ///< Bytes are damaged: do not use them.
  too_large = 5,          ///< Over a limit: send less or raise the limit.
  unauthenticated = 6,    ///< Token or certificate refused.
  overloaded = 7,         ///< Back off, then try again.
  unavailable = 8,        ///< The peer is gone: retry elsewhere.
  deadline_exceeded = 9,  ///< Too late: the answer is of no use any more.
  internal = 10,          ///< A fault of splitnet or of the machine.
  cancelled = 11,         ///< The caller asked for it (its stop token).
};

/// The code's name as in this enumeration, for example "too_large"; "unknown" for a foreign number.
std::string_view to_string(ErrorCode code) noexcept;

/// True when `number` is the number of an ErrorCode.
bool is_error_code(unsigned number) noexcept;

/// The only exception type that splitnet throws. `what()` names the thing, what was found and what was
/// expected. Copyable; safe to read from several threads.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message, std::optional<double> retry_after_s = {})
      : std::runtime_error(message), code_(code), retry_after_s_(retry_after_s) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }
  /// When it makes sense to try again, as whoever refused sees it.
  [[nodiscard]] std::optional<double> retry_after_s() const noexcept { return retry_after_s_; }

 private:
  ErrorCode code_;
  std::optional<double> retry_after_s_;
};

}  // namespace splitnet
