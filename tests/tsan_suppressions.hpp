// SPDX-License-Identifier: Apache-2.0
// What ThreadSanitizer gets wrong about exceptions that several threads hold.
#pragma once

#ifdef __SANITIZE_THREAD__
// The reference counts of an exception object and of its text live in libstdc++, which is not instrumented: the
// sanitizer can't see that whoever frees them comes after all who looked at them.
extern "C" __attribute__((weak)) const char* __tsan_default_suppressions();
extern "C" __attribute__((weak)) const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release\n"
         "race:std::runtime_error::~runtime_error\n";
}
#endif
