// SPDX-License-Identifier: Apache-2.0
// The link to a worker, which dies, stalls and returns.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <string>
#include <thread>

namespace splitnet::soak {

/// Listens on a port of its own and passes bytes on to a worker, wherever that listens now. Thread-safe. The destructor
/// cuts everything.
class Relay {
 public:
  enum class State : std::uint8_t {
    up,
    stalled,  ///< No byte moves and nobody hears of it; none is lost.
    down,     ///< Connections are reset, new ones too.
  };

  /// Throws std::runtime_error.
  Relay();
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// For sessions; stays the same.
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  /// The port of the worker for connections from now on; 0: there is none, and they are reset.
  void lead_to(std::uint16_t port) { worker_port_ = port; }
  void set(State state) { state_ = state; }

 private:
  struct Road;
  void work();
  void accept_all();

  std::string endpoint_;
  int listener_ = -1;
  std::list<Road> roads_;  // Of the thread.
  std::atomic<std::uint16_t> worker_port_ = 0;
  std::atomic<State> state_ = State::up;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

}  // namespace splitnet::soak
