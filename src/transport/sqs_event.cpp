// SPDX-License-Identifier: Apache-2.0
#include "sqs_event.hpp"

#include <algorithm>
#include <future>
#include <utility>

#include "aws/service.hpp"
#include "splitnet/transport/sqs.hpp"
#include "sqs_names.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

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
    auto message = read_sqs_message(event, record(i), SqsSpelling::of_lambda, {});
    const std::string id = message.id;
    const auto requests = requests_of(std::string(event.text(record(i) + "/eventSourceARN").value_or("")), ends_at);
    if (is_done(requests, std::move(message), ends_at)) continue;
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
  const auto url =
      SqsClient::wait_for<std::string>([&](auto done) { client_->find(queue, limits(), std::move(done)); });
  const auto bytes =
      SqsClient::wait_for<std::size_t>([&](auto done) { client_->max_message_bytes(url, limits(), std::move(done)); });
  const auto requests =
      std::make_shared<SqsRequests>(client_,
                                    SqsRequests::Target{.queue = queue,
                                                        .dead_letter_queue = dead_letter_queue_of(queue),
                                                        .max_deliveries = SqsOptions{}.max_deliveries,
                                                        .max_message_bytes = bytes,
                                                        .store = store_},
                                    handler_, options_);
  requests->start({});
  return requests;
}

bool SqsEvents::is_done(const RequestsPtr& requests, SqsMessage message, TimePoint ends_at) const {
  const auto settled = std::make_shared<std::promise<bool>>();
  auto future = settled->get_future();
  const auto serial = std::make_shared<std::uint64_t>(0);  // Of the context's thread.
  asio::post(*thread_.context(), [requests, message = std::move(message), ends_at, settled, serial]() mutable {
    *serial = requests->take(std::move(message), ends_at,
                             [settled](SqsRequests::Outcome outcome) { settled->set_value(outcome.is_done); });
  });
  if (future.wait_until(ends_at) == std::future_status::ready) return future.get();
  asio::post(*thread_.context(), [requests, serial] { requests->abandon(*serial); });
  return false;
}

void SqsEvents::close() {
  std::map<std::string, RequestsPtr> all;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    all.swap(all_);
  }
  std::promise<void> stopped;
  asio::post(*thread_.context(), [&] {
    for (const auto& [arn, requests] : all) requests->stop();
    stopped.set_value();
  });
  stopped.get_future().wait();
}

}  // namespace splitnet::detail
