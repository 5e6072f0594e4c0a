// SPDX-License-Identifier: Apache-2.0
#include "splitnet/codec.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "float_codec.hpp"
#include "pixel_codec.hpp"
#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

/// The storage of every tensor in `values`, sorted; one that several tensors view is there several times.
std::vector<const std::byte*> storages_of(const std::vector<Value>& values) {
  std::vector<const std::byte*> storages;
  for (const Value& value : values) {
    for_each_tensor(value, [&](const Tensor& tensor) { storages.push_back(tensor.storage.data()); });
  }
  std::sort(storages.begin(), storages.end());
  return storages;
}

bool occurs_once(const std::vector<const std::byte*>& storages, const Tensor& tensor) {
  const auto [first, end] = std::equal_range(storages.begin(), storages.end(), tensor.storage.data());
  return end - first == 1;
}

}  // namespace

CodecRegistry CodecRegistry::with_defaults() {
  CodecRegistry registry;
  registry.add("f16", detail::make_half_codec);
  registry.add("u8", detail::make_pixel_codec);
  return registry;
}

void CodecRegistry::add(std::string name, Factory factory) {
  if (name.empty() || name == "raw" || name.find(':') != std::string::npos) {
    throw Error(ErrorCode::invalid_argument,
                "a codec can't have the name '" + name + "': expected a word without ':' other than raw");
  }
  if (!factory) throw Error(ErrorCode::invalid_argument, "codec '" + name + "': the factory is empty");
  factories_[std::move(name)] = std::move(factory);
}

std::vector<std::string> CodecRegistry::names() const {
  std::vector<std::string> names{"raw"};
  for (const auto& [name, factory] : factories_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const Codec> CodecRegistry::make(const std::string& name) const {
  if (name == "raw") return nullptr;
  const auto colon = name.find(':');
  const std::string base = name.substr(0, colon);
  const auto found = factories_.find(base);
  if (found == factories_.end()) {
    throw Error(ErrorCode::invalid_argument,
                "unknown codec '" + base.substr(0, 80) + "'; expected one of: " + detail::joined(names()));
  }
  auto codec = found->second(colon == std::string::npos ? "" : name.substr(colon + 1));
  if (!codec) throw Error(ErrorCode::internal, "the factory of codec '" + base + "' gave none");
  return codec;
}

std::vector<Value> encode_values(const Codec& codec, std::vector<Value> values) {
  const auto storages = storages_of(values);
  for (Value& value : values) {
    const auto* tensor = value.get_if<Tensor>();
    const bool coded = tensor != nullptr && codec.takes(*tensor) && occurs_once(storages, *tensor);
    Value travels = coded ? codec.encode(*tensor) : std::move(value);
    value = Tuple{{coded, std::move(travels)}};
  }
  return values;
}

namespace {

/// The value that travelled, and whether it is encoded. Throws corrupt.
std::pair<bool, Value*> opened(Value& value) {
  auto* pair = std::get_if<Tuple>(&value.variant());
  const auto* coded = pair == nullptr || pair->items.size() != 2 ? nullptr : pair->items[0].get_if<bool>();
  if (coded == nullptr) {
    throw Error(ErrorCode::corrupt, "found a " + describe(value) + ", expected (coded, value) from a codec");
  }
  return {*coded, &pair->items[1]};
}

}  // namespace

std::vector<Value> decode_values(const Codec& codec, std::vector<Value> values, std::size_t max_bytes) {
  const auto storages = storages_of(values);
  std::size_t bytes = 0;
  for (Value& value : values) {
    const auto [is_coded, travelled] = opened(value);
    if (!is_coded) continue;
    const std::size_t decoded = codec.decoded_bytes(*travelled);
    if (decoded > max_bytes - bytes) {
      throw Error(ErrorCode::too_large, "values decode to more than " + std::to_string(max_bytes) + " bytes");
    }
    bytes += decoded;
    for_each_tensor(*travelled, [&](const Tensor& tensor) {
      if (tensor.element_count() > 0 && !occurs_once(storages, tensor)) {
        throw Error(ErrorCode::corrupt, "an encoded " + describe(tensor) + " shares its storage with another value");
      }
    });
  }
  for (Value& value : values) {
    const auto [is_coded, travelled] = opened(value);
    Value arrived = is_coded ? Value(codec.decode(*travelled)) : std::move(*travelled);
    value = std::move(arrived);
  }
  return values;
}

}  // namespace splitnet
