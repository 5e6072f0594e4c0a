# SPDX-License-Identifier: Apache-2.0
# What every target of this project is compiled with. Nothing of it reaches users of the library but the
# language level.

function(splitnet_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  # GCC 12 sees uninitialised members in every std::variant that it inlines, and overflows in string sums and in Boost's
  # small_vector.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow
    "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow;-Wno-stringop-overread>"
    $<$<BOOL:${SPLITNET_WERROR}>:-Werror>)
endfunction()

# For targets that see libtorch: its flags, and the headers that cost most compiled once.
function(splitnet_torch_options target)
  splitnet_compile_options(${target})
  target_compile_options(${target} PRIVATE ${TORCH_FLAGS})
  if(target STREQUAL "splitnet")
    target_precompile_headers(${target} PRIVATE <torch/script.h>)
  else()
    # The header was compiled as for a library, and GCC takes it for nothing else.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
    target_precompile_headers(${target} REUSE_FROM splitnet)
  endif()
endfunction()
