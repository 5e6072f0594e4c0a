// SPDX-License-Identifier: Apache-2.0
#include "aws/sqs_client.hpp"

#include <charconv>
#include <exception>
#include <utility>

#include "aws/service_error.hpp"
#include "aws/thrown_error.hpp"
#include "aws/timestamp.hpp"
#include "transport/on_context.hpp"

namespace splitnet::detail {
namespace {

/// Beyond what a poll waits, for its answer to come.
constexpr auto kAnswerTime = std::chrono::seconds(15);

std::string url_member(const std::string& url) {
  return R"("QueueUrl":)" + json_text(url);
}

/// Of a proxy, say, that answers for SQS.
[[noreturn]] void throw_no_answer() {
  throw Error(ErrorCode::unavailable, "the answer is not one of SQS: is there something between it and this machine?");
}

/// A list may be left out where it would be empty; an answer is an object all the same.
void require_object(std::string_view body) {
  const auto first = body.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || body[first] != '{') throw_no_answer();
}

std::string url_of(const HttpReply& reply) {
  const JsonObject document(reply.body);
  std::string url(document.text("QueueUrl").value_or(""));
  if (url.empty()) throw_no_answer();
  return url;
}

std::size_t size_of(const HttpReply& reply) {
  const JsonObject document(reply.body);
  const auto text = document.text("Attributes/MaximumMessageSize").value_or("");
  std::size_t bytes = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (failed == std::errc() && bytes > 0) return bytes;
  throw Error(ErrorCode::unavailable, "SQS does not say how large a message of the queue may be");
}

std::vector<SqsMessage> messages_of(HttpReply& reply) {
  std::optional<std::chrono::milliseconds> now;
  if (const auto date = time_of_http(std::string(reply.header("date")))) {
    now = std::chrono::duration_cast<std::chrono::milliseconds>(date->time_since_epoch());
  }
  require_object(reply.body);
  return read_sqs_messages(JsonObject(std::move(reply.body)), now);
}

std::string batch_body(const std::string& url, const std::vector<std::string>& entries) {
  std::string body = "{" + url_member(url) + R"(,"Entries":[)";
  std::size_t bytes = body.size() + 2;
  for (const std::string& entry : entries) bytes += entry.size() + 16;
  body.reserve(bytes);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    body += (i == 0 ? R"({"Id":")" : R"(,{"Id":")") + std::to_string(i) + R"(",)";
    body += entries[i];
    body += '}';
  }
  return body + "]}";
}

/// What is in neither of its lists was not answered, and may have been done or not.
SqsClient::BatchResult batch_result(const HttpReply& reply, std::size_t count, const std::string& what) {
  const JsonObject document(reply.body);
  SqsClient::BatchResult result(count, Error(ErrorCode::unavailable, what + ": SQS says nothing of it"));
  const auto place = [&](const std::string& pointer) -> std::optional<Error>* {
    const auto id = document.text(pointer + "/Id").value_or("");
    std::size_t index = count;
    std::from_chars(id.data(), id.data() + id.size(), index);
    return index < count ? &result[index] : nullptr;
  };
  for (std::size_t i = 0; i < document.size("Successful"); ++i) {
    if (auto* const one = place("Successful/" + std::to_string(i))) one->reset();
  }
  for (std::size_t i = 0; i < document.size("Failed"); ++i) {
    const std::string pointer = "Failed/" + std::to_string(i);
    if (auto* const one = place(pointer)) {
      *one = batch_entry_error(document.text(pointer + "/Code").value_or("an error without a name"),
                               document.text(pointer + "/Message").value_or(""),
                               document.is_true(pointer + "/SenderFault"), what);
    }
  }
  return result;
}

}  // namespace

SqsFailure SqsClient::failure_of(const std::string& what, const HttpReply& reply) const {
  const std::string name = service_error_name(reply);
  const bool is_no_queue = name.ends_with("QueueDoesNotExist") || name.ends_with("NonExistentQueue");
  return {service_error(reply, what + ", " + service_->where()), is_no_queue};
}

SqsFailure SqsClient::not_sent(const std::string& what, const Error& error) const {
  if (error.code() != ErrorCode::deadline_exceeded) return {error};
  return {Error(ErrorCode::unavailable, what + ", " + service_->where() + ": no answer in time")};
}

