// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: whatever a function of AWS Lambda is sent, or answers, and whatever SQS answers to ReceiveMessage,
// gives messages or an Error. The first byte: 0 the text of an event or an answer; else a message, whose checksums are
// set right, in an event of its kind (1 direct, 2 and 3 in a proxy event of that version less one).
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "aws/base64.hpp"
#include "aws/invocation.hpp"
#include "aws/json.hpp"
#include "aws/sqs_message.hpp"
#include "fuzz_checks.hpp"
#include "message_wire.hpp"
#include "transport/message_store.hpp"
#include "transport/proxy_event.hpp"

namespace {

using splitnet::testing::require;
using splitnet::testing::small_limits;
using namespace splitnet;  // NOLINT(google-build-using-namespace)

std::shared_ptr<detail::BufferPool> pool() {
  static const auto one = std::make_shared<detail::BufferPool>(1 << 20);
  return one;
}

const ObjectStore& store() {
  static const auto one = ObjectStore::open("s3://bodies/some/prefix", {.region = "eu-central-1"});
  return *one;
}

void require_promised(const Error& error) {
  require(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::too_large ||
              error.code() == ErrorCode::incompatible,
          "refused with a code that is not promised");
}

template <class Read>
void refuses_with_an_error(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    require_promised(error);
  }
}

void check_reference(const std::string& url) {
  for (const auto folder : {detail::requests_folder, detail::replies_folder}) {
    const auto key = detail::referred_key(&store(), url, folder);
    if (!key) continue;
    require(url == "s3://bodies/some/prefix/" + *key, "another object than it says");
    require(key->starts_with(folder) && detail::is_random_name(std::string_view(*key).substr(folder.size())),
            "an object that is no body under way");
  }
}

/// As SqsEvents and SqsClient read them.
void check_queued(const std::string& text) {
  using namespace std::chrono;  // NOLINT(google-build-using-namespace)
  constexpr milliseconds now = sys_days(2026y / November / 28).time_since_epoch();
  const detail::JsonObject document(text);
  auto messages = detail::read_sqs_messages(document, now);
  for (std::size_t i = 0; i < document.size("Records"); ++i) {
    const std::string record = "Records/" + std::to_string(i);
    messages.push_back(detail::read_sqs_message(document, record, detail::SqsSpelling::of_lambda, now));
  }
  for (const auto& message : messages) {
    require(message.deliveries > 0, "a message that nobody has received");
    require(message.age >= 0ms && message.age <= days(15), "an age that no message has");
    const detail::JsonObject sent("{" + detail::members_to_send(message) + "}");
    require(sent.text("MessageBody").has_value(), "what can't be sent on, to the dead-letter queue say");
  }
}

/// As LambdaRuntimeLoop and LambdaCaller read it.
void check_event(const std::string& text) {
  refuses_with_an_error([&] {
    const auto proxied = detail::read_proxy_event(detail::JsonObject(text), *pool());
    if (!proxied) return;
    require(!proxied->method.empty(), "a proxy event without a method");
    (void)detail::decode_whole(proxied->body, small_limits());
  });
  refuses_with_an_error([&] {
    const auto content = detail::read_invocation(text, *pool());
    if (const auto* const url = std::get_if<std::string>(&content)) return check_reference(*url);
    (void)detail::decode_whole(std::get<Storage>(content), small_limits());
  });
}

std::vector<std::byte> with_checksums(std::span<const std::byte> bytes) {
  std::vector<std::byte> message(bytes.begin(), bytes.end());
  if (message.size() >= message_header_bytes) detail::repair_header(message);
  return message;
}

std::string proxy_event(int version, const std::string& base64) {
  const std::string rest = R"(,"isBase64Encoded":true,"body":")" + base64 + "\"}";
  if (version == 1) return R"({"httpMethod":"POST","headers":{"Authorization":"x"})" + rest;
  return R"({"requestContext":{"http":{"method":"POST","sourceIp":"::1"}},"headers":{"authorization":"x"})" + rest;
}

/// The bytes come out of the event as they went in, so what is read of them is what any transport reads.
void check_message(int kind, std::span<const std::byte> bytes) {
  const EncodedMessage message{{bytes}, bytes.size(), {}};
  std::string base64(detail::base64_size(bytes.size()), '\0');
  detail::write_base64(base64.data(), message);
  const std::string text = kind == 1 ? detail::invocation_of(message) : proxy_event(kind - 1, base64);
  std::optional<Storage> read;
  if (kind == 1) {
    read = std::get<Storage>(detail::read_invocation(text, *pool()));
  } else {
    read = detail::read_proxy_event(detail::JsonObject(text), *pool()).value().body;
  }
  require(std::equal(bytes.begin(), bytes.end(), read->data(), read->data() + read->size_bytes()), "other bytes");
  check_event(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  if (data[0] == 0 || data[0] > 3) {
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    check_event(text);
    check_queued(text);
    return 0;
  }
  check_message(data[0], with_checksums(bytes));
  return 0;
}
