// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: whatever the bytes of an encoded tensor are, each codec gives a tensor or an Error, and what it
// gave can be encoded and decoded again.
#include <cstring>
#include <span>
#include <vector>

#include "codec_targets.hpp"
#include "fuzz_checks.hpp"
#include "splitnet/error.hpp"

namespace {

using splitnet::testing::require;
using namespace splitnet;  // NOLINT(google-build-using-namespace)

const std::vector<testing::FuzzedCodec>& codecs() {
  static const auto made = testing::fuzzed_codecs();
  return made;
}

Value encoded_value(std::span<const std::byte> bytes) {
  Tensor tensor = Tensor::empty(DType::u8, {static_cast<std::int64_t>(bytes.size())});
  if (!bytes.empty()) std::memcpy(tensor.data(), bytes.data(), bytes.size());
  return Tuple{{true, std::move(tensor)}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Codec& codec = *codecs()[data[0] % codecs().size()].codec;
  constexpr std::size_t max_bytes = std::size_t{1} << 20;
  std::vector<Value> values;
  try {
    values = decode_values(codec, {encoded_value({reinterpret_cast<const std::byte*>(data) + 1, size - 1})}, max_bytes);
  } catch (const Error& error) {
    require(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::too_large,
            "refused with a code that decode_values does not promise");
    return 0;
  }
  const Tensor decoded = values.front().tensor();
  decoded.validate();
  const Tensor again = decode_values(codec, encode_values(codec, {decoded}).values, 4 * max_bytes).front().tensor();
  require(again.sizes == decoded.sizes && again.strides == decoded.strides && again.dtype == decoded.dtype,
          "the shape changed on the second way");
  return 0;
}
