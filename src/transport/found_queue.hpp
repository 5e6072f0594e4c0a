// SPDX-License-Identifier: Apache-2.0
// A queue as both ends of sqs: look for it before they begin. Private.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "aws/sqs_client.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

struct FoundQueue {
  std::string url;
  std::size_t max_message_bytes = 0;
};

/// Waits for SQS. `limits`: called before each question, SqsLimits in what time is left. Throws what SQS says; and
/// invalid_argument: not even an error would fit into a message.
template <class Limits>
FoundQueue find_queue(SqsClient& client, const std::string& queue, const Limits& limits) {
  constexpr std::size_t least = 4096;
  FoundQueue found;
  found.url = SqsClient::wait_for<std::string>([&](auto done) { client.find(queue, limits(), std::move(done)); });
  found.max_message_bytes = SqsClient::wait_for<std::size_t>(
      [&](auto done) { client.max_message_bytes(found.url, limits(), std::move(done)); });
  if (found.max_message_bytes >= least) return found;
  throw Error(ErrorCode::invalid_argument, "a message of '" + queue + "' may have " +
                                               std::to_string(found.max_message_bytes) +
                                               " bytes (MaximumMessageSize), expected 4096 or more");
}

}  // namespace splitnet::detail
