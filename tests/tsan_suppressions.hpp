// SPDX-License-Identifier: Apache-2.0
// What ThreadSanitizer gets wrong in tests that move exceptions through futures.
#pragma once

#ifdef __SANITIZE_THREAD__
// The reference count of an exception object lives in libstdc++, which is not instrumented: the sanitizer
// can't see that whoever frees the object comes after all who looked at it.
extern "C" __attribute__((weak)) const char* __tsan_default_suppressions();
extern "C" __attribute__((weak)) const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release\n";
}
#endif
