// SPDX-License-Identifier: Apache-2.0
// The answering side of any transport: which requests of one peer are being handled. Private.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// Thread-safe. Held by a shared_ptr; responders that outlive it answer into the void.
class ServedCalls : public std::enable_shared_from_this<ServedCalls> {
 public:
  using Allocate = std::function<Storage(std::size_t bytes)>;
  /// `send` brings a reply (kind and id set) to the peer; any thread, no lock held. `allocate` is for handlers.
  explicit ServedCalls(std::function<void(Message)> send, Allocate allocate = Storage::allocate)
      : send_(std::move(send)), allocate_(std::move(allocate)) {}

  /// Runs the handler for one request on this thread. What it throws becomes the answer.
  void serve(Message request, const Handler& handler, const std::string& peer);
  /// The caller gave up: asks the handler to stop. Unknown ids are calls that were answered meanwhile.
  void cancel(std::uint64_t id);
  /// The peer is gone: asks all handlers to stop; answers are discarded from now on.
  void close();
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_.load(); }

 private:
  class Answer;
  void answer(std::uint64_t id, Message reply);

  const std::function<void(Message)> send_;
  const Allocate allocate_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::stop_source> calls_;
  std::atomic<std::size_t> in_flight_{0};
  bool closed_ = false;
};

}  // namespace splitnet::detail
