// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: whatever the bytes are, decode gives a message or an Error, and a message that was
// decoded can be sent again and arrives the same.
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "../message_samples.hpp"
#include "fuzz_checks.hpp"
#include "message_wire.hpp"
#include "splitnet/message.hpp"

namespace {

using splitnet::testing::require;
using splitnet::testing::small_limits;

/// Nothing when the bytes are refused.
std::optional<splitnet::Message> try_decode(std::span<const std::byte> bytes) {
  try {
    return splitnet::decode(bytes, small_limits());
  } catch (const splitnet::Error& error) {
    require(error.code() == splitnet::ErrorCode::corrupt || error.code() == splitnet::ErrorCode::too_large ||
                error.code() == splitnet::ErrorCode::incompatible,
            "refused with a code that decode does not promise");
    return std::nullopt;
  }
}

void check(std::span<const std::byte> bytes) {
  const auto message = try_decode(bytes);
  if (!message) return;
  for (const auto& value : message->values) {
    splitnet::for_each_tensor(value, [](const splitnet::Tensor& tensor) { tensor.validate(); });
  }
  // Another writer's storages may be laid out less well, so only the limits on size may grow.
  auto limits = small_limits();
  limits.max_message_bytes *= 8;
  limits.max_metadata_bytes *= 8;
  const auto again = splitnet::encode(*message, true, limits).join();
  const auto arrived = splitnet::decode(std::span<const std::byte>(again.data(), again.size_bytes()), limits);
  require(splitnet::testing::same_message(*message, arrived), "a message changed on its second way");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* first = reinterpret_cast<const std::byte*>(data);
  check({first, size});
  if (size < splitnet::message_header_bytes) return 0;
  // The checksums would stop nearly everything: the same bytes once more with fitting ones.
  std::vector<std::byte> repaired(first, first + size);
  splitnet::detail::repair_header(repaired);
  check(repaired);
  return 0;
}
