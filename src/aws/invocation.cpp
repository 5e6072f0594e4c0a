// SPDX-License-Identifier: Apache-2.0
#include "aws/invocation.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "aws/json.hpp"
#include "splitnet/error.hpp"
#include "transport/wrong_answer.hpp"

namespace splitnet::detail {
namespace {

constexpr std::string_view kBegin = R"({"splitnet":")";
constexpr std::string_view kBeginAt = R"({"splitnet_at":)";
constexpr std::string_view kEnd = R"("})";

Storage message_bytes(std::string_view base64, BufferPool& pool) {
  if (auto bytes = decode_base64(base64, pool)) return *std::move(bytes);
  throw Error(ErrorCode::corrupt, "invocation: 'splitnet' is not base64");
}

}  // namespace

std::size_t invocation_size(const EncodedMessage& message) noexcept {
  return kBegin.size() + base64_size(message.size_bytes) + kEnd.size();
}

std::string invocation_of(const EncodedMessage& message, std::string text) {
  text.resize(invocation_size(message));  // What it has of a former one need not be set to zero.
  char* const base64 = std::copy(kBegin.begin(), kBegin.end(), text.data());
  write_base64(base64, message);
  std::copy(kEnd.begin(), kEnd.end(), base64 + base64_size(message.size_bytes));
  return text;
}

std::string invocation_at(const std::string& url) {
  return std::string(kBeginAt) + json_text(url) + "}";
}

std::variant<Storage, std::string> read_invocation(std::string_view text, BufferPool& pool) {
  // As it is written here; whoever else writes it may do so as JSON allows.
  if (text.size() >= kBegin.size() + kEnd.size() && text.starts_with(kBegin) && text.ends_with(kEnd)) {
    const auto inner = text.substr(kBegin.size(), text.size() - kBegin.size() - kEnd.size());
    if (auto bytes = decode_base64(inner, pool)) return *std::move(bytes);
  }
  const JsonObject document{std::string(text)};
  if (const auto base64 = document.text("splitnet")) return message_bytes(*base64, pool);
  if (const auto url = document.text("splitnet_at")) return std::string(*url);
  throw Error(ErrorCode::corrupt, "invocation: " + std::to_string(text.size()) +
                                      " bytes that are no JSON object with 'splitnet' or 'splitnet_at'");
}

Message decode_whole(const Storage& bytes, const MessageLimits& limits) {
  if (bytes.size_bytes() < message_header_bytes) {
    throw Error(ErrorCode::corrupt, "invocation: " + std::to_string(bytes.size_bytes()) +
                                        " bytes are no message, which has " + std::to_string(message_header_bytes) +
                                        " at least");
  }
  const std::span<const std::byte, message_header_bytes> header(bytes.data(), message_header_bytes);
  const auto expected = message_header_bytes + decode_header(header, limits).body_bytes();
  if (bytes.size_bytes() != expected) {
    throw Error(ErrorCode::corrupt, "invocation: " + std::to_string(bytes.size_bytes()) + " bytes with a message of " +
                                        std::to_string(expected));
  }
  return decode(header, bytes.slice(message_header_bytes, expected - message_header_bytes), limits);
}

CallResult answer_in(const Storage& bytes, const MessageLimits& limits, std::uint64_t id, const std::string& endpoint) {
  Message message = decode_whole(bytes, limits);
  if (auto wrong = wrong_answer(message, id, endpoint)) return *std::move(wrong);
  return message;
}

std::string joined(const EncodedMessage& message) {
  std::string bytes;
  bytes.reserve(message.size_bytes);
  for (const auto& buffer : message.buffers) bytes.append(reinterpret_cast<const char*>(buffer.data()), buffer.size());
  return bytes;
}

Storage stored(std::string_view bytes, BufferPool& pool) {
  Storage copy = pool.take(bytes.size());
  std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

}  // namespace splitnet::detail
