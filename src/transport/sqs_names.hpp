// SPDX-License-Identifier: Apache-2.0
// Names of queues, and what messages on them are marked with. Private.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace splitnet::detail {

/// Attributes of a request: 32 hexadecimal digits that no other call has, which its answer and objects in the store
/// have too; and what follows reply_prefix in the name of the queue that waits for the answer.
inline constexpr const char* request_attribute = "request";
inline constexpr const char* reply_attribute = "reply";
/// Of a dead-lettered one besides: why, and how often it was delivered.
inline constexpr const char* reason_attribute = "reason";
inline constexpr const char* deliveries_attribute = "deliveries";

/// Hexadecimal digits behind reply_prefix that a connection gives its own queue.
inline constexpr std::size_t random_suffix_size = 16;

/// What the attributes of a dead-lettered message may take, which a request leaves free.
inline constexpr std::size_t dead_letter_room_bytes = 2048;
inline constexpr std::size_t longest_reason = 1000;

/// Of body and attributes of a request or an answer, on a queue whose messages have so many at most.
inline std::size_t room_in_message(std::size_t max_message_bytes) {
  return max_message_bytes - std::min(max_message_bytes / 2, dead_letter_room_bytes);
}

/// Of a standard queue.
inline bool is_queue_name(std::string_view name) {
  constexpr std::string_view may_have = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
  constexpr std::size_t longest = 80;
  return !name.empty() && name.size() <= longest && name.find_first_not_of(may_have) == std::string_view::npos;
}

inline std::string reply_prefix(const std::string& queue) {
  return queue + "-replies-";
}

/// Where no other name is given.
inline std::string dead_letter_queue_of(const std::string& queue) {
  return queue + "-dead";
}

/// Of another queue of the same account and region, whether it is there or not: only the name differs.
inline std::string url_beside(const std::string& url, const std::string& queue) {
  return url.substr(0, url.rfind('/') + 1) + queue;
}

/// None: it would not be the name of a queue.
inline std::optional<std::string> reply_queue_of(const std::string& queue, std::string_view suffix) {
  const std::string name = reply_prefix(queue) + std::string(suffix);
  return !suffix.empty() && is_queue_name(name) ? std::optional<std::string>(name) : std::nullopt;
}

}  // namespace splitnet::detail
