// SPDX-License-Identifier: Apache-2.0
// What is thrown on a thread of the library, where nobody would catch it, as the error of a call.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "splitnet/error.hpp"

namespace splitnet::detail {

/// In a catch clause, of what was caught: an Error as it is, want of memory as `overloaded`, everything else as
/// `internal`. `what`: what was being done.
inline Error thrown_error(const std::string& what) {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::overloaded, what + ": no memory for it");
  } catch (const std::exception& error) {
    return Error(ErrorCode::internal, what + ": " + error.what());
  } catch (...) {
    return Error(ErrorCode::internal, what + ": something unknown was thrown");
  }
}

/// Likewise; `no_memory`, made beforehand, where there is none for the error either.
inline Error thrown_error(const char* what, const Error& no_memory) {
  try {
    return thrown_error(std::string(what));
  } catch (const std::exception&) {
    return no_memory;
  }
}

}  // namespace splitnet::detail
