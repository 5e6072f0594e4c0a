// SPDX-License-Identifier: Apache-2.0
#include "splitnet/error.hpp"

namespace splitnet {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::unsupported_model: return "unsupported_model";
    case ErrorCode::incompatible: return "incompatible";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::too_large: return "too_large";
    case ErrorCode::unauthenticated: return "unauthenticated";
    case ErrorCode::overloaded: return "overloaded";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::deadline_exceeded: return "deadline_exceeded";
    case ErrorCode::internal: return "internal";
    case ErrorCode::cancelled: return "cancelled";
  }
  return "unknown";
}

bool is_error_code(unsigned number) noexcept {
  return number >= static_cast<unsigned>(ErrorCode::invalid_argument) &&
         number <= static_cast<unsigned>(ErrorCode::cancelled);
}

}  // namespace splitnet
