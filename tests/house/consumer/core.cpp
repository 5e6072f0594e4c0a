// SPDX-License-Identifier: Apache-2.0
#include <splitnet/core.hpp>

#include <cstdio>

int main() {
  splitnet::Message message;
  message.values.emplace_back(splitnet::Tensor::empty(splitnet::DType::f32, {1, 3}));
  const auto bytes = splitnet::encode(message).join();
  const auto back = splitnet::decode({bytes.data(), bytes.size_bytes()});
  const bool same = bit_identical(back.values.at(0), message.values.at(0));
  std::printf("core: %s, %zu transports\n", same ? "round trip" : "DAMAGED",
              splitnet::TransportRegistry::with_defaults().schemes().size());
  return same ? 0 : 1;
}
