// SPDX-License-Identifier: Apache-2.0
/// \file
/// The contract of a boundary codec: fewer bytes for the tensors that cross a cut.
#pragma once

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
  /// Whether this tensor can be encoded; others travel as they are.
  [[nodiscard]] virtual bool takes(const Tensor& tensor) const noexcept = 0;
  /// What travels instead of a tensor that it takes.
  [[nodiscard]] virtual Value encode(const Tensor& tensor) const = 0;
  /// The tensor again, with dtype, sizes and strides that it had. Throws corrupt for what `encode` never gives.
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
  /// Replaces one of the same name. Throws invalid_argument: an empty name, one with ':', or "raw".
  void add(std::string name, Factory factory);
  /// In alphabetical order, raw among them.
  [[nodiscard]] std::vector<std::string> names() const;
  /// Nothing for "raw". Throws invalid_argument for an unknown name (naming the known ones) or parameters.
  [[nodiscard]] std::shared_ptr<const Codec> make(const std::string& name) const;

 private:
  std::map<std::string, Factory> factories_;
};

/// What travels for `values` with this codec: for each the tuple (coded?, value). Tensors that share a storage are not
/// encoded, so that they still share it on the other side; tensors inside of containers are not either.
std::vector<Value> encode_values(const Codec& codec, std::vector<Value> values);
/// Back again. Throws corrupt.
std::vector<Value> decode_values(const Codec& codec, std::vector<Value> values);

}  // namespace splitnet
