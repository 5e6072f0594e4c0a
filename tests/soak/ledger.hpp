// SPDX-License-Identifier: Apache-2.0
// Every request and what became of it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "splitnet/session.hpp"

namespace splitnet::soak {

struct Counts {
  std::uint64_t requests = 0;  ///< Begun.
  std::uint64_t ended = 0;     ///< Told for the first time.
  std::uint64_t failed = 0;    ///< Of those: with an error.
  std::uint64_t wrong = 0;     ///< Of those: another answer than the plan gives here.
  std::uint64_t twice = 0;     ///< Told once more.
  std::uint64_t hedged = 0;    ///< The device began beside a worker or after one.
  std::uint64_t by_device = 0;
  std::uint64_t on_device_only = 0;                  ///< Of those: no worker was asked.
  std::map<std::string, std::uint64_t> by_worker;    ///< By endpoint.
  double longest_s = 0;                              ///< From the request to its answer.
  std::map<std::string, std::uint64_t> errors = {};  ///< What was said instead of an answer.

  [[nodiscard]] std::uint64_t lost() const { return requests - ended + failed; }
  [[nodiscard]] std::uint64_t by_workers() const;
};

/// Thread-safe.
class Ledger {
 public:
  /// Takes memory for that many requests at once, so that it does not grow.
  explicit Ledger(std::size_t most_requests);

  /// The number of a request that may begin; nothing when there have been enough, or `close` was called.
  std::optional<std::size_t> begin();
  void close() { closed_ = true; }
  void note(std::size_t request, const std::variant<Answer, Error>& outcome, const Value& expected);
  /// True: all that begun have ended.
  bool wait(std::chrono::nanoseconds timeout);
  [[nodiscard]] Counts counts() const;

 private:
  const std::size_t most_requests_;
  const std::unique_ptr<std::atomic<std::uint8_t>[]> told_;  // Times, of each request.
  std::atomic<bool> closed_ = false;
  mutable std::mutex mutex_;  // Guards `counts_`.
  std::condition_variable changed_;
  Counts counts_;
};

}  // namespace splitnet::soak
