// SPDX-License-Identifier: Apache-2.0
#include "forwarder.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "splitnet/error.hpp"

namespace splitnet::detail {

namespace {

struct Waiting {
  Message request;
  Deadline deadline;
  std::stop_token stop;
  Completion done;
};

}  // namespace

/// The way to one endpoint.
class Forwarder::Link {
 public:
  Link(const TransportRegistry& registry, const ConnectOptions& options, std::string endpoint)
      : registry_(registry), options_(options), endpoint_(std::move(endpoint)) {}
  ~Link() { close(); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void call(Waiting waiting) {
    std::shared_ptr<Connection> connection;
    std::optional<Error> refused;
    {
      const std::lock_guard lock(mutex_);
      connection = connection_;
      if (!connection) refused = wait_for_connection(waiting);
    }
    if (connection) return send(*connection, waiting);
    if (refused) waiting.done(*refused);
  }

  void close() noexcept {
    std::shared_ptr<Connection> connection;
    std::vector<Waiting> waiting;
    std::thread thread;
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      connection.swap(connection_);
      waiting.swap(waiting_);
      thread.swap(thread_);
    }
    needed_or_closed_.notify_all();
    for (Waiting& one : waiting) one.done(closed_error());
    if (connection) connection->close();
    if (thread.joinable()) thread.join();
  }

 private:
  static void send(Connection& connection, Waiting& waiting) {
    connection.call(std::move(waiting.request), waiting.deadline, std::move(waiting.stop), std::move(waiting.done));
  }

  [[nodiscard]] Error closed_error() const {
    return Error(ErrorCode::unavailable, "connection to '" + endpoint_ + "': this worker is shutting down");
  }

  /// Under the lock.
  std::optional<Error> wait_for_connection(Waiting& waiting) {
    if (closed_) return closed_error();
    if (waiting_.size() >= options_.max_calls_in_flight) {
      return Error(ErrorCode::overloaded, "connection to '" + endpoint_ + "': " + std::to_string(waiting_.size()) +
                                              " requests wait for it already");
    }
    try {
      if (!thread_.joinable()) thread_ = std::thread([this] { connect_when_needed(); });
    } catch (const std::exception& error) {
      return Error(ErrorCode::internal, "connection to '" + endpoint_ + "': no thread for it: " + error.what());
    }
    waiting_.push_back(std::move(waiting));
    needed_or_closed_.notify_all();
    return std::nullopt;
  }

  /// Until there is a connection; all who wait when an attempt ends share what comes out.
  void connect_when_needed() {
    for (bool connected = false; !connected;) {
      {
        std::unique_lock lock(mutex_);
        needed_or_closed_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
        if (closed_) return;
      }
      const auto made = connect();
      const auto* const connection = std::get_if<std::shared_ptr<Connection>>(&made);
      std::vector<Waiting> waiting;
      {
        const std::lock_guard lock(mutex_);
        waiting.swap(waiting_);  // None when it was closed meanwhile.
        if (connection != nullptr && !closed_) connection_ = *connection;
        connected = connection != nullptr;
      }
      for (Waiting& one : waiting) {
        connection != nullptr ? send(**connection, one) : one.done(std::get<Error>(made));
      }
    }
  }

  [[nodiscard]] std::variant<std::shared_ptr<Connection>, Error> connect() const {
    try {
      return std::shared_ptr<Connection>(registry_.connect(endpoint_, options_));
    } catch (const Error& error) {
      return error;
    } catch (const std::exception& error) {
      return Error(ErrorCode::internal, "connection to '" + endpoint_ + "': " + error.what());
    }
  }

  const TransportRegistry& registry_;
  const ConnectOptions& options_;
  const std::string endpoint_;

  std::mutex mutex_;  // Guards everything below.
  std::condition_variable needed_or_closed_;
  bool closed_ = false;
  std::shared_ptr<Connection> connection_;
  std::vector<Waiting> waiting_;  // For a connection.
  std::thread thread_;            // Started when it is first needed.
};

Forwarder::Forwarder(const TransportRegistry& registry, const ConnectOptions& options,
                     const std::vector<std::string>& endpoints) {
  for (const std::string& endpoint : endpoints) {
    links_.try_emplace(endpoint, std::make_unique<Link>(registry, options, endpoint));
  }
}

Forwarder::~Forwarder() = default;

void Forwarder::call(const std::string& endpoint, Message request, Deadline deadline, std::stop_token stop,
                     Completion done) {
  links_.at(endpoint)->call({std::move(request), deadline, std::move(stop), std::move(done)});
}

void Forwarder::close() noexcept {
  for (const auto& [endpoint, link] : links_) link->close();
}

}  // namespace splitnet::detail
