// SPDX-License-Identifier: Apache-2.0
// Messages of a queue of Amazon SQS, as they are sent and received.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/json.hpp"

namespace splitnet::detail {

struct SqsAttribute {
  std::string name;
  std::string value;
};

struct SqsMessage {
  std::string id = {};       ///< SQS's own: the same each time that it is received.
  std::string receipt = {};  ///< Of this time.
  std::string body;
  std::vector<SqsAttribute> attributes = {};  ///< Those that are text.
  std::size_t deliveries = 1;                 ///< How often it was received, with this time.
  std::chrono::milliseconds age{0};           ///< From when it was sent, by SQS's own clock.

  /// Empty: there is none.
  [[nodiscard]] std::string_view attribute(std::string_view name) const;
  /// What SQS counts against the queue's MaximumMessageSize.
  [[nodiscard]] std::size_t size_bytes() const;
};

/// The members of an entry of SendMessageBatch, without its Id.
std::string members_to_send(const SqsMessage& message);

/// How a message is spelled: by the service, or in an event of Lambda.
enum class SqsSpelling { of_service, of_lambda };

/// The message at `pointer`. `now`: since the epoch, by the service's clock or one like it, to the second; the age of
/// a message that was received before has no other measure.
SqsMessage read_sqs_message(const JsonObject& document, const std::string& pointer, SqsSpelling spelling,
                            std::optional<std::chrono::milliseconds> now);
/// Those of an answer to ReceiveMessage.
std::vector<SqsMessage> read_sqs_messages(const JsonObject& document, std::optional<std::chrono::milliseconds> now);

}  // namespace splitnet::detail
