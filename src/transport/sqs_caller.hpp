// SPDX-License-Identifier: Apache-2.0
// The calling side of sqs:. Private.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "aws/sqs_client.hpp"
#include "back_off.hpp"
#include "buffer_pool.hpp"
#include "call_table.hpp"
#include "queued_bytes.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/transport.hpp"
#include "sqs_batches.hpp"

namespace splitnet::detail {

/// Everything of a connection that pending work may still refer to. What is not said to be for any thread is for the
/// context's.
class SqsCaller : public std::enable_shared_from_this<SqsCaller> {
 public:
  struct Target {
    std::string endpoint;
    std::string queue;
    std::string reply_queue;  ///< Of somebody else's making; empty: this connection makes its own.
    std::chrono::seconds wait_time{0};
    std::shared_ptr<AwsService> service;
    std::shared_ptr<ObjectStore> store;  ///< None: what is too large is not sent.
  };

  SqsCaller(std::shared_ptr<asio::io_context> context, Target target, const ConnectOptions& options);

  /// Any thread but the context's, before anything else; throws what Transport::connect does.
  void connect();
  /// Any thread.
  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done);
  /// Any thread.
  void close();
  /// Any thread but the context's: until the reply queue, and what calls have left in the store, is gone, or a few
  /// seconds.
  void wait_until_removed();

 private:
  using Clock = std::chrono::steady_clock;
  struct Call {
    std::uint64_t id = 0;
    Deadline deadline;
    std::string name;  ///< The attribute `request`.
    EncodedMessage message;
    std::shared_ptr<void> queued;  ///< Counts against ConnectOptions::max_queued_bytes.
    std::stop_source stop;         ///< Nobody waits for the answer any more.
    std::string key;               ///< Of the object that has the request; empty: there is none.
    bool is_answered = false;
  };
  using CallPtr = std::shared_ptr<Call>;
  enum class ReplyQueue { none, is_asked_for, is_there };

  static constexpr std::size_t kept_bytes = std::size_t{64} << 20;

  void abandon(std::uint64_t id);
  /// Runs `step`, which ends what nobody waits for any more, on the context's thread.
  template <class Step>
  void post_to_end(Step step) noexcept;
  void begin(const CallPtr& call);
  void send(const CallPtr& call);
  void put_into_store(const CallPtr& call);
  void enqueue(const CallPtr& call, SqsMessage message);
  void finish(const CallPtr& call, CallResult result);
  void forget(const CallPtr& call);
  [[nodiscard]] Error caught_error() const;
  template <class Step>
  void attempt(const CallPtr& call, Step&& step);

  /// Of the queue that answers come to.
  void get_reply_queue(const SqsLimits& limits, SqsClient::Done<std::string> done);
  void make_reply_queue();
  void on_reply_queue(SqsResult<std::string> result);
  void has_no_reply_queue(const SqsFailure& failure);
  void poll();
  void on_poll(SqsResult<std::vector<SqsMessage>> result);
  void on_failure(const SqsFailure& failure);
  void poll_after(Clock::duration pause);
  void lose_all(const Error& why);
  void on_reply(SqsMessage& reply);
  void read(const CallPtr& call, const SqsMessage& reply);
  void get_from_store(const CallPtr& call, const std::string& url);
  void drop(const SqsMessage& reply);

  void note_leftover();
  void leftover_is_gone();
  void remove_object(const std::string& key);
  void remove_reply_queue();
  void wait_until_removed(Clock::duration longest);
  void begin_to_close();

  const std::shared_ptr<SqsClient> client_;
  const Target target_;
  const ConnectOptions options_;
  const bool has_checksum_;
  const std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>(kept_bytes);
  std::shared_ptr<CallTable> calls_;
  QueuedBytes queued_;
  const Error no_memory_;  // Made beforehand: then there is none for it either.
  std::size_t max_message_bytes_ = 0;
  std::atomic<bool> closed_{false};
  std::stop_source stop_;     // Of what is asked for calls.
  std::stop_source give_up_;  // Of what is removed.

  std::shared_ptr<SqsBatches> requests_;
  std::shared_ptr<SqsBatches> deletions_;  // Of replies.
  std::string url_;                        // Of the queue of requests; connect sets it.
  std::string reply_suffix_;
  std::string reply_url_;  // Also of one that may be there, as far as is known; empty: it is not.
  ReplyQueue reply_queue_ = ReplyQueue::none;
  std::vector<CallPtr> waiting_;  // For the reply queue.
  std::unordered_map<std::string, CallPtr> by_name_;
  std::unordered_map<std::uint64_t, CallPtr> by_id_;
  bool is_polling_ = false;  // Or pauses.
  Clock::time_point poll_began_;
  Clock::time_point has_to_appear_until_;  // That the reply queue is not there means nothing before.
  std::size_t refusals_ = 0;               // Of polls, in a row.
  BackOff back_off_;
  asio::steady_timer poll_timer_;

  std::mutex mutex_;
  std::condition_variable removed_;
  std::size_t leftovers_ = 0;  // Queue and objects that are there, or on their way there; under the lock.
};

}  // namespace splitnet::detail
