// SPDX-License-Identifier: Apache-2.0
// Layout: what the codec wrote; the shape; a byte with the length of the shape. The shape is dtype (1 byte; 128 is
// added when strides follow), rank (1 byte), sizes, and strides unless the tensor is contiguous, all as unsigned
// LEB128.
#include "coded_tensor.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

constexpr std::size_t max_rank = 8;
constexpr unsigned has_strides = 128;
constexpr std::size_t max_number_bytes = 9;  // 63 bits.
constexpr std::size_t max_shape_bytes = 2 + 2 * max_number_bytes * max_rank;
static_assert(max_shape_bytes < 256);

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "encoded tensor: " + what);
}

std::byte* write_number(std::byte* at, std::int64_t number) {
  auto rest = static_cast<std::uint64_t>(number);
  for (; rest >= 128; rest >>= 7U) *at++ = static_cast<std::byte>(rest | 128U);
  *at++ = static_cast<std::byte>(rest);
  return at;
}

class ShapeReader {
 public:
  explicit ShapeReader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  unsigned byte() {
    if (bytes_.empty()) corrupt("its shape ends early");
    const auto first = std::to_integer<unsigned>(bytes_.front());
    bytes_ = bytes_.subspan(1);
    return first;
  }
  std::int64_t number() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < max_number_bytes; ++i) {
      const unsigned next = byte();
      value |= static_cast<std::uint64_t>(next & 127U) << (7 * i);
      if (next < 128) return static_cast<std::int64_t>(value);
    }
    corrupt("a size or stride of more than 63 bits");
  }
  void finish() const {
    if (!bytes_.empty()) corrupt(std::to_string(bytes_.size()) + " bytes behind its shape");
  }

 private:
  std::span<const std::byte> bytes_;
};

std::byte* write_shape(std::byte* at, const Tensor& tensor) {
  const bool dense = tensor.strides == contiguous_strides(tensor.sizes);
  *at++ = static_cast<std::byte>(static_cast<unsigned>(tensor.dtype) | (dense ? 0U : has_strides));
  *at++ = static_cast<std::byte>(tensor.sizes.size());
  for (const auto size : tensor.sizes) at = write_number(at, size);
  if (dense) return at;
  for (const auto stride : tensor.strides) at = write_number(at, stride);
  return at;
}

/// Without memory. Throws corrupt.
Tensor shape_in(std::span<const std::byte> bytes) {
  ShapeReader reader(bytes);
  const unsigned kind = reader.byte();
  const unsigned dtype = kind & ~has_strides;
  const std::size_t rank = reader.byte();
  if (!is_dtype(dtype)) corrupt("dtype " + std::to_string(dtype) + " is none");
  if (rank > max_rank) corrupt(std::to_string(rank) + " dimensions, at most " + std::to_string(max_rank));
  Tensor shape{{}, static_cast<DType>(dtype), {}, {}, 0};
  for (std::size_t i = 0; i < rank; ++i) shape.sizes.push_back(reader.number());
  if ((kind & has_strides) == 0) shape.strides = contiguous_strides(shape.sizes);
  while (shape.strides.size() < rank) shape.strides.push_back(reader.number());
  reader.finish();
  try {
    // As if the memory were there: what sizes and strides reach is compared in checked arithmetic.
    shape.storage = Storage::adopt(nullptr, PTRDIFF_MAX, nullptr);
    shape.validate();
  } catch (const Error& error) {
    corrupt(error.what());
  }
  shape.storage = {};
  return shape;
}

}  // namespace

bool is_codable(const Tensor& tensor) {
  constexpr std::size_t most_gaps = 4;
  const std::size_t packed = tensor.packed_bytes();
  const std::size_t span = tensor.span_bytes();
  return tensor.sizes.size() <= max_rank && packed <= span && span / most_gaps <= packed;
}

Tensor without_repeats(Tensor tensor) {
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    if (tensor.strides[i] == 0) tensor.sizes[i] = std::min<std::int64_t>(tensor.sizes[i], 1);
  }
  return tensor;
}

Tensor encode_tensor(const Codec& codec, const Tensor& tensor, bool& kept_exact) {
  const Tensor elements = without_repeats(tensor);
  const std::size_t most = codec.max_coded_bytes(elements);
  Tensor coded = room_for_coded(most);
  const EncodedSize written = codec.encode(elements, {coded.data(), most});
  kept_exact = written.kept_exact;
  close_coded(coded, written.bytes, tensor);
  return coded;
}

Tensor room_for_coded(std::size_t max_bytes) {
  return Tensor::empty(DType::u8, {static_cast<std::int64_t>(max_bytes + max_shape_bytes + 1)});
}

void close_coded(Tensor& coded, std::size_t written_bytes, const Tensor& shape) {
  std::byte* const begin = coded.data() + written_bytes;
  std::byte* const end = write_shape(begin, shape);
  *end = static_cast<std::byte>(end - begin);
  coded.sizes = {end + 1 - coded.data()};
}

CodedTensor open_coded_tensor(const Codec& codec, const Tensor& coded) {
  if (coded.dtype != DType::u8 || coded.sizes.size() != 1 || !coded.is_contiguous() || coded.sizes[0] == 0) {
    corrupt("found a " + describe(coded) + ", expected bytes");
  }
  const std::span<const std::byte> bytes{coded.data(), coded.packed_bytes()};
  const auto shape_bytes = std::to_integer<std::size_t>(bytes.back());
  if (shape_bytes >= bytes.size()) corrupt("its shape is longer than all of it");
  CodedTensor result{shape_in(bytes.last(shape_bytes + 1).first(shape_bytes)),
                     bytes.first(bytes.size() - 1 - shape_bytes)};
  const Tensor elements = without_repeats(result.shape);
  if (!is_codable(elements) || !codec.takes(elements)) {
    corrupt("found a " + describe(result.shape) + ", which the codec does not take");
  }
  return result;
}

Tensor decode_tensor(const Codec& codec, const CodedTensor& coded) {
  Tensor tensor = coded.shape;
  tensor.storage = Storage::allocate(tensor.span_bytes());
  Tensor elements = without_repeats(tensor);
  if (elements.packed_bytes() < elements.span_bytes()) {
    std::fill_n(tensor.storage.data(), tensor.storage.size_bytes(), std::byte{0});
  }
  codec.decode(coded.bytes, elements);
  return tensor;
}

}  // namespace splitnet::detail
