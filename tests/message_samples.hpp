// SPDX-License-Identifier: Apache-2.0
// Messages of every kind and shape, for tests and as seeds of the fuzzer.
#pragma once

#include <chrono>
#include <complex>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/message.hpp"

namespace splitnet::testing {

/// A contiguous tensor with bytes that differ from place to place.
inline Tensor counted_tensor(DType dtype, std::vector<std::int64_t> sizes) {
  Tensor tensor = Tensor::empty(dtype, std::move(sizes));
  for (std::size_t i = 0; i < tensor.packed_bytes(); ++i) {
    tensor.data()[i] = static_cast<std::byte>(dtype == DType::boolean ? i % 2 : (i * 37 + 11) % 256);
  }
  return tensor;
}

/// A view of the bytes of `base`; the offset is in elements from its element 0.
inline Tensor view_of(const Tensor& base, std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides,
                      std::size_t offset = 0) {
  Tensor view = base;
  view.sizes = std::move(sizes);
  view.strides = std::move(strides);
  view.offset_bytes += offset * size_bytes(base.dtype);
  return view;
}

inline Message reply_with(std::vector<Value> values) {
  Message message;
  message.kind = MessageKind::reply;
  message.id = 7;
  message.values = std::move(values);
  return message;
}

inline Message sample_request() {
  Message message;
  message.id = 0x0123456789ABCDEFULL;
  message.time_left = std::chrono::milliseconds(1500);
  message.request = {"net", "a1b2c3", {{{0, 1, 2}, {0, 1, 2, 3, 7, 9}}, 1}};
  message.values = {counted_tensor(DType::f32, {2, 3}), std::int64_t{-5}};
  return message;
}

inline Message sample_prepare() {
  Message message;
  message.request = {"", "a1b2c3", {{{}}, 1}, Operation::prepare};
  return message;
}

inline Message sample_coded() {
  Message message = sample_request();
  message.request.codec = "f16";
  return message;
}

inline Message sample_profile() {
  Message message;
  message.request = {"net", "a1b2c3", {{{}}, 1}, Operation::profile};
  return message;
}

inline Message sample_forwarded() {
  Message message = sample_request();
  message.request.next = {{"tcp://10.0.0.7:7070", "f16"}, {"unix:/run/third", "raw"}};
  return message;
}

inline Message sample_traced() {
  Message message = sample_request();
  message.trace = {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1"};
  return message;
}

inline Message sample_hello() {
  Message message;
  message.kind = MessageKind::hello;
  message.values = {std::string("a-token-of-32-characters-or-so..")};
  return message;
}

inline Message sample_reply() {
  Dict dict;
  dict.items = {{"a", 1.5}, {std::int64_t{2}, true}, {false, None{}}, {0.25, std::string("x")}};
  const Tensor base = counted_tensor(DType::i32, {4, 6});
  Message message = reply_with({
      None{},
      Uninitialized{},
      true,
      std::int64_t{1} << 60,
      std::numeric_limits<double>::quiet_NaN(),
      std::complex<double>(-0.0, std::numeric_limits<double>::infinity()),
      "text",
      dict,
      List{{base, view_of(base, {2, 3}, {6, 1}, 7)}},
      Tuple{{List{}, Tuple{}, Dict{}, counted_tensor(DType::u8, {0, 3})}},
      view_of(counted_tensor(DType::f16, {5, 8}), {5, 2}, {8, 1}, 3),
  });
  message.times_s = {{"queue", 0.001}, {"run", 0.25}};
  return message;
}

inline Message sample_error() {
  return Message::make_error(Error(ErrorCode::overloaded, "busy: try later"));
}

inline Message sample_refusal() {
  return Message::make_error(Error(ErrorCode::overloaded, "busy: try later", 0.25));
}

inline Message sample_cancel() {
  Message message;
  message.kind = MessageKind::cancel;
  message.id = 3;
  return message;
}

inline std::vector<std::pair<std::string, Message>> sample_messages() {
  const Tensor image = counted_tensor(DType::f32, {2, 4, 4, 3});
  return {
      {"request", sample_request()},
      {"prepare", sample_prepare()},
      {"coded", sample_coded()},
      {"profile", sample_profile()},
      {"forwarded", sample_forwarded()},
      {"traced", sample_traced()},
      {"reply", sample_reply()},
      {"error", sample_error()},
      {"refusal", sample_refusal()},
      {"cancel", sample_cancel()},
      {"hello", sample_hello()},
      {"channels_last", reply_with({view_of(image, {2, 3, 4, 4}, {48, 1, 12, 3})})},
      {"expanded", reply_with({view_of(image, {5, 4}, {0, 1}, 2)})},
      {"strided", reply_with({view_of(image, {2, 4}, {48, 12}, 1)})},
      {"nested", reply_with({List{{Tuple{{List{{Dict{{{"k", List{{std::int64_t{1}}}}}}}}}}}}})},
  };
}

/// Everything but the tensors' addresses.
inline bool same_message(const Message& a, const Message& b) {
  if (a.times_s.size() != b.times_s.size() || a.values.size() != b.values.size()) return false;
  for (auto x = a.times_s.begin(), y = b.times_s.begin(); x != a.times_s.end(); ++x, ++y) {
    if (x->first != y->first || std::memcmp(&x->second, &y->second, sizeof(double)) != 0) return false;
  }
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    if (!bit_identical(a.values[i], b.values[i])) return false;
  }
  return a.kind == b.kind && a.id == b.id && a.time_left == b.time_left && a.request == b.request &&
         a.error == b.error && a.error_message == b.error_message && a.retry_after_s == b.retry_after_s &&
         a.trace == b.trace;
}

/// Header and body in one buffer.
inline std::vector<std::byte> encoded_bytes(const Message& message, bool payload_checksum = true,
                                            const MessageLimits& limits = {}) {
  const Storage joined = encode(message, payload_checksum, limits).join();
  return {joined.data(), joined.data() + joined.size_bytes()};
}

}  // namespace splitnet::testing
