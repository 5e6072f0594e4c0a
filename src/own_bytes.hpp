// SPDX-License-Identifier: Apache-2.0
// Copies of what another process lends. Private.
#pragma once

#include <vector>

#include "splitnet/value.hpp"

namespace splitnet::detail {

/// Gives tensors in foreign storages (Storage::is_foreign) bytes of their own; strides stay, and tensors that shared a
/// storage share its copy. Throws std::bad_alloc.
void own_bytes(std::vector<Value>& values);
void own_bytes(Value& value);

/// Likewise, but for tensors of floating point: kernels take the others as indices, masks and counts, check them, and
/// read them once more.
void own_integers(std::vector<Value>& values);

}  // namespace splitnet::detail
