// SPDX-License-Identifier: Apache-2.0
#include "message_payload.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "checked_math.hpp"
#include "message_wire.hpp"
#include "small_vector.hpp"
#include "strided.hpp"

namespace splitnet::detail {
namespace {

/// An expanded tensor is small on the wire, but whoever copies it takes all of it.
void check_full_size(const Tensor& tensor, const MessageLimits& limits) {
  if (tensor.packed_bytes() <= limits.max_message_bytes) return;
  throw Error(ErrorCode::too_large, "message: " + describe(tensor) + " takes " + std::to_string(tensor.packed_bytes()) +
                                        " bytes, at most " + std::to_string(limits.max_message_bytes));
}

/// From strides in memory (a) to dense ones in descending order of those (b). Dimensions that repeat
/// elements (stride 0) are left out: each element travels once.
std::vector<PairedDim> packing_of(const Tensor& tensor) {
  const auto item_bytes = size_bytes(tensor.dtype);
  std::vector<PairedDim> dims;
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    if (tensor.sizes[i] == 1 || tensor.strides[i] == 0) continue;
    dims.push_back(
        {static_cast<std::size_t>(tensor.sizes[i]), static_cast<std::size_t>(tensor.strides[i]) * item_bytes, 0});
  }
  std::stable_sort(dims.begin(), dims.end(),
                   [](const PairedDim& x, const PairedDim& y) { return x.stride_a > y.stride_a; });
  std::size_t stride = item_bytes;
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    dim->stride_b = stride;
    stride *= dim->size;
  }
  return dims;
}

std::size_t packed_bytes_of(const std::vector<PairedDim>& dims, std::size_t item_bytes) {
  return dims.empty() ? item_bytes : dims.front().stride_b * dims.front().size;
}

// ---- Sending.

/// Bytes [begin, end) of memory and the tensors that lie in them.
struct Interval {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  SmallVector<std::size_t, 2> tensors;
};
using Intervals = SmallVector<Interval, 4>;

class PayloadPlanner {
 public:
  PayloadPlanner(const std::vector<Value>& values, const MessageLimits& limits, Gaps gaps)
      : limits_(limits), gaps_(gaps) {
    for (const auto& value : values) {
      for_each_tensor(value, [&](const Tensor& tensor) { tensors_.push_back(&tensor); });
    }
    if (tensors_.size() > limits.max_tensors) {
      throw Error(ErrorCode::too_large, "message: " + std::to_string(tensors_.size()) + " tensors, at most " +
                                            std::to_string(limits.max_tensors));
    }
    plan_.places.resize(tensors_.size());
    plan_.keep_alive.reserve(tensors_.size() + 1);  // One more for who sends them.
  }

  PayloadPlan run() {
    auto intervals = merged(collect());
    // In the order of the values, so that equal messages give equal bytes wherever their tensors lie.
    std::sort(intervals.begin(), intervals.end(),
              [](const Interval& x, const Interval& y) { return x.tensors.front() < y.tensors.front(); });
    for (const auto& interval : intervals) {
      if (!try_to_pack(interval)) send_as_it_lies(interval);
    }
    return std::move(plan_);
  }

