// SPDX-License-Identifier: Apache-2.0
// One kind of request to one queue, gathered into batches. Private.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "aws/sqs_client.hpp"
#include "back_off.hpp"

namespace splitnet::detail {

/// An entry goes at once as long as fewer than `most_at_once` batches are under way; otherwise it waits for one of
/// them, and those that wait go together. For the context's thread.
class SqsBatches : public std::enable_shared_from_this<SqsBatches> {
 public:
  struct Entry {
    std::string members;  ///< As JSON, without its Id.
    /// What counts against `max_bytes`.
    std::size_t bytes = 0;
    /// Asked each time before it goes, which it does not otherwise, without a word.
    std::function<bool()> is_wanted = {};
    /// Nothing: it is done.
    std::function<void(std::optional<SqsFailure>)> done = {};
    /// How often it is sent, with pauses between, where nobody knows whether it was done (`unavailable`).
    std::size_t tries = 1;
  };
  struct Limits {
    std::size_t most_at_once = 1;
    /// Of all entries of a batch together; where they are as short as a receipt, ten are never too much.
    std::size_t max_bytes = std::numeric_limits<std::size_t>::max();
    /// Until a batch without an answer counts as failed.
    std::chrono::steady_clock::duration time = SqsLimits{}.time;
  };

  /// `action`: a literal, as SqsClient::batch has it.
  SqsBatches(std::shared_ptr<SqsClient> client, const char* action, std::string url, Limits limits,
             std::stop_token stop)
      : client_(std::move(client)),
        action_(action),
        url_(std::move(url)),
        limits_(limits),
        stop_(std::move(stop)),
        no_memory_(ErrorCode::overloaded, std::string(action) + ": no memory for it"),
        again_(*client_->context()) {}

  /// Throws only where there is no memory for the entry to wait; else `done` runs, or it is not wanted. One that goes
  /// again needs no more.
  void add(Entry entry);
  [[nodiscard]] bool is_idle() const noexcept { return under_way_ == 0 && waiting_.empty(); }

 private:
  using Batch = std::list<Entry>;

  void send_waiting();
  [[nodiscard]] std::shared_ptr<Batch> next_batch();
  void fail_first(const Error& error);
  void send(const std::shared_ptr<Batch>& sent);
  void on_result(Batch& batch, const SqsResult<SqsClient::BatchResult>& result);
  static void tell(const Entry& entry, const std::optional<SqsFailure>& failure);
  [[nodiscard]] bool goes_again(const Entry& entry, const std::optional<SqsFailure>& failure) const;
  void pause();

  const std::shared_ptr<SqsClient> client_;
  const char* const action_;
  const std::string url_;
  const Limits limits_;
  const std::stop_token stop_;
  const Error no_memory_;  // Made beforehand: then there is none for it either.
  std::size_t under_way_ = 0;
  std::list<Entry> waiting_;
  BackOff back_off_{{.longest_pause = std::chrono::seconds(1)}};
  asio::steady_timer again_;
  bool is_pausing_ = false;  // Before what failed goes again, and everything else with it.
};

}  // namespace splitnet::detail
