// SPDX-License-Identifier: Apache-2.0
#include "splitnet/codec.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "coded_tensor.hpp"
#include "float_codec.hpp"
#include "integer_codec.hpp"
#include "lossless_codec.hpp"
#include "own_bytes.hpp"
#include "picture_codec.hpp"
#include "picture_format.hpp"
#include "pixel_codec.hpp"
#include "splitnet/error.hpp"
#include "text.hpp"
#include "transform_codec.hpp"

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

bool is_taken(const Codec& codec, const Tensor& tensor) {
  const Tensor elements = detail::without_repeats(tensor);
  return detail::is_codable(elements) && codec.takes(elements);
}

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "encoded values: " + what);
}

/// Whether it is encoded, and the value that travelled. Throws corrupt.
std::pair<bool, const Value&> opened(const Value& value) {
  const auto* pair = value.get_if<Tuple>();
  const auto* coded = pair == nullptr || pair->items.size() != 2 ? nullptr : pair->items[0].get_if<bool>();
  if (coded == nullptr) corrupt("found a " + describe(value) + ", expected (encoded, value)");
  return {*coded, pair->items[1]};
}

}  // namespace

CodecRegistry CodecRegistry::with_defaults() {
  CodecRegistry registry;
  using Make = std::function<std::shared_ptr<const Codec>(const std::string& parameters)>;
  const auto without_tables = [](Make make) -> Factory {
    return [make = std::move(make)](const std::string& parameters, const CodecTables&) { return make(parameters); };
  };
  const auto add = [&](const std::string& name, Make make, std::size_t item_bytes) {
    registry.add(name, without_tables(detail::with_lossless_stage(name, std::move(make), item_bytes)));
  };
  add("f32", detail::make_single_codec, 4);
  add("f16", detail::make_half_codec, 2);
  add("bf16", detail::make_bfloat_codec, 2);
  add("u8", detail::make_pixel_codec, 1);
  for (const std::string& format : detail::picture_format_names()) {
    registry.add(format, without_tables([format](const std::string& parameters) {
                   return detail::make_picture_codec(format, parameters);
                 }));
  }
  for (unsigned bits = 2; bits <= 8; ++bits) {
    const auto make = [bits](const std::string& parameters) { return detail::make_integer_codec(bits, parameters); };
    add("int" + std::to_string(bits), make, 1);
  }
  registry.add("transform", detail::make_named_transform_codec);
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

std::shared_ptr<const Codec> CodecRegistry::make(const std::string& name, const CodecTables& tables) const {
  if (name == "raw") return nullptr;
  const auto colon = name.find(':');
  const std::string base = name.substr(0, colon);
  const auto found = factories_.find(base);
  if (found == factories_.end()) {
    throw Error(ErrorCode::invalid_argument,
                "unknown codec '" + base.substr(0, 80) + "'; expected one of: " + detail::joined(names()) +
                    (base.find_first_of(";=") == std::string::npos
                         ? ""
                         : "; parameters stand behind a ':', as in int8:per=channel;lossless=zstd"));
  }
  auto codec = found->second(colon == std::string::npos ? "" : name.substr(colon + 1), tables);
  if (!codec) throw Error(ErrorCode::internal, "the factory of codec '" + base + "' gave none");
  return codec;
}

EncodedValues encode_values(const Codec& codec, std::vector<Value> values) {
  const auto storages = storages_of(values);
  EncodedValues result;
  for (Value& value : values) {
    const auto* tensor = value.get_if<Tensor>();
    if (tensor == nullptr || !occurs_once(storages, *tensor) || !is_taken(codec, *tensor)) {
      result.values.emplace_back(Tuple{{false, std::move(value)}});
      continue;
    }
    bool kept_exact = false;
    Tensor coded = detail::encode_tensor(codec, *tensor, kept_exact);
    result.kept_exact += kept_exact ? 1 : 0;
    const bool is_smaller = coded.packed_bytes() < detail::without_repeats(*tensor).packed_bytes();
    result.values.emplace_back(Tuple{{is_smaller, is_smaller ? Value(std::move(coded)) : std::move(value)}});
  }
  return result;
}

std::vector<Value> decode_values(const Codec& codec, std::vector<Value> values, std::size_t max_bytes) {
  std::vector<std::optional<detail::CodedTensor>> coded;
  std::size_t bytes = 0;
  for (Value& value : values) {
    coded.emplace_back();
    if (!opened(value).first) continue;
    detail::own_bytes(value);  // Decoders read some bytes twice.
    const Value& travelled = opened(value).second;
    const auto* tensor = travelled.get_if<Tensor>();
    if (tensor == nullptr) corrupt("an encoded " + describe(travelled) + ", expected a tensor");
    coded.back() = detail::open_coded_tensor(codec, *tensor);
    const Tensor& shape = coded.back()->shape;
    const std::size_t decoded = std::max(shape.span_bytes(), shape.packed_bytes());
    if (decoded > max_bytes - bytes) {
      throw Error(ErrorCode::too_large, "values decode to more than " + std::to_string(max_bytes) + " bytes");
    }
    bytes += decoded;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    Value arrived = coded[i] ? Value(detail::decode_tensor(codec, *coded[i])) : opened(values[i]).second;
    values[i] = std::move(arrived);
  }
  return values;
}

}  // namespace splitnet
