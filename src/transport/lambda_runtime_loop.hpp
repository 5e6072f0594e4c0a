// SPDX-License-Identifier: Apache-2.0
// One invocation of Lambda after the other. Private.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "aws/http_client.hpp"
#include "buffer_pool.hpp"
#include "proxy_event.hpp"
#include "served_calls.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/transport.hpp"
#include "sqs_event.hpp"

namespace splitnet::detail {

/// Tells the runtime API at host:port that this process can't start. Throws as report_lambda_init_error.
void post_init_error(const std::string& address, const Error& error);

class LambdaRuntimeLoop {
 public:
  /// `address`: host:port of the runtime API. `store`: none, what is too large is not answered. `on_end`:
  /// LambdaRuntimeOptions::on_end. `aws`: for queues whose event source this is.
  LambdaRuntimeLoop(const std::string& address, const AwsOptions& aws, std::shared_ptr<ObjectStore> store,
                    Handler handler, const ListenOptions& options, std::function<void()> on_end);
  ~LambdaRuntimeLoop() { close(); }
  LambdaRuntimeLoop(const LambdaRuntimeLoop&) = delete;
  LambdaRuntimeLoop& operator=(const LambdaRuntimeLoop&) = delete;

  /// Any thread, but not in a handler.
  void close();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Invocation {
    std::string id;
    TimePoint ends_at;
    std::string trace;  ///< As AWS writes it.
    std::string event;
  };

  void work();
  void pause();
  std::optional<Invocation> next();
  void handle(Invocation invocation);
  std::string answer_to(Invocation& invocation);
  [[nodiscard]] Message read(Invocation& invocation, const std::optional<ProxyEvent>& proxied);
  void check_access(const ProxyEvent& event) const;
  [[nodiscard]] Message serve(Message request, const Invocation& invocation, const std::string& peer);
  [[nodiscard]] std::string written(Message reply, const Invocation& invocation, bool is_proxied);
  void post(HttpRequest request);
  void warn(const std::string& message);

  static constexpr std::size_t kept_bytes = std::size_t{64} << 20;

  const std::string url_;
  const std::shared_ptr<ObjectStore> store_;
  const Handler handler_;
  const ListenOptions options_;
  const std::function<void()> on_end_;
  const std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>(kept_bytes);
  std::stop_source stop_;
  bool is_first_ = true;
  bool is_over_ = false;  // Lambda has no more invocations for this process.
  double init_s_ = 0;

  std::mutex mutex_;
  std::condition_variable answered_;
  std::uint64_t serial_ = 0;      // Of the request that is served; under the lock.
  std::optional<Message> reply_;  // Under the lock.
  std::shared_ptr<ServedCalls> calls_;
  SqsEvents queues_;

  HttpClient client_;
  std::thread thread_;
};

}  // namespace splitnet::detail
