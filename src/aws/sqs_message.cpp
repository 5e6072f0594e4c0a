// SPDX-License-Identifier: Apache-2.0
#include "aws/sqs_message.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace splitnet::detail {
namespace {

constexpr std::string_view kType = "String";

struct Names {
  const char* id;
  const char* receipt;
  const char* body;
  const char* attributes;          // Of the service.
  const char* message_attributes;  // Of the sender.
  const char* value;
};
constexpr Names kOfService = {"MessageId", "ReceiptHandle", "Body", "Attributes", "MessageAttributes", "StringValue"};
constexpr Names kOfLambda = {"messageId", "receiptHandle", "body", "attributes", "messageAttributes", "stringValue"};

std::int64_t number_of(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failed == std::errc() && end == text.data() + text.size() && number > 0 ? number : 0;
}

/// Both in milliseconds since the epoch. Waiting before the first delivery is known to the millisecond.
std::chrono::milliseconds age_of(std::int64_t sent, std::int64_t first_received, std::size_t deliveries,
                                 std::optional<std::chrono::milliseconds> now) {
  if (sent == 0) return std::chrono::milliseconds(0);
  std::int64_t until = first_received;
  if (deliveries > 1 && now) {
    until = std::max<std::int64_t>(until, now->count());
  }
  constexpr std::chrono::milliseconds longest = std::chrono::days(15);  // SQS keeps no message for so long.
  if (until <= sent) return std::chrono::milliseconds(0);
  return std::min(longest, std::chrono::milliseconds(until - sent));  // Both are above 0.
}

}  // namespace

std::string_view SqsMessage::attribute(std::string_view name) const {
  const auto found =
      std::find_if(attributes.begin(), attributes.end(), [&](const SqsAttribute& one) { return one.name == name; });
  return found == attributes.end() ? std::string_view() : std::string_view(found->value);
}

std::size_t SqsMessage::size_bytes() const {
  std::size_t bytes = body.size();
  for (const auto& [name, value] : attributes) bytes += name.size() + kType.size() + value.size();
  return bytes;
}

std::string members_to_send(const SqsMessage& message) {
  std::string members = R"("MessageBody":)" + json_text(message.body) + R"(,"MessageAttributes":{)";
  const char* separator = "";
  for (const auto& [name, value] : message.attributes) {
    members += separator + json_text(name) + R"(:{"DataType":"String","StringValue":)" + json_text(value) + "}";
    separator = ",";
  }
  return members + "}";
}

SqsMessage read_sqs_message(const JsonObject& document, const std::string& pointer, SqsSpelling spelling,
                            std::optional<std::chrono::milliseconds> now) {
  const Names& names = spelling == SqsSpelling::of_service ? kOfService : kOfLambda;
  const auto text = [&](const std::string& member) { return document.text(pointer + "/" + member).value_or(""); };
  SqsMessage message{.id = std::string(text(names.id)),
                     .receipt = std::string(text(names.receipt)),
                     .body = std::string(text(names.body))};
  for (const std::string& name : document.names(pointer + "/" + names.message_attributes)) {
    const auto value = document.text(pointer + "/" + names.message_attributes + "/" + name + "/" + names.value);
    if (value && !value->empty()) message.attributes.push_back({name, std::string(*value)});
  }
  const std::string own = std::string(names.attributes) + "/";
  message.deliveries =
      static_cast<std::size_t>(std::max<std::int64_t>(1, number_of(text(own + "ApproximateReceiveCount"))));
  message.age = age_of(number_of(text(own + "SentTimestamp")),
                       number_of(text(own + "ApproximateFirstReceiveTimestamp")), message.deliveries, now);
  return message;
}

std::vector<SqsMessage> read_sqs_messages(const JsonObject& document, std::optional<std::chrono::milliseconds> now) {
  std::vector<SqsMessage> messages;
  for (std::size_t i = 0; i < document.size("Messages"); ++i) {
    messages.push_back(read_sqs_message(document, "Messages/" + std::to_string(i), SqsSpelling::of_service, now));
  }
  return messages;
}

}  // namespace splitnet::detail
