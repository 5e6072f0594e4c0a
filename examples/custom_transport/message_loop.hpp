// SPDX-License-Identifier: Apache-2.0
// Messages over two pipes, the same on the calling and the answering side: a thread that reads, writes, and keeps time.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <splitnet/transport.hpp>
#include <vector>

#include "pipes.hpp"

namespace custom {

/// Everything that is not said to be for any thread happens on the one that runs it.
class MessageLoop {
 public:
  MessageLoop(Pipes pipes, const splitnet::MessageLimits& limits, std::size_t max_queued_bytes);
  virtual ~MessageLoop() = default;
  MessageLoop(const MessageLoop&) = delete;
  MessageLoop& operator=(const MessageLoop&) = delete;

  /// Returns after `finish`. A lost peer does not end it: there may be tasks to come.
  void run();

  // Any thread; none of these waits.

  /// False when too many bytes wait already. What is sent after the end is lost, which `on_end` makes known.
  bool send(splitnet::EncodedMessage message);
  void post(std::function<void()> task);
  /// The pipes are closed, and `on_end` runs.
  void hang_up(const splitnet::Error& reason);
  /// `run` returns when all tasks have run.
  void finish();

 protected:
  virtual void on_message(splitnet::Message message) = 0;
  /// Once at most; no messages after it.
  virtual void on_end(const splitnet::Error& reason) = 0;
  /// Asked before each message. The peer's next one waits in the pipe while it is false, and then the peer does.
  virtual bool may_read() { return true; }
  /// Does what is due, and says when it wants to be called again.
  virtual splitnet::Deadline on_time() { return {}; }

 private:
  bool step();
  void wait(splitnet::Deadline until);
  void read();
  void write();
  void end(const splitnet::Error& reason);
  void wake() const noexcept;

  const splitnet::MessageLimits limits_;
  const std::size_t max_queued_bytes_;
  const Descriptor wake_;
  std::optional<Pipes> pipes_;  // None: ended.

  std::array<std::byte, splitnet::message_header_bytes> header_{};
  std::optional<splitnet::Storage> body_;  // None: still at the header.
  std::size_t filled_ = 0;                 // Of one or the other.

  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;
  std::deque<splitnet::EncodedMessage> queue_;
  std::size_t queued_bytes_ = 0;
  std::size_t sent_ = 0;  // Of the first message.
  bool ended_ = false;
  bool finishing_ = false;
};

}  // namespace custom
