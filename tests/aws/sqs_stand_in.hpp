// SPDX-License-Identifier: Apache-2.0
/// \file
/// SQS on the loopback, its standard queues by the JSON protocol, and S3 beside it. For tests.
#pragma once

#include "object_stand_in.hpp"  // The first: it has what is Boost's.
#include "scripted_server.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/aws/options.hpp"

namespace splitnet::testing {

/// Answers as the service does, errors included, and misbehaves when a test asks for it. Where SQS promises little, it
/// does the worse: who deletes with the handle of an earlier delivery is told that it went well, and nothing is
/// deleted, or it is (old_handles_work). Thread-safe.
class SqsStandIn {
 public:
  using Json = nlohmann::json;
  struct Message {
    std::string id;
    std::string body;
    Json attributes = Json::object();  ///< As SendMessage has them.
    int deliveries = 0;
    bool is_hidden = false;  ///< Somebody has it.
    std::int64_t sent_ms = 0;
    std::int64_t first_received_ms = 0;
  };

  SqsStandIn() { start(); }
  ~SqsStandIn() { stop(); }
  SqsStandIn(const SqsStandIn&) = delete;
  SqsStandIn& operator=(const SqsStandIn&) = delete;

  /// For SQS and S3.
  [[nodiscard]] AwsOptions options() const;
  ObjectStandIn store;

  // ---- what the service has ----

  /// `attributes`: of CreateQueue, all of them texts.
  void make_queue(const std::string& name, const Json& attributes = Json::object());
  void remove_queue(const std::string& name);
  [[nodiscard]] std::vector<std::string> queues() const;
  /// Those that anybody has, too. Of a queue that is not there: none.
  [[nodiscard]] std::vector<Message> messages(const std::string& queue) const;
  void send(const std::string& queue, const std::string& body, const Json& attributes = Json::object());
  /// As a worker takes one that never comes back. Nothing: none can be seen.
  std::optional<Message> take(const std::string& queue, std::chrono::seconds visibility = std::chrono::seconds(30));
  void remove(const std::string& queue, const std::string& id);
  /// What was asked for, the actions and their documents, errors included; "": every action.
  [[nodiscard]] std::vector<Json> requests(const std::string& action) const;
  /// Waits until it holds, asked again after each request; false: not for long.
  bool wait_until(const std::function<bool()>& holds) const;

  // ---- what may happen to it ----

  /// Nobody can connect any more; those who have lose their connections.
  void stop();
  /// On the same port.
  void start();
  /// As one that has nothing but memory, and starts anew.
  void forget();
  /// Hidden messages come back the sooner.
  void pass_time(std::chrono::milliseconds time);

  enum class Fault {
    throttled,       ///< 400 and ThrottlingException
    rate_limited,    ///< 403 and RequestThrottled, as the model of the service has it
    out_of_service,  ///< 503
    dropped,         ///< The connection is closed; nothing was done.
    answer_lost,     ///< Likewise, but it was done.
    denied,          ///< 403 and AccessDenied
    not_found,       ///< 404 of a proxy; nothing was done.
    hangs,           ///< Until whoever asks goes.
    late,            ///< It is done, and answered, after heal().
    no_json,         ///< It was done.
    entries_fail,    ///< In a batch the first entry, the third …
  };
  /// The next `times` requests of this action ("": of any) to queues whose names begin so.
  void fail(Fault fault, int times = 1, const std::string& action = "", const std::string& queue = "");
  void heal();
  /// What is sent while it is set comes once more while somebody has it, and once more after it was deleted.
  std::atomic<bool> delivers_again = false;
  /// After CreateQueue; until then it is nowhere.
  std::atomic<std::chrono::milliseconds> queues_appear_after = std::chrono::milliseconds(0);
  /// The handle of an earlier delivery is as good as the last one.
  std::atomic<bool> old_handles_work = false;
  /// The last first.
  std::atomic<bool> delivers_backwards = false;
  /// Of its clock. Signatures may be five minutes off.
  std::atomic<std::chrono::seconds> clock_ahead = std::chrono::seconds(0);

 private:
  using Clock = std::chrono::steady_clock;
  using Request = ScriptedServer::Request;
  using Response = ScriptedServer::Response;
  using Peer = ScriptedServer::Peer;
  struct Stored {
    Message message;
    std::string handle;  ///< Of the last delivery.
    Clock::time_point visible_at;
    Clock::time_point received_at;   ///< The last time.
    bool stays_visible = false;      ///< When it is received for the first time.
    bool survives_deletion = false;  ///< The first one.
  };
  struct Queue {
    Json attributes;
    Clock::time_point appears_at;
    std::list<Stored> messages;
    std::map<std::string, std::string> handles;  ///< All that were given, and of which message.
  };
  struct Armed {
    Fault fault;
    int times;
    std::string action;
    std::string queue;
  };
  /// Thrown while a request is served.
  struct Refusal {
    std::string type;
    std::string words;
    std::string query_code = type;
    int status = 400;
  };

  std::optional<Response> serve(const Request& request, const Peer& peer);
  std::optional<Response> serve_sqs(const Request& request, const Peer& peer, const std::string& action);
  Response answer(const Json& document) const;
  Response refuse(const Refusal& refusal) const;
  void check_signature(const Request& request) const;
  std::optional<Fault> fault_for(const std::string& action, const Json& document);
  void wait_for_end(const Peer& peer, std::unique_lock<std::mutex>& lock);
  void wait_for_heal(std::unique_lock<std::mutex>& lock);

  // Under the lock.
  Json perform(const std::string& action, const Json& document, const Peer& peer, std::unique_lock<std::mutex>& lock,
               bool entries_fail);
  Json create_queue(const Json& document);
  Json attributes_of(const Json& document);
  Json send_message(Queue& queue, const Json& entry);
  Json receive_message(const Json& document, const Peer& peer, std::unique_lock<std::mutex>& lock);
  Json delete_message(Queue& queue, const Json& entry);
  Json change_visibility(Queue& queue, const Json& entry);
  Json batch(const Json& document, bool entries_fail, Json (SqsStandIn::*action)(Queue&, const Json&));
  std::vector<Stored*> take_visible(Queue& queue, std::size_t count, std::chrono::seconds visibility);
  Stored* find(Queue& queue, const std::string& handle);
  Queue& queue_of(const Json& document);
  [[nodiscard]] std::string url_of(const std::string& queue) const;
  [[nodiscard]] Clock::time_point now() const { return Clock::now() + passed_; }
  [[nodiscard]] std::int64_t now_ms() const;

  std::uint16_t port_ = 0;  // Of the first start.
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool stopped_ = true;
  std::uint64_t count_ = 0;
  std::chrono::milliseconds passed_{0};
  std::map<std::string, Queue> queues_;
  std::map<std::string, Clock::time_point> deleted_at_;  // As a rule of CreateQueue, not of make_queue.
  std::vector<Armed> faults_;
  std::vector<Json> requests_;
  std::unique_ptr<ScriptedServer> server_;  // Of whoever starts and stops.
};

}  // namespace splitnet::testing
