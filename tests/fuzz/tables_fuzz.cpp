// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: whatever the bytes of a calibrated codec's tables are, they are refused or give a codec that keeps
// within its buffers.
#include <vector>

#include "../transform_samples.hpp"
#include "fuzz_checks.hpp"
#include "splitnet/error.hpp"
#include "transform_codec.hpp"

namespace {

using splitnet::testing::require;
using namespace splitnet;  // NOLINT(google-build-using-namespace)

/// Extremes, so that sums overflow where they can.
Tensor tensor_for(const detail::TransformTables& tables) {
  std::vector<std::int64_t> sizes{1, tables.channels};
  if (tables.kind == detail::BoundaryKind::maps) sizes.insert(sizes.end(), {tables.height, tables.width});
  Tensor tensor = Tensor::empty(DType::f32, sizes);
  auto* const items = reinterpret_cast<float*>(tensor.data());
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) items[i] = i % 3 == 0 ? -1e30F : 1e30F;
  return tensor;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<detail::TransformTables> tables;
  try {
    tables = detail::tables_from_bytes({reinterpret_cast<const std::byte*>(data), size});
  } catch (const Error& error) {
    require(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::incompatible,
            "refused with a code that tables_from_bytes does not promise");
    return 0;
  }
  for (const detail::TransformTables& one : tables) {
    const auto codec = detail::make_transform_codec({one}, data[size - 1] % 129 - 64);
    const Tensor tensor = tensor_for(one);
    require(codec->takes(tensor), "tables that take no tensor");
    (void)decode_values(*codec, encode_values(*codec, {tensor}).values);
  }
  return 0;
}
