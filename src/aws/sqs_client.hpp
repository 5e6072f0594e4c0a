// SPDX-License-Identifier: Apache-2.0
// The actions of Amazon SQS that splitnet asks for, by its JSON protocol.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "aws/service.hpp"
#include "aws/sqs_message.hpp"
#include "transport/asio.hpp"

namespace splitnet::detail {

struct SqsFailure {
  Error error;
  bool is_no_queue = false;  ///< The queue is not there.
  /// Of this entry of a batch, said by SQS itself; else of the batch, perhaps by what is between (a proxy).
  bool is_of_entry = false;
};
template <class T>
using SqsResult = std::variant<T, SqsFailure>;

/// Until when, and who may end it sooner.
struct SqsLimits {
  std::chrono::steady_clock::duration time = std::chrono::seconds(30);
  std::stop_token stop = {};
};

/// Thread-safe. All functions return at once; `done` runs once on the context's thread, which goes on meanwhile.
/// Failures are those of service_error, `unavailable` also when the service takes too long, and `cancelled`.
class SqsClient : public std::enable_shared_from_this<SqsClient> {
 public:
  template <class T>
  using Done = std::function<void(SqsResult<T>)>;
  struct Nothing {};

  SqsClient(std::shared_ptr<asio::io_context> context, std::shared_ptr<AwsService> service)
      : context_(std::move(context)), service_(std::move(service)) {}

  [[nodiscard]] const std::shared_ptr<asio::io_context>& context() const noexcept { return context_; }
  [[nodiscard]] AwsService& service() const noexcept { return *service_; }

  /// The URL of a queue, by its name.
  void find(const std::string& queue, const SqsLimits& limits, Done<std::string> done);
  /// Likewise; one that is there already with these attributes is taken.
  void create(const std::string& queue, const std::vector<SqsAttribute>& attributes, const SqsLimits& limits,
              Done<std::string> done);
  void remove(const std::string& url, const SqsLimits& limits, Done<Nothing> done);
  /// The queue's MaximumMessageSize.
  void max_message_bytes(const std::string& url, const SqsLimits& limits, Done<std::size_t> done);

  struct Poll {
    std::size_t most = 10;
    std::chrono::seconds wait{20};
    std::optional<std::chrono::seconds> visibility_timeout = {};  ///< None: the queue's.
  };
  void receive(const std::string& url, const Poll& poll, const std::stop_token& stop,
               Done<std::vector<SqsMessage>> done);

  /// Of an entry: nothing, it is done.
  using BatchResult = std::vector<std::optional<Error>>;
  /// `action`: SendMessageBatch, DeleteMessageBatch, ChangeMessageVisibilityBatch. `entries`: the members of each,
  /// without its Id; ten at most.
  void batch(const char* action, const std::string& url, const std::vector<std::string>& entries,
             const SqsLimits& limits, Done<BatchResult> done);

  /// Waits for one of these, on any thread but the context's. Throws what it fails with.
  template <class T, class Start>
  static T wait_for(Start&& start);

 private:
  /// `queue`: its name or URL, for errors.
  template <class T, class Read>
  void call(const char* action, const std::string& queue, std::string body, const SqsLimits& limits, Read read,
            Done<T> done);
  template <class T, class Read>
  [[nodiscard]] SqsResult<T> told(const std::string& what, HttpClient::Result& result, const Read& read) const;
  [[nodiscard]] SqsFailure failure_of(const std::string& what, const HttpReply& reply) const;
  [[nodiscard]] SqsFailure not_sent(const std::string& what, const Error& error) const;

  const std::shared_ptr<asio::io_context> context_;
  const std::shared_ptr<AwsService> service_;
  const Error no_memory_{ErrorCode::overloaded, "SQS: no memory for its answer"};  // There is none for it then.
};

template <class T, class Start>
T SqsClient::wait_for(Start&& start) {
  const auto promise = std::make_shared<std::promise<SqsResult<T>>>();
  auto future = promise->get_future();
  start(Done<T>([promise](SqsResult<T> result) { promise->set_value(std::move(result)); }));
  auto result = future.get();
  if (auto* const failure = std::get_if<SqsFailure>(&result)) throw std::move(failure->error);
  return std::get<T>(std::move(result));
}

}  // namespace splitnet::detail
