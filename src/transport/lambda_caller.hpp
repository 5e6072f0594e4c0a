// SPDX-License-Identifier: Apache-2.0
// The calling side of lambda:. Private.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <variant>

#include "aws/service.hpp"
#include "buffer_pool.hpp"
#include "call_table.hpp"
#include "io_thread.hpp"
#include "queued_bytes.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// Everything of a connection that pending work may still refer to. What is not said to be for any thread is for the
/// context's.
class LambdaCaller : public std::enable_shared_from_this<LambdaCaller> {
 public:
  struct Target {
    std::string endpoint;
    std::string path;  ///< Of the function's invocations.
    std::shared_ptr<AwsService> service;
    std::shared_ptr<ObjectStore> store;  ///< None: what is too large is not sent.
  };

  LambdaCaller(std::shared_ptr<asio::io_context> context, Target target, const ConnectOptions& options);

  /// Any thread, before anything else; throws what Transport::connect does.
  void connect();
  /// Any thread.
  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done);
  /// Any thread.
  void close();
  /// Any thread but the context's: until what calls have left in the store is gone, or a few seconds.
  void wait_until_removed();

 private:
  struct Invocation {
    std::uint64_t id = 0;
    Deadline deadline;
    EncodedMessage message;
    std::string trace;
    std::shared_ptr<void> queued;  ///< Counts against ConnectOptions::max_queued_bytes.
    std::stop_source stop;         ///< Nobody waits for the answer any more.
    std::stop_source give_up_put;  ///< Nor for the request to be in the store.
    std::string key;               ///< Of the object that has the request; empty: there is none.
  };
  using InvocationPtr = std::shared_ptr<Invocation>;

  static constexpr std::size_t kept_bytes = std::size_t{64} << 20;

  [[nodiscard]] ServiceRequest request_for(const char* type) const;
  /// Runs `step` on the context's thread; what it throws ends the call.
  template <class Step>
  void post(const InvocationPtr& invocation, Step step);
  [[nodiscard]] Error caught_error() const;
  void abandon(std::uint64_t id);
  /// Runs `step`, which stops what nobody waits for any more, on the context's thread.
  template <class Stop>
  void stop(Stop step) noexcept;
  void begin(const InvocationPtr& invocation);
  void put_into_store(const InvocationPtr& invocation);
  void invoke(const InvocationPtr& invocation, std::string event);
  void on_reply(const InvocationPtr& invocation, HttpClient::Result result);
  void read(const InvocationPtr& invocation, HttpReply reply);
  void get_from_store(const InvocationPtr& invocation, const std::string& url);
  void finish(const InvocationPtr& invocation, CallResult result);
  void note_object();
  void remove(const std::string& key);

  const std::shared_ptr<asio::io_context> context_;
  const Target target_;
  const ConnectOptions options_;
  const bool has_checksum_;
  const std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>(kept_bytes);
  std::shared_ptr<CallTable> calls_;
  QueuedBytes queued_;
  const Error no_memory_;  // Made beforehand: then there is none for it either.
  std::atomic<bool> closed_{false};
  std::unordered_map<std::uint64_t, InvocationPtr> invocations_;

  std::mutex mutex_;
  std::condition_variable removed_;
  std::size_t objects_ = 0;  // In the store, or on their way there; under the lock.
};

}  // namespace splitnet::detail
