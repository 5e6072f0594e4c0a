// SPDX-License-Identifier: Apache-2.0
// The answering side of sqs:. Private.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "aws/sqs_client.hpp"
#include "back_off.hpp"
#include "splitnet/transport.hpp"
#include "sqs_batches.hpp"
#include "sqs_requests.hpp"

namespace splitnet::detail {

/// Polls a queue, hides what is being worked on, deletes what is done. What is not said to be for any thread is for the
/// context's.
class SqsListener : public std::enable_shared_from_this<SqsListener> {
 public:
  struct Target {
    std::string endpoint;
    std::string url;  ///< Of the queue.
    std::size_t max_in_flight = 0;
    std::chrono::seconds visibility_timeout{0};
    std::chrono::seconds wait_time{0};  ///< Of one poll.
  };

  SqsListener(std::shared_ptr<SqsClient> client, Target target, std::shared_ptr<SqsRequests> requests, LogSink log);

  /// Any thread; before anything else.
  void start();
  /// Any thread.
  void drain();
  /// Any thread. Waits until everything is given back or deleted, or a few seconds; not on the context's thread.
  void close(bool may_wait);

 private:
  using Clock = std::chrono::steady_clock;
  /// A message that is hidden from others.
  struct Held {
    std::string receipt;
    Clock::time_point hide_again_at;
    std::chrono::seconds pause_to_delete{1};  ///< After a failure.
    std::shared_ptr<asio::steady_timer> delete_timer = nullptr;
  };

  template <class Step>
  void post(Step step);
  void poll();
  void on_poll(SqsResult<std::vector<SqsMessage>> result);
  void on_failure(const Error& error);
  void poll_after(Clock::duration pause);
  void hold_off();
  void end_poll();
  [[nodiscard]] Clock::duration time_to_hide() const;
  [[nodiscard]] Clock::duration pause_to_hide() const;
  void take(SqsMessage message);
  void give_back(const std::string& receipt, std::chrono::seconds pause);
  void settle(const std::string& id, SqsRequests::Outcome outcome);
  template <class Step>
  void attempt(const std::string& id, Step&& step);
  void delete_message(const std::string& id);
  void on_deletion(const std::string& id, const std::string& receipt, const std::optional<SqsFailure>& failure);
  void delete_later(const std::string& id);
  void release(const std::string& id);
  void wake_at(Clock::time_point when);
  void on_timer();
  void hide_again(const std::string& id);
  void begin_to_close();
  void look_whether_closed();
  void say(LogLevel level, const std::string& text, std::vector<LogField> fields = {}) const;

  const std::shared_ptr<SqsClient> client_;
  const Target target_;
  const std::shared_ptr<SqsRequests> requests_;
  const LogSink log_;
  const Error no_memory_;  // Made beforehand: then there is none for it either.
  std::stop_source stop_;
  std::stop_source stop_polling_;  // Of the poll under way.
  const std::shared_ptr<SqsBatches> deletions_;
  const std::shared_ptr<SqsBatches> visibilities_;
  std::unordered_map<std::string, Held> held_;  // By SQS's id.
  std::size_t giving_back_ = 0;
  BackOff back_off_{Reconnect{}};
  asio::steady_timer poll_timer_;
  asio::steady_timer hide_timer_;
  Clock::time_point wakes_at_ = Clock::time_point::max();
  bool is_polling_ = false;  // Or pauses.
  Clock::time_point poll_began_;
  Clock::time_point polls_again_at_;  // After what it could not do.
  BackOff hold_off_;
  bool is_failing_ = false;
  bool is_draining_ = false;
  bool is_closing_ = false;
  std::atomic<bool> closed_{false};
  std::promise<void> begun_to_close_;
  std::promise<void> ended_;
  bool has_ended_ = false;
};

}  // namespace splitnet::detail