template <class T, class Read>
SqsResult<T> SqsClient::told(const std::string& what, HttpClient::Result& result, const Read& read) const {
  auto* const reply = std::get_if<HttpReply>(&result);
  if (reply == nullptr) return not_sent(what, std::get<Error>(result));
  if (reply->status / 100 != 2) return failure_of(what, *reply);
  return read(*reply);
}

template <class T, class Read>
void SqsClient::call(const char* action, const std::string& queue, std::string body, const SqsLimits& limits, Read read,
                     Done<T> done) {
  const std::string what = std::string(action) + " of '" + queue.substr(queue.rfind('/') + 1) + "'";
  auto tell = on_context<HttpClient::Result>(context_, [self = shared_from_this(), what, read = std::move(read),
                                                        done = std::move(done)](HttpClient::Result result) {
    SqsResult<T> told = SqsFailure{self->no_memory_};
    try {
      told = self->told<T>(what, result, read);
    } catch (const std::exception&) {
      told = SqsFailure{thrown_error(what.c_str(), self->no_memory_)};
    }
    done(std::move(told));
  });
  try {
    ServiceRequest request{.headers = {{"content-type", "application/x-amz-json-1.0"},
                                       {"x-amz-target", std::string("AmazonSQS.") + action}},
                           .body = body_of(std::move(body))};
    service_->send(std::move(request), std::chrono::steady_clock::now() + limits.time, limits.stop, tell);
  } catch (const std::exception&) {  // Nothing was sent.
    tell(HttpClient::Result(thrown_error(what)));
  }
}

void SqsClient::find(const std::string& queue, const SqsLimits& limits, Done<std::string> done) {
  call<std::string>("GetQueueUrl", queue, R"({"QueueName":)" + json_text(queue) + "}", limits, url_of, std::move(done));
}

void SqsClient::create(const std::string& queue, const std::vector<SqsAttribute>& attributes, const SqsLimits& limits,
                       Done<std::string> done) {
  std::string body = R"({"QueueName":)" + json_text(queue) + R"(,"Attributes":{)";
  const char* separator = "";
  for (const auto& [name, value] : attributes) {
    body += separator + json_text(name) + ":" + json_text(value);
    separator = ",";
  }
  call<std::string>("CreateQueue", queue, body + "}}", limits, url_of, std::move(done));
}

void SqsClient::remove(const std::string& url, const SqsLimits& limits, Done<Nothing> done) {
  call<Nothing>(
      "DeleteQueue", url, "{" + url_member(url) + "}", limits, [](const HttpReply&) { return Nothing{}; },
      std::move(done));
}

void SqsClient::max_message_bytes(const std::string& url, const SqsLimits& limits, Done<std::size_t> done) {
  call<std::size_t>("GetQueueAttributes", url, "{" + url_member(url) + R"(,"AttributeNames":["MaximumMessageSize"]})",
                    limits, size_of, std::move(done));
}

void SqsClient::receive(const std::string& url, const Poll& poll, const std::stop_token& stop,
                        Done<std::vector<SqsMessage>> done) {
  // The service knows both names for its own attributes; others may know only the older one.
  std::string body =
      "{" + url_member(url) + R"(,"MaxNumberOfMessages":)" + std::to_string(poll.most) + R"(,"WaitTimeSeconds":)" +
      std::to_string(poll.wait.count()) +
      R"(,"AttributeNames":["All"],"MessageSystemAttributeNames":["All"],"MessageAttributeNames":["All"])";
  if (poll.visibility_timeout) body += R"(,"VisibilityTimeout":)" + std::to_string(poll.visibility_timeout->count());
  call<std::vector<SqsMessage>>("ReceiveMessage", url, body + "}", {poll.wait + kAnswerTime, stop}, messages_of,
                                std::move(done));
}

void SqsClient::batch(const char* action, const std::string& url, const std::vector<std::string>& entries,
                      const SqsLimits& limits, Done<BatchResult> done) {
  const std::string what = std::string(action) + ", " + service_->where();
  call<BatchResult>(
      action, url, batch_body(url, entries), limits,
      [count = entries.size(), what](const HttpReply& reply) { return batch_result(reply, count, what); },
      std::move(done));
}

}  // namespace splitnet::detail