 private:
  Intervals collect() const {
    Intervals intervals;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const auto& tensor = *tensors_[i];
      tensor.validate();
      check_full_size(tensor, limits_);
      if (tensor.element_count() == 0) continue;
      const auto begin = reinterpret_cast<std::uintptr_t>(tensor.data());
      if (begin % size_bytes(tensor.dtype) != 0) {
        throw Error(ErrorCode::invalid_argument,
                    "message: " + describe(tensor) + " does not begin at a multiple of its element size");
      }
      intervals.push_back({begin, begin + tensor.span_bytes(), {i}});
    }
    return intervals;
  }

  static Intervals merged(Intervals intervals) {
    std::sort(intervals.begin(), intervals.end(),
              [](const Interval& x, const Interval& y) { return x.begin < y.begin; });
    Intervals result;
    for (auto& interval : intervals) {
      if (result.empty() || interval.begin >= result.back().end) {
        result.push_back(std::move(interval));
        continue;
      }
      result.back().end = std::max(result.back().end, interval.end);
      result.back().tensors.push_back(interval.tensors.front());
    }
    for (auto& interval : result) std::sort(interval.tensors.begin(), interval.tensors.end());
    return result;
  }

  bool try_to_pack(const Interval& interval) {
    if (interval.tensors.size() != 1) return false;
    const auto& tensor = *tensors_[interval.tensors.front()];
    const auto span = interval.end - interval.begin;
    if (tensor.packed_bytes() == span) return false;
    const auto dims = packing_of(tensor);
    const auto bytes = packed_bytes_of(dims, size_bytes(tensor.dtype));
    if (bytes >= span) return false;
    const auto offset = interval.begin % tensor_alignment_bytes;
    place(interval.tensors.front(), offset);
    plan_.unpacked_bytes += offset + span;
    const auto* packed = gaps_ == Gaps::pack ? pack(tensor, dims, bytes) : tensor.data();
    add(StorageForm::packed, {0, {packed, bytes}});
    return true;
  }

  const std::byte* pack(const Tensor& tensor, const std::vector<PairedDim>& dims, std::size_t bytes) {
    const Storage copy = Storage::allocate(bytes);
    for_each_run(dims, size_bytes(tensor.dtype), [&](std::size_t from, std::size_t to, std::size_t count) {
      std::memcpy(copy.data() + to, tensor.data() + from, count);
      return true;
    });
    plan_.keep_alive.push_back(copy);
    return copy.data();
  }

  void send_as_it_lies(const Interval& interval) {
    const auto lead = interval.begin % tensor_alignment_bytes;
    const std::byte* first = nullptr;
    for (const auto index : interval.tensors) {
      const auto& tensor = *tensors_[index];
      const auto begin = reinterpret_cast<std::uintptr_t>(tensor.data());
      if (begin == interval.begin) first = tensor.data();
      place(index, begin - interval.begin + lead);
      if (plan_.keep_alive.empty() || plan_.keep_alive.back().owner() != tensor.storage.owner()) {
        plan_.keep_alive.push_back(tensor.storage);
      }
    }
    add(StorageForm::span, {lead, {first, interval.end - interval.begin}});
  }

  /// In the storage that is added next.
  void place(std::size_t tensor, std::size_t offset_bytes) {
    plan_.places[tensor] = {static_cast<std::uint32_t>(plan_.storages.size()), offset_bytes};
  }

  void add(StorageForm form, PayloadPart part) {
    plan_.storages.push_back({form, part.lead_bytes + part.bytes.size()});
    plan_.parts.push_back(part);
  }

  const MessageLimits& limits_;
  const Gaps gaps_;
  SmallVector<const Tensor*, 8> tensors_;
  PayloadPlan plan_;
};

// ---- Receiving.

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "message: " + what);
}

class TensorBinder {
 public:
  TensorBinder(Metadata& metadata, const MessageBody& body, std::size_t metadata_bytes, const MessageLimits& limits)
      : metadata_(metadata), body_(body), users_(metadata.storages.size(), 0), limits_(limits) {
    taken_bytes_ = message_header_bytes + body.size_bytes();
    locate_storages(metadata_bytes);
    count_users();
  }

  void run() {
    std::size_t next = 0;
    for (const auto& value : metadata_.message.values) {
      // for_each_tensor gives constant tensors; these are ours, and not constant.
      for_each_tensor(value,
                      [&](const Tensor& tensor) { bind(const_cast<Tensor&>(tensor), metadata_.places[next++]); });
    }
  }

 private:
  void locate_storages(std::size_t metadata_bytes) {
    std::size_t at = metadata_bytes;
    for (const auto& storage : metadata_.storages) {
      const auto begin = aligned(at);
      if (storage.bytes == 0) corrupt("a storage without bytes");
      if (begin > body_.size_bytes() || storage.bytes > body_.size_bytes() - begin) {
        corrupt("a storage of " + std::to_string(storage.bytes) + " bytes at byte " + std::to_string(begin) +
                " of a body of " + std::to_string(body_.size_bytes()));
      }
      check_padding(at, begin);
      at = begin + storage.bytes;
      auto found = body_.find(begin, storage.bytes);
      if (!found) corrupt("storage " + std::to_string(storages_.size()) + " does not lie in one piece");
      storages_.push_back(*std::move(found));
    }
    if (at != body_.size_bytes()) {
      corrupt(std::to_string(body_.size_bytes() - at) + " bytes behind the last storage");
    }
  }

  void check_padding(std::size_t begin, std::size_t end) const {
    for (; begin < end; ++begin) {
      if (body_.at(begin) != std::byte{0}) corrupt("padding that is not zero at byte " + std::to_string(begin));
    }
  }

