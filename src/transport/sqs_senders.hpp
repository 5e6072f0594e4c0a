// SPDX-License-Identifier: Apache-2.0
// Sends to queues by their names: answers to those who wait, what nobody could do to the dead-letter queue. Private.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>

#include "sqs_batches.hpp"

namespace splitnet::detail {

/// For the context's thread. Keeps what belongs to the queues that were used last.
class SqsSenders {
 public:
  using Done = std::function<void(std::optional<SqsFailure>)>;

  /// `url`: of any queue of the account. `max_bytes`: of a message, and of those that go together.
  SqsSenders(std::shared_ptr<SqsClient> client, std::string url, std::size_t max_bytes, std::stop_token stop)
      : client_(std::move(client)), url_(std::move(url)), max_bytes_(max_bytes), stop_(std::move(stop)) {}

  void send(const std::string& queue, const SqsMessage& message, Done done);

 private:
  struct Queue {
    std::shared_ptr<SqsBatches> batches;
    std::list<std::string>::iterator place_in_line;  ///< In used_.
  };

  void forget_oldest();

  static constexpr std::size_t most_queues = 1024;

  const std::shared_ptr<SqsClient> client_;
  const std::string url_;
  const std::size_t max_bytes_;
  const std::stop_token stop_;
  std::unordered_map<std::string, Queue> queues_;
  std::list<std::string> used_;  // Longest ago first.
};

}  // namespace splitnet::detail
