// SPDX-License-Identifier: Apache-2.0
/// \file
/// The contract of a boundary codec: fewer bytes for the tensors that cross a cut.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "splitnet/tensor.hpp"
#include "splitnet/value.hpp"

namespace splitnet {

/// What `Codec::encode` wrote.
struct EncodedSize {
  std::size_t bytes = 0;
  /// A lossy codec met numbers that it can't stand for (NaN, infinity, too large) and kept every bit instead.
  bool kept_exact = false;
};

/// Encodes single tensors. Implementations are immutable and safe to use from several threads at once; they may keep
/// scratch memory for each thread, as large as the largest tensor, and take no other memory once that is there.
class Codec {
 public:
  virtual ~Codec() = default;
  /// Meant for the model's inputs: what layers make would be damaged.
  [[nodiscard]] virtual bool only_inputs() const noexcept { return false; }
  /// Whether tensors of this dtype, sizes and strides can be encoded; others travel as they are. The bytes are not
  /// looked at, and may be missing. Tensors that repeat elements (stride 0) or have wide gaps are never offered.
  [[nodiscard]] virtual bool takes(const Tensor& tensor) const noexcept = 0;
  /// The most that `encode` writes for a tensor of this dtype and these sizes, which it takes. Does not look at the
  /// bytes either.
  [[nodiscard]] virtual std::size_t max_coded_bytes(const Tensor& tensor) const = 0;
  /// Writes a tensor that it takes to the start of `coded`, which has at least max_coded_bytes(tensor) and begins at a
  /// multiple of tensor_alignment_bytes.
  virtual EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const = 0;
  /// Fills `tensor`, which has the dtype, sizes and strides of the one that was encoded, and memory of its own; bytes
  /// in gaps stay as they are. `coded` begins as for encode. Never reads or writes elsewhere. Throws corrupt for bytes
  /// that `encode` never gives for such a tensor; its elements may then be anything.
  virtual void decode(std::span<const std::byte> coded, Tensor& tensor) const = 0;

 protected:
  Codec() = default;
  Codec(const Codec&) = default;
  Codec& operator=(const Codec&) = default;
};

/// What calibration learned for a codec: bytes that only the codec understands. They travel once, when a stage is
/// prepared; the codec's name holds their digest, so that it says which ones are meant.
using CodecTables = std::shared_ptr<const std::string>;

/// Names of codecs and what makes them. Plans and messages carry the name, `NAME` or `NAME:KEY=VALUE;…`:
///   raw       nothing is encoded
///   f32       every bit is kept; for a lossless stage (below)
///   f16       IEEE half precision, rounded to nearest, ties to even
///   bf16      the upper half of an f32, rounded in the same way
///   int8, int7 … int2
///             affine integers of so many bits; `per=tensor` (one range for all, the default) or `per=channel`
///   u8        pictures: an f32 tensor […, channels, height, width] of (p / 255 − mean) / std is sent as the bytes p,
///             rounded and clamped to 0 … 255; `mean=M,…` and `std=S,…`, one for each channel, or one for all
///   jpeg, webp
///             pictures likewise, of one (jpeg only) or three channels, compressed: mean and std as for u8, `quality=N`
///             of 1 … 100 (85), and of jpeg `subsampling=444` (the default), 422 or 420
///   transform calibrated for one boundary: `tables=DIGEST`, `coarseness=N` (steps of the quantiser in eighths of
///   octaves,
///             −64 … 64, by default 0)
/// All but raw, jpeg, webp and transform take a lossless stage behind them: `lossless=lz4` or `lossless=zstd`, with
/// `level=N` of zstd (1) and `shuffle=byte` or `shuffle=bit` before it, which puts together what means the same in
/// different elements.
///
/// A plain object, as TransportRegistry: adding is not thread-safe, the rest is.
class CodecRegistry {
 public:
  /// From the parameters behind ':' (empty without) and the tables, if there are any. Throws invalid_argument for other
  /// parameters than it knows, corrupt or incompatible for tables that are none of its own or are missing.
  using Factory = std::function<std::shared_ptr<const Codec>(const std::string& parameters, const CodecTables& tables)>;

  CodecRegistry() = default;
  /// With every codec that this build of the library has.
  static CodecRegistry with_defaults();
  /// Replaces one of the same name. Throws invalid_argument: an empty name, one with ':', "raw", or an empty factory.
  void add(std::string name, Factory factory);
  /// In alphabetical order, raw among them.
  [[nodiscard]] std::vector<std::string> names() const;
  /// Nothing for "raw". Throws invalid_argument for an unknown name (naming the known ones) or parameters, internal
  /// when the factory gives nothing, and what the factory throws.
  [[nodiscard]] std::shared_ptr<const Codec> make(const std::string& name, const CodecTables& tables = nullptr) const;

 private:
  std::map<std::string, Factory> factories_;
};

/// Values on their way through a codec.
struct EncodedValues {
  /// For each value the tuple (encoded?, value). Of an encoded tensor the value is one of u8: what the codec wrote, and
  /// behind it dtype, sizes and strides (docs/wire_format.md).
  std::vector<Value> values;
  /// Tensors of which a lossy codec kept every bit, for they held NaN, infinity or the like.
  std::size_t kept_exact = 0;
};

/// Encodes every tensor that the codec takes. Tensors that share a storage are not encoded, so that they still share
/// it on the other side; tensors inside of containers are not either.
EncodedValues encode_values(const Codec& codec, std::vector<Value> values);
/// Back again. Throws corrupt for what `encode_values` never gives, and too_large when decoded tensors would take more
/// than `max_bytes` altogether, both before memory is taken for them.
std::vector<Value> decode_values(const Codec& codec, std::vector<Value> values,
                                 std::size_t max_bytes = std::size_t{1} << 30);

}  // namespace splitnet
