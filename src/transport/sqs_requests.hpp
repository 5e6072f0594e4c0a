// SPDX-License-Identifier: Apache-2.0
// Requests that came from a queue, and what becomes of them. Private.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>

#include "admission.hpp"
#include "aws/sqs_client.hpp"
#include "back_off.hpp"
#include "buffer_pool.hpp"
#include "recent_names.hpp"
#include "served_calls.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/transport.hpp"
#include "sqs_senders.hpp"

namespace splitnet::detail {

/// For the context's thread, but where something else is said. Who takes requests from the queue (a listener, Lambda's
/// event source) hands them over here, and is told whether to delete them.
class SqsRequests : public std::enable_shared_from_this<SqsRequests> {
 public:
  struct Target {
    std::string queue;
    std::string url;  ///< Of the queue.
    std::string dead_letter_queue;
    std::size_t max_deliveries = 0;
    std::size_t max_message_bytes = 0;   ///< Of the queue; answers keep to it as well.
    std::size_t max_dead_bytes = 0;      ///< Of a message of the dead-letter queue.
    std::shared_ptr<ObjectStore> store;  ///< None: what is too large is not answered.
  };
  struct Outcome {
    bool is_done = false;           ///< To be deleted. Else it has to come again.
    std::chrono::seconds pause{0};  ///< Before it does.
    bool is_answered = false;       ///< This worker has done it.
    bool is_failure = false;        ///< It could not, and so may not be able to do others.
  };
  using Settled = std::function<void(Outcome)>;

  SqsRequests(std::shared_ptr<SqsClient> client, Target target, Handler handler, const ListenOptions& options);

  /// Before anything else. `is_free` hears of each request that no handler works on any more.
  void start(std::function<void()> is_free);
  /// `settled` runs once, later or at once. `ends_at`: a deadline that this side has set. Gives a number for abandon.
  std::uint64_t take(SqsMessage message, Deadline ends_at, Settled settled);
  /// Those that were not answered yet.
  [[nodiscard]] std::size_t working() const noexcept { return working_; }
  /// From now on what a handler could not do comes again at once.
  void drain() { is_draining_ = true; }
  /// Has it come again, unless its answer is on its way; what is in the dead-letter queue is done.
  void abandon(std::uint64_t serial);
  /// All of them; from now on none is taken.
  void give_up();
  /// Gives up also those whose answer is on its way.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  struct Request {
    explicit Request(asio::io_context& context) : timer(context) {}
    /// Only for who has handed it over, not for its caller.
    [[nodiscard]] bool is_over_here(ErrorCode code) const {
      return code == ErrorCode::deadline_exceeded && deadline != callers_deadline;
    }

    std::uint64_t serial = 0;
    SqsMessage message;
    Settled settled;
    std::string name;           ///< Its attribute `request`; empty: not begun.
    std::string reply_queue;    ///< Empty: nobody is known to wait.
    std::uint64_t id = 0;       ///< Of the caller's.
    Deadline deadline;          ///< Of the work on it here.
    Deadline callers_deadline;  ///< Later, where who hands it over has less time.
    bool is_working = true;     ///< Until there is an answer.
    bool is_dead = false;       ///< It is in the dead-letter queue: whatever happens now, it is done here.
    std::optional<Clock::time_point> queue_is_gone_at;  ///< That one is not there counts from then on.
    Clock::time_point give_up_at;
    BackOff back_off{Reconnect{}};
    asio::steady_timer timer;
  };
  using RequestPtr = std::shared_ptr<Request>;

  static constexpr std::size_t kept_bytes = std::size_t{64} << 20;
  static constexpr std::size_t most_answered = 4096;

  template <class Step>
  void attempt(const RequestPtr& request, Step&& step);
  void examine(const RequestPtr& request);
  void read(const RequestPtr& request);
  void get_from_store(const RequestPtr& request, const std::string& url);
  void on_body(const RequestPtr& request, const Storage& bytes);
  void on_error(const RequestPtr& request, const Error& error);
  void serve(const RequestPtr& request, Message message);
  void on_answer(std::uint64_t serial, Message reply);
  void try_again(const RequestPtr& request, const Error& error);
  void dead_letter(const RequestPtr& request, const std::string& reason, std::optional<Error> answer);
  void send_to_dead(const RequestPtr& request, const SqsMessage& dead, std::optional<Error> answer);
  void make_dead_letter_queue(const RequestPtr& request, const SqsMessage& dead, const std::optional<Error>& answer);
  void answer(const RequestPtr& request, Message reply);
  void put_into_store(const RequestPtr& request, const EncodedMessage& encoded);
  void send_answer(const RequestPtr& request, const SqsMessage& answer);
  void on_sent(const RequestPtr& request, const SqsMessage& answer, const std::optional<SqsFailure>& failure);
  template <class Step>
  void retry(const RequestPtr& request, const Error& error, Step step);
  void free_place(Request& request);
  void give_back_at_the_end(const RequestPtr& request);
  void settle(const RequestPtr& request, Outcome outcome);
  void warn(const std::string& text, const Request& request);
  void debug(const std::string& text, const Request& request) const;
  void log(LogLevel level, const std::string& text, const Request& request, std::uint64_t left_out) const;

  const std::shared_ptr<SqsClient> client_;
  const Target target_;
  const Handler handler_;
  const ListenOptions options_;
  const std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>(kept_bytes);
  std::stop_source stop_;
  const std::shared_ptr<SqsSenders> senders_;
  std::shared_ptr<ServedCalls> calls_;
  std::function<void()> is_free_;
  bool is_draining_ = false;
  bool has_given_up_ = false;
  std::uint64_t serial_ = 0;
  std::size_t working_ = 0;
  std::unordered_map<std::uint64_t, RequestPtr> requests_;
  RecentNames names_{most_answered};
  RecentNames gone_queues_{most_answered};
  RateLimit warnings_{1};  // A second: who may send to the queue must not fill a disk.
  std::uint64_t warnings_left_out_ = 0;
};

/// Of the dead-letter queue: kept for 14 days, the longest that SQS can.
std::vector<SqsAttribute> dead_letter_attributes(std::size_t max_message_bytes);

/// How large a message of the dead-letter queue at `url` may be; 0: it is not there yet.
void find_max_dead_bytes(SqsClient& client, const std::string& url, const SqsLimits& limits,
                         SqsClient::Done<std::size_t> done);

}  // namespace splitnet::detail
