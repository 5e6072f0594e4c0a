// SPDX-License-Identifier: Apache-2.0
// Who keeps the bytes of a Storage alive when they are libtorch's.
#pragma once

#include <c10/core/Storage.h>

#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// The deleter inside the owner of a Storage whose bytes belong to libtorch: std::get_deleter finds it
/// again, so that bytes go back as the storage they came from.
struct TorchStorageOwner {
  c10::Storage storage;
  void operator()(void*) const noexcept {}
};

/// The libtorch storage behind `storage`, or null.
inline const c10::Storage* torch_storage_of(const Storage& storage) noexcept {
  const auto* owner = std::get_deleter<TorchStorageOwner>(storage.owner());
  return owner ? &owner->storage : nullptr;
}

}  // namespace splitnet::detail
