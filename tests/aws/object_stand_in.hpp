// SPDX-License-Identifier: Apache-2.0
/// \file
/// S3 with one bucket, "bodies". For tests.
#pragma once

#include "scripted_server.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

namespace splitnet::testing {

class ObjectStandIn {
 public:
  ~ObjectStandIn() { let_go(); }
  /// Whoever waits is answered, and nobody waits any more.
  void let_go() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  /// It takes requests and never answers them.
  std::atomic<bool> hangs = false;

  /// Who wants to read an object waits as long.
  std::atomic<bool> keeps_readers_waiting = false;

  /// By path.
  [[nodiscard]] std::map<std::string, std::string> objects() const {
    const std::lock_guard lock(mutex_);
    return objects_;
  }

  ScriptedServer::Response serve(const ScriptedServer::Request& request) {
    using boost::beast::http::verb;
    const std::string target(request.target());
    std::unique_lock lock(mutex_);
    if (hangs) changed_.wait(lock, [&] { return closed_; });
    while (request.method() == verb::get && keeps_readers_waiting && !closed_) {
      changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
    if (!target.starts_with("/bodies/")) {
      return ScriptedServer::reply(404, "<Error><Code>NoSuchBucket</Code><Message>It does not exist</Message></Error>");
    }
    if (request.method() == verb::put) objects_[target] = request.body();
    if (request.method() == verb::delete_) {
      objects_.erase(target);
      return ScriptedServer::reply(204, "");
    }
    if (request.method() == verb::get && !objects_.contains(target)) {
      return ScriptedServer::reply(404, "<Error><Code>NoSuchKey</Code><Message>It is gone</Message></Error>");
    }
    return ScriptedServer::reply(200, request.method() == verb::get ? objects_[target] : "");
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  std::map<std::string, std::string> objects_;
};

}  // namespace splitnet::testing
