// SPDX-License-Identifier: Apache-2.0
// Requests that Lambda's event source has taken from a queue. Private.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "aws/json.hpp"
#include "aws/sqs_client.hpp"
#include "io_thread.hpp"
#include "splitnet/aws/options.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/transport.hpp"
#include "sqs_requests.hpp"

namespace splitnet::detail {

/// Its functions are for one thread at a time, but for close.
class SqsEvents {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  SqsEvents(AwsOptions aws, std::shared_ptr<ObjectStore> store, Handler handler, const ListenOptions& options);
  ~SqsEvents() { close(); }
  SqsEvents(const SqsEvents&) = delete;
  SqsEvents& operator=(const SqsEvents&) = delete;

  /// {"Records":[{"eventSource":"aws:sqs",…}]}
  static bool is_one(const JsonObject& event);
  /// Does its requests, one after the other, and gives what the function has to answer: which of them shall come again
  /// (ReportBatchItemFailures of the event source). Throws what asking for the queue does.
  std::string answer_to(const JsonObject& event, TimePoint ends_at);
  /// Any thread: those that are left come again.
  void close();

 private:
  using RequestsPtr = std::shared_ptr<SqsRequests>;

  RequestsPtr requests_of(const std::string& arn, TimePoint ends_at);
  RequestsPtr begin(const std::string& queue, TimePoint ends_at);
  [[nodiscard]] bool is_done(const RequestsPtr& requests, SqsMessage message, TimePoint ends_at) const;

  const AwsOptions aws_;
  const std::shared_ptr<ObjectStore> store_;
  const Handler handler_;
  const ListenOptions options_;
  IoThread thread_;
  std::shared_ptr<SqsClient> client_;  // None before the first event.
  std::mutex mutex_;
  bool is_closed_ = false;                  // Under the lock.
  std::map<std::string, RequestsPtr> all_;  // By the queue's ARN; under the lock.
};

}  // namespace splitnet::detail
