// SPDX-License-Identifier: Apache-2.0
#include "sqs_event.hpp"

#include <algorithm>
#include <future>
#include <utility>

#include "aws/service.hpp"
#include "found_queue.hpp"
#include "on_context.hpp"
#include "sqs_names.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// More than of a listener's: the event source takes requests also when it finds no free function, and each time
/// counts.
constexpr std::size_t kMaxDeliveries = 10;

/// For a request that ends at the last moment to say so.
constexpr auto kTimeToAbandon = std::chrono::milliseconds(100);

/// Since the epoch. A function's clock is set by Amazon's own, as that of SQS is.
std::chrono::milliseconds time_of_day() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
}

std::string record(std::size_t number) {
  return "Records/" + std::to_string(number);
}

/// The last part of arn:aws:sqs:REGION:ACCOUNT:QUEUE.
std::string queue_of(const std::string& arn) {
  const std::string name = arn.substr(arn.rfind(':') + 1);
  if (arn.starts_with("arn:") && is_queue_name(name)) return name;
  throw Error(ErrorCode::invalid_argument,
              "an event of the queue " + quoted(arn) + ", expected arn:aws:sqs:REGION:ACCOUNT:QUEUE of a standard one");
}

}  // namespace

SqsEvents::SqsEvents(AwsOptions aws, std::shared_ptr<ObjectStore> store, Handler handler, const ListenOptions& options)
    : aws_(std::move(aws)), store_(std::move(store)), handler_(std::move(handler)), options_(options) {}

bool SqsEvents::is_one(const JsonObject& event) {
  return event.text(record(0) + "/eventSource") == "aws:sqs";
}

std::string SqsEvents::answer_to(const JsonObject& event, TimePoint ends_at) {
  std::string failures;
  for (std::size_t i = 0; i < event.size("Records"); ++i) {
    auto message = read_sqs_message(event, record(i), SqsSpelling::of_lambda, time_of_day());
    const std::string id = message.id;
    if (Clock::now() < ends_at) {  // Else it comes again, unseen.
      const auto requests = requests_of(std::string(event.text(record(i) + "/eventSourceARN").value_or("")), ends_at);
      if (is_done(requests, std::move(message), ends_at)) continue;
    }
    failures += (failures.empty() ? "" : ",") + (R"({"itemIdentifier":)" + json_text(id) + "}");
  }
  return R"({"batchItemFailures":[)" + failures + "]}";
}

SqsEvents::RequestsPtr SqsEvents::requests_of(const std::string& arn, TimePoint ends_at) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = all_.find(arn); found != all_.end()) return found->second;
  }
  auto requests = begin(queue_of(arn), ends_at);
  const std::lock_guard lock(mutex_);
  if (is_closed_) throw Error(ErrorCode::unavailable, "the worker was closed before its answer");
  return all_.emplace(arn, std::move(requests)).first->second;
}

SqsEvents::RequestsPtr SqsEvents::begin(const std::string& queue, TimePoint ends_at) {
  if (!client_) {
    client_ = std::make_shared<SqsClient>(thread_.context(),
                                          std::make_shared<AwsService>("sqs", aws_, options_.dead_peer_timeout));
  }
  const auto limits = [&] { return SqsLimits{.time = std::max(ends_at - Clock::now(), Clock::duration(0))}; };
  const FoundQueue found = find_queue(*client_, queue, limits);
  const std::string dead = dead_letter_queue_of(queue);
  const auto dead_bytes = SqsClient::wait_for<std::size_t>(
      [&](auto done) { find_max_dead_bytes(*client_, url_beside(found.url, dead), limits(), std::move(done)); });
  const auto requests = std::make_shared<SqsRequests>(
      client_,
      SqsRequests::Target{.queue = queue,
                          .url = found.url,
                          .dead_letter_queue = dead,
                          .max_deliveries = kMaxDeliveries,
                          .max_message_bytes = found.max_message_bytes,
                          .max_dead_bytes = dead_bytes > 0 ? dead_bytes : found.max_message_bytes,
                          .store = store_},
      handler_, options_);
  requests->start({});
  return requests;
}

bool SqsEvents::is_done(const RequestsPtr& requests, SqsMessage message, TimePoint ends_at) const {
  const auto settled = std::make_shared<std::promise<bool>>();
  auto future = settled->get_future();
  const auto serial = std::make_shared<std::uint64_t>(0);  // Of the context's thread.
  asio::post(*thread_.context(), guarded([requests, message = std::move(message), ends_at, settled, serial]() mutable {
    *serial = requests->take(std::move(message), ends_at,
                             [settled](SqsRequests::Outcome outcome) { settled->set_value(outcome.is_done); });
  }));
  if (future.wait_until(ends_at) == std::future_status::ready) return future.get();
  asio::post(*thread_.context(), guarded([requests, serial] { requests->abandon(*serial); }));
  return future.wait_for(kTimeToAbandon) == std::future_status::ready && future.get();
}

void SqsEvents::close() {
  std::map<std::string, RequestsPtr> all;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    all.swap(all_);
  }
  std::promise<void> stopped;
  insist([&] {
    asio::post(*thread_.context(), [&] {
      for (const auto& one : all) run_guarded([&] { one.second->stop(); });
      stopped.set_value();
    });
  });
  stopped.get_future().wait();
}

}  // namespace splitnet::detail