  void count_users() {
    for (const auto& place : metadata_.places) {
      if (place.storage == TensorPlace::no_storage) continue;
      if (place.storage >= users_.size()) {
        corrupt("a tensor in storage " + std::to_string(place.storage) + " of " + std::to_string(users_.size()));
      }
      ++users_[place.storage];
    }
    for (std::size_t i = 0; i < users_.size(); ++i) {
      if (users_[i] == 0) corrupt("storage " + std::to_string(i) + " is used by no tensor");
      if (users_[i] > 1 && metadata_.storages[i].form == StorageForm::packed) {
        corrupt("packed storage " + std::to_string(i) + " is used by " + std::to_string(users_[i]) + " tensors");
      }
    }
  }

  void bind(Tensor& tensor, const TensorPlace& place) {
    check_shape(tensor, place);
    if (tensor.element_count() == 0) {
      if (place != TensorPlace{}) corrupt(describe(tensor) + " has no elements, but a place");
      tensor.storage = Storage::allocate(0);
    } else if (place.storage == TensorPlace::no_storage) {
      corrupt(describe(tensor) + " has no storage");
    } else if (metadata_.storages[place.storage].form == StorageForm::packed) {
      unpack(tensor, place);
    } else {
      tensor.storage = storages_[place.storage];
      tensor.offset_bytes = place.offset_bytes;
      validate(tensor);
    }
  }

  /// Without looking at the storage: a span that fits 63 bits, an aligned offset, a bearable size.
  void check_shape(Tensor& tensor, const TensorPlace& place) const {
    tensor.storage = Storage::adopt(nullptr, PTRDIFF_MAX, nullptr);
    validate(tensor);
    if (place.offset_bytes % size_bytes(tensor.dtype) != 0) {
      corrupt(describe(tensor) + " begins at byte " + std::to_string(place.offset_bytes) +
              ", which is not a multiple of its element size");
    }
    check_full_size(tensor, limits_);
  }

  static void validate(const Tensor& tensor) {
    try {
      tensor.validate();
    } catch (const Error& error) {
      corrupt(error.what());
    }
  }

  void unpack(Tensor& tensor, const TensorPlace& place) {
    const auto& source = storages_[place.storage];
    const auto dims = packing_of(tensor);
    const auto item_bytes = size_bytes(tensor.dtype);
    const auto bytes = packed_bytes_of(dims, item_bytes);
    if (bytes != source.size_bytes()) {
      corrupt(describe(tensor) + " is packed into " + std::to_string(source.size_bytes()) + " bytes, expected " +
              std::to_string(bytes));
    }
    if (place.offset_bytes >= tensor_alignment_bytes) {
      corrupt("a packed tensor begins at byte " + std::to_string(place.offset_bytes) + ", expected less than " +
              std::to_string(tensor_alignment_bytes));
    }
    tensor.storage = allocate(place.offset_bytes + tensor.span_bytes());
    tensor.offset_bytes = place.offset_bytes;
    for_each_run(dims, item_bytes, [&](std::size_t to, std::size_t from, std::size_t count) {
      std::memcpy(tensor.data() + to, source.data() + from, count);
      return true;
    });
  }

  /// Zeros, so that gaps between elements never show what was in memory before.
  Storage allocate(std::size_t bytes) {
    if (taken_bytes_ > limits_.max_message_bytes || bytes > limits_.max_message_bytes - taken_bytes_) {
      throw Error(ErrorCode::too_large, "message: its tensors take more than " +
                                            std::to_string(limits_.max_message_bytes) + " bytes when unpacked");
    }
    taken_bytes_ += bytes;
    const Storage storage = Storage::allocate(bytes);
    std::memset(storage.data(), 0, bytes);
    return storage;
  }

  Metadata& metadata_;
  const MessageBody& body_;
  SmallVector<Storage, 4> storages_;
  SmallVector<std::size_t, 4> users_;
  const MessageLimits& limits_;
  std::size_t taken_bytes_ = 0;
};

}  // namespace

PayloadPlan plan_payload(const std::vector<Value>& values, const MessageLimits& limits, Gaps gaps) {
  return PayloadPlanner(values, limits, gaps).run();
}

void bind_tensors(Metadata& metadata, const MessageBody& body, std::size_t metadata_bytes,
                  const MessageLimits& limits) {
  TensorBinder(metadata, body, metadata_bytes, limits).run();
}

}  // namespace splitnet::detail
