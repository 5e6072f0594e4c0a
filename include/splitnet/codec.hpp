// SPDX-License-Identifier: Apache-2.0
/// \file
/// The contract of a boundary codec: fewer bytes for the tensors that cross a cut.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "splitnet/tensor.hpp"
#include "splitnet/value.hpp"

namespace splitnet {

/// Encodes single tensors. Implementations are immutable and safe to use from several threads at once.
class Codec {
 public:
  virtual ~Codec() = default;
  /// Meant for the model's inputs: what layers make would be damaged.
  [[nodiscard]] virtual bool only_inputs() const noexcept { return false; }
  /// Whether this tensor can be encoded; others travel as they are.
  [[nodiscard]] virtual bool takes(const Tensor& tensor) const noexcept = 0;
  /// What travels instead of a tensor that it takes.
  [[nodiscard]] virtual Value encode(const Tensor& tensor) const = 0;
  /// What decoding this takes, in bytes, without decoding it. Throws corrupt for what `encode` never gives.
  [[nodiscard]] virtual std::size_t decoded_bytes(const Value& coded) const = 0;
  /// The tensor again, with dtype, sizes and strides that it had. Throws as decoded_bytes.
  [[nodiscard]] virtual Tensor decode(const Value& coded) const = 0;

 protected:
  Codec() = default;
  Codec(const Codec&) = default;
  Codec& operator=(const Codec&) = default;
};

/// Names of codecs and what makes them. Plans and messages carry the name, `NAME` or `NAME:PARAMETERS`:
///   raw                     nothing is encoded
///   f16                     IEEE half precision, rounded to nearest, ties to even; beyond 65504 infinity
///   u8:mean=M,…;std=S,…     pictures: an f32 tensor […, channels, height, width] of (p / 255 − mean) / std is sent as
///   the
///                           bytes p, rounded and clamped to 0 … 255; one mean and std for each channel, or one for all
/// A plain object, as TransportRegistry: adding is not thread-safe, the rest is.
class CodecRegistry {
 public:
  /// From the parameters behind ':' (empty without). Throws invalid_argument for others than it knows.
  using Factory = std::function<std::shared_ptr<const Codec>(const std::string& parameters)>;

  CodecRegistry() = default;
  /// With every codec that this build of the library has.
  static CodecRegistry with_defaults();
  /// Replaces one of the same name. Throws invalid_argument: an empty name, one with ':', "raw", or an empty factory.
  void add(std::string name, Factory factory);
  /// In alphabetical order, raw among them.
  [[nodiscard]] std::vector<std::string> names() const;
  /// Nothing for "raw". Throws invalid_argument for an unknown name (naming the known ones) or parameters, internal
  /// when the factory gives nothing.
  [[nodiscard]] std::shared_ptr<const Codec> make(const std::string& name) const;

 private:
  std::map<std::string, Factory> factories_;
};

/// What travels for `values` with this codec: for each the tuple (coded?, value). Tensors that share a storage are not
/// encoded, so that they still share it on the other side; tensors inside of containers are not either.
std::vector<Value> encode_values(const Codec& codec, std::vector<Value> values);
/// Back again. Throws corrupt for what `encode_values` never gives (other values; encoded tensors that share a
/// storage), before memory is taken, and too_large when decoded tensors would take more than `max_bytes` altogether.
std::vector<Value> decode_values(const Codec& codec, std::vector<Value> values,
                                 std::size_t max_bytes = std::size_t{1} << 30);

}  // namespace splitnet
