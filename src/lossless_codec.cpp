// SPDX-License-Identifier: Apache-2.0
// Layout: what is left of the inner codec's bytes, and a byte that is 0 when they did not become fewer and stand as
// they are (but shuffled), 1 when they were compressed.
#include "lossless_codec.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "codec_parameters.hpp"
#include "compressor.hpp"
#include "scratch.hpp"
#include "shuffle.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

constexpr std::byte stored{0};
constexpr std::byte compressed{1};

enum class Shuffle { none, byte, bit };

class LosslessCodec final : public Codec {
 public:
  LosslessCodec(std::shared_ptr<const Codec> inner, std::unique_ptr<const Compressor> compressor, Shuffle shuffle,
                std::size_t item_bytes)
      : inner_(std::move(inner)), compressor_(std::move(compressor)), shuffle_(shuffle), item_bytes_(item_bytes) {}

  bool only_inputs() const noexcept override { return inner_->only_inputs(); }
  bool takes(const Tensor& tensor) const noexcept override { return inner_->takes(tensor); }
  std::size_t max_coded_bytes(const Tensor& tensor) const override {
    return std::max(inner_->max_coded_bytes(tensor),
                    compressor_->max_compressed_bytes(inner_->max_coded_bytes(tensor))) +
           1;
  }

  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    const auto room = scratch<std::byte, ScratchUse::coded>(inner_->max_coded_bytes(tensor));
    const EncodedSize inner = inner_->encode(tensor, room);
    const auto bytes = shuffled(room.first(inner.bytes));
    std::size_t size = compressor_->compress(bytes, coded.first(coded.size() - 1));
    std::byte form = compressed;
    if (size == 0 || size >= bytes.size()) {
      if (!bytes.empty()) std::memcpy(coded.data(), bytes.data(), bytes.size());
      size = bytes.size();
      form = stored;
    }
    coded[size] = form;
    return {size + 1, inner.kept_exact};
  }

  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    const std::size_t most = inner_->max_coded_bytes(tensor);
    if (coded.empty() || (coded.back() != stored && coded.back() != compressed)) {
      throw Error(ErrorCode::corrupt, "lossless stage: the last byte is neither 0 nor 1");
    }
    std::span<const std::byte> bytes = coded.first(coded.size() - 1);
    if (coded.back() == compressed) {
      const auto room = scratch<std::byte, ScratchUse::coded>(most);
      bytes = room.first(compressor_->decompress(bytes, room));
    } else if (bytes.size() > most) {
      throw Error(ErrorCode::corrupt, "lossless stage: found " + std::to_string(bytes.size()) + " bytes, at most " +
                                          std::to_string(most) + " are expected");
    }
    inner_->decode(unshuffled(bytes), tensor);
  }

 private:
  [[nodiscard]] std::span<const std::byte> shuffled(std::span<const std::byte> bytes) const {
    if (shuffle_ == Shuffle::none) return bytes;
    const auto to = scratch<std::byte, ScratchUse::shuffled>(bytes.size());
    if (shuffle_ == Shuffle::byte) shuffle_bytes(bytes, item_bytes_, to);
    if (shuffle_ == Shuffle::bit) shuffle_bits(bytes, item_bytes_, to);
    return to;
  }
  [[nodiscard]] std::span<const std::byte> unshuffled(std::span<const std::byte> bytes) const {
    if (shuffle_ == Shuffle::none) return bytes;
    const auto to = scratch<std::byte, ScratchUse::shuffled>(bytes.size());
    if (shuffle_ == Shuffle::byte) unshuffle_bytes(bytes, item_bytes_, to);
    if (shuffle_ == Shuffle::bit) unshuffle_bits(bytes, item_bytes_, to);
    return to;
  }

  const std::shared_ptr<const Codec> inner_;
  const std::unique_ptr<const Compressor> compressor_;
  const Shuffle shuffle_;
  const std::size_t item_bytes_;
};

}  // namespace

MakeCodec with_lossless_stage(std::string codec, MakeCodec make, std::size_t item_bytes) {
  return [codec = std::move(codec), make = std::move(make),
          item_bytes](const std::string& text) -> std::shared_ptr<const Codec> {
    CodecParameters parameters(codec, text);
    const std::string method = parameters.word("lossless", compressor_names(), "");
    const std::string shuffle = parameters.word("shuffle", {"byte", "bit"}, "");
    const int level = parameters.integer("level", 1, 19, 0);
    auto inner = make(parameters.rest());
    if (method.empty()) {
      if (!shuffle.empty() || level != 0)
        parameters.wrong("shuffle and level are of the lossless stage, and lossless= is missing");
      return inner;
    }
    if (method != "zstd" && level != 0) parameters.wrong("level is of lossless=zstd");
    const Shuffle how = shuffle == "byte" ? Shuffle::byte : shuffle == "bit" ? Shuffle::bit : Shuffle::none;
    return std::make_shared<LosslessCodec>(std::move(inner), make_compressor(method, std::max(level, 1)), how,
                                           item_bytes);
  };
}

}  // namespace splitnet::detail
