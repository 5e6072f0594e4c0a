// SPDX-License-Identifier: Apache-2.0
#include "private_inputs.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "torch_storage.hpp"

namespace splitnet::detail {
namespace {

/// One piece of memory that inputs view.
struct Piece {
  std::size_t bytes = 0;
  bool written = false;
  std::vector<Storage*> handles;
};

void for_each_storage(Value& value, const std::function<void(Storage&)>& visit) {
  std::visit(
      [&](auto& held) {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, Tensor>) {
          if (held.storage.data() != nullptr) visit(held.storage);
        } else if constexpr (std::is_same_v<Held, List> || std::is_same_v<Held, Tuple>) {
          for (auto& item : held.items) for_each_storage(item, visit);
        } else if constexpr (std::is_same_v<Held, Dict>) {
          for (auto& [key, item] : held.items) for_each_storage(item, visit);
        }
      },
      value.variant());
}

/// Handles that share a control block, counted over all inputs: when that is all there are, nobody else
/// can see the bytes.
class Ownership {
 public:
  explicit Ownership(std::vector<Value>& inputs) {
    for (auto& value : inputs) {
      for_each_storage(value, [&](Storage& storage) {
        ++handles_[storage.owner()];
        if (const auto* torch = torch_storage_of(storage)) {
          blocks_[torch->unsafeGetStorageImpl()].insert(storage.owner());
        }
      });
    }
  }

  bool is_exclusive(const Storage& storage) const {
    if (storage.is_foreign()) return false;
    const auto* torch = torch_storage_of(storage);
    const long own_keys = torch == nullptr ? 1 : 2;  // the maps below hold handles, too
    if (storage.owner().use_count() != handles_.at(storage.owner()) + own_keys) return false;
    return torch == nullptr || torch->use_count() == blocks_.at(torch->unsafeGetStorageImpl()).size();
  }

 private:
  using ByOwner = std::owner_less<std::shared_ptr<void>>;

  std::map<std::shared_ptr<void>, long, ByOwner> handles_;
  std::map<const void*, std::set<std::shared_ptr<void>, ByOwner>> blocks_;
};

}  // namespace

void make_private(std::vector<Value>& inputs, const std::vector<bool>& written) {
  if (std::none_of(written.begin(), written.end(), [](bool w) { return w; })) return;
  const Ownership ownership(inputs);
  std::map<std::byte*, Piece> pieces;  // by start; storages that share memory share their start
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for_each_storage(inputs[i], [&](Storage& storage) {
      auto& piece = pieces[storage.data()];
      piece.bytes = std::max(piece.bytes, storage.size_bytes());
      piece.written = piece.written || (written[i] && !ownership.is_exclusive(storage));
      piece.handles.push_back(&storage);
    });
  }
  for (auto& [start, piece] : pieces) {
    if (!piece.written) continue;
    const auto misalignment = reinterpret_cast<std::uintptr_t>(start) % tensor_alignment_bytes;
    const auto memory = Storage::allocate(piece.bytes + misalignment);
    std::memcpy(memory.data() + misalignment, start, piece.bytes);
    for (auto* handle : piece.handles) {
      *handle = Storage::adopt(memory.data() + misalignment, handle->size_bytes(), memory.owner());
    }
  }
}

}  // namespace splitnet::detail
