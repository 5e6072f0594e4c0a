// SPDX-License-Identifier: Apache-2.0
/// \file
/// AWS on one port of the loopback: Lambda with one function, its runtime API, and S3. For tests.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "object_stand_in.hpp"
#include "scripted_server.hpp"
#include "splitnet/aws/options.hpp"

namespace splitnet::testing {

/// An invocation waits until whoever polls the runtime API has answered it.
class LambdaStandIn {
 public:
  using Request = ScriptedServer::Request;
  using Response = ScriptedServer::Response;
  /// Answers instead of the function; nothing: the function does.
  using Script = std::function<std::optional<Response>(const Request&)>;

  explicit LambdaStandIn(Script script = {}) : script_(std::move(script)) {}
  ~LambdaStandIn() { let_go(); }
  /// Whoever waits is answered with an error, and nobody is served any more.
  void let_go() {
    store.let_go();
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  [[nodiscard]] AwsOptions options() const {
    return {.region = "eu-central-1",
            .endpoint = server_.url(),
            .credentials = fixed_aws_credentials({"AKIDEXAMPLE", "a secret that nobody shall see"})};
  }
  /// For lambda-runtime://
  [[nodiscard]] std::string runtime() const { return "lambda-runtime://" + server_.url().substr(7); }

  /// Sends an event as it is to the function; what it answers, or the error document. Waits.
  std::string invoke(const std::string& event) { return run(event, "").body(); }

  /// How long the function may take, and what it is told of a trace.
  std::chrono::milliseconds time_limit = std::chrono::seconds(20);
  std::string trace_id;
  ObjectStandIn store;

  [[nodiscard]] std::vector<Request> invocations() const {
    const std::lock_guard lock(mutex_);
    return invocations_;
  }

 private:
  struct Event {
    std::string id;
    std::string text;
    std::string trace;
  };

  std::optional<Response> serve(const Request& request, const ScriptedServer::Peer& peer) {
    const std::string target(request.target());
    if (target.starts_with("/2015-03-31/functions/")) return on_invoke(request);
    if (target == "/2018-06-01/runtime/invocation/next") return on_next(peer);
    if (target.starts_with("/2018-06-01/runtime/invocation/")) return on_answer(target.substr(31), request.body());
    return store.serve(request);
  }

  Response on_invoke(const Request& request) {
    if (script_) {
      if (auto scripted = script_(request)) return *std::move(scripted);
    }
    if (request["x-amz-invocation-type"] == "DryRun") return ScriptedServer::reply(204, "");
    {
      const std::lock_guard lock(mutex_);
      invocations_.push_back(request);
    }
    return run(request.body(), std::string(request["x-amzn-trace-id"]));
  }

  Response run(const std::string& event, const std::string& trace) {
    std::unique_lock lock(mutex_);
    const std::string id = "id-" + std::to_string(++count_);
    waiting_.push_back({id, event, trace.empty() ? trace_id : trace});
    changed_.notify_all();
    changed_.wait(lock, [&] { return closed_ || answers_.contains(id); });
    return closed_ ? ScriptedServer::reply(500, "") : answers_.at(id);
  }

  /// Who has gone gets nothing: it would be lost.
  std::optional<Response> on_next(const ScriptedServer::Peer& peer) {
    constexpr auto look = std::chrono::milliseconds(20);
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, look, [&] { return closed_ || !waiting_.empty(); })) {
      if (peer.has_gone()) return std::nullopt;
    }
    if (peer.has_gone()) return std::nullopt;
    if (closed_) return ScriptedServer::reply(500, "");
    const Event event = waiting_.front();
    waiting_.pop_front();
    auto response = ScriptedServer::reply(200, event.text);
    response.set("Lambda-Runtime-Aws-Request-Id", event.id);
    if (!event.trace.empty()) response.set("Lambda-Runtime-Trace-Id", event.trace);
    const auto end = std::chrono::system_clock::now() + time_limit;
    response.set("Lambda-Runtime-Deadline-Ms",
                 std::to_string(std::chrono::ceil<std::chrono::milliseconds>(end.time_since_epoch()).count()));
    return response;
  }

  /// "ID/response" or "ID/error"
  Response on_answer(const std::string& path, const std::string& body) {
    const auto slash = path.find('/');
    auto answer = ScriptedServer::reply(200, body);
    if (path.substr(slash) == "/error") answer.set("X-Amz-Function-Error", "Unhandled");
    const std::lock_guard lock(mutex_);
    answers_.emplace(path.substr(0, slash), std::move(answer));
    changed_.notify_all();
    return ScriptedServer::reply(202, "");
  }

  const Script script_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  int count_ = 0;
  std::deque<Event> waiting_;
  std::map<std::string, Response> answers_;
  std::vector<Request> invocations_;
  ScriptedServer server_{
      [this](const Request& request, const ScriptedServer::Peer& peer) { return serve(request, peer); }};
};

}  // namespace splitnet::testing
