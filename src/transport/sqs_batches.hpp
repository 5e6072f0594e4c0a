// SPDX-License-Identifier: Apache-2.0
// One kind of request to one queue, gathered into batches. Private.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "aws/sqs_client.hpp"

namespace splitnet::detail {

/// An entry goes at once as long as fewer than `most_at_once` batches are under way; otherwise it waits for one of
/// them, and those that wait go together. For the context's thread.
class SqsBatches : public std::enable_shared_from_this<SqsBatches> {
 public:
  struct Entry {
    std::string members;                   ///< As JSON, without its Id.
    std::size_t bytes = 0;                 ///< What counts against `max_bytes`.
    std::function<bool()> is_wanted = {};  ///< Asked before it goes, which it does not otherwise, without a word.
    std::function<void(std::optional<SqsFailure>)> done = {};  ///< Nothing: it is done.
  };

  /// `action`: a literal, as SqsClient::batch has it. `max_bytes`: of all entries of a batch together. `time`: until a
  /// batch without an answer counts as failed.
  SqsBatches(std::shared_ptr<SqsClient> client, const char* action, std::string url, std::size_t most_at_once,
             std::size_t max_bytes, std::stop_token stop, std::chrono::steady_clock::duration time = SqsLimits{}.time)
      : client_(std::move(client)),
        action_(action),
        url_(std::move(url)),
        most_at_once_(most_at_once),
        max_bytes_(max_bytes),
        stop_(std::move(stop)),
        time_(time) {}

  void add(Entry entry);
  [[nodiscard]] bool is_idle() const noexcept { return under_way_ == 0 && waiting_.empty(); }

 private:
  void send_waiting();
  [[nodiscard]] std::vector<Entry> next_batch();
  void send(std::vector<Entry> batch);
  static void finish(const std::vector<Entry>& batch, const SqsResult<SqsClient::BatchResult>& result);

  const std::shared_ptr<SqsClient> client_;
  const char* const action_;
  const std::string url_;
  const std::size_t most_at_once_;
  const std::size_t max_bytes_;
  const std::stop_token stop_;
  const std::chrono::steady_clock::duration time_;
  std::size_t under_way_ = 0;
  std::deque<Entry> waiting_;
};

}  // namespace splitnet::detail
