// SPDX-License-Identifier: Apache-2.0
#include "own_bytes.hpp"

#include <cstring>
#include <map>
#include <utility>

namespace splitnet::detail {
namespace {

class Copier {
 public:
  explicit Copier(bool floats_too) : floats_too_(floats_too) {}

  void visit(const Value& value) {
    // for_each_tensor gives constant tensors; these are ours, and not constant.
    for_each_tensor(value, [this](const Tensor& tensor) { replace(const_cast<Tensor&>(tensor)); });
  }

 private:
  void replace(Tensor& tensor) {
    if (!tensor.storage.is_foreign() || (!floats_too_ && is_float(tensor.dtype))) return;
    auto& copy = copies_[{tensor.storage.data(), tensor.storage.size_bytes()}];
    if (copy.data() == nullptr) copy = copy_of(tensor.storage);
    tensor.storage = copy;
  }

  static bool is_float(DType dtype) {
    return dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f32 || dtype == DType::f64;
  }

  static Storage copy_of(const Storage& foreign) {
    Storage copy = Storage::allocate(foreign.size_bytes());
    std::memcpy(copy.data(), foreign.data(), foreign.size_bytes());
    return copy;
  }

  const bool floats_too_;
  std::map<std::pair<const std::byte*, std::size_t>, Storage> copies_;
};

}  // namespace

void own_bytes(Value& value) {
  Copier(true).visit(value);
}

void own_bytes(std::vector<Value>& values) {
  Copier copier(true);
  for (const Value& value : values) copier.visit(value);
}

void own_integers(std::vector<Value>& values) {
  Copier copier(false);
  for (const Value& value : values) copier.visit(value);
}

}  // namespace splitnet::detail
