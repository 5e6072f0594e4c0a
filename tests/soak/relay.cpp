// SPDX-License-Identifier: Apache-2.0
#include "relay.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace splitnet::soak {
namespace {

constexpr std::size_t most_waiting_bytes = 256 << 10;  // In each direction of a connection.
constexpr int look_around_ms = 5;                      // How soon a new state is seen.

sockaddr_in here(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void send_at_once(int socket) {
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/// The other side hears of an error and not of an end.
void reset(int socket) {
  const linger at_once{1, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(socket);
}

/// Negative: nobody listens there.
int connect_to(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = here(port);
  if (::connect(socket, generic(address), sizeof address) == 0) return socket;
  ::close(socket);
  return -1;
}

/// Bytes of one direction.
struct Lane {
  int from;
  int to;
  std::string waiting = {};
  bool has_ended = false;  // Nothing more comes.

  [[nodiscard]] short wants_of_from() const {
    return static_cast<short>(!has_ended && waiting.size() < most_waiting_bytes ? POLLIN : 0);
  }
  [[nodiscard]] short wants_of_to() const { return static_cast<short>(waiting.empty() ? 0 : POLLOUT); }

  /// False: the connection has failed.
  bool take() {
    std::array<char, 65536> some;
    const ssize_t got = ::recv(from, some.data(), some.size(), MSG_DONTWAIT);
    if (got > 0) waiting.append(some.data(), static_cast<std::size_t>(got));
    if (got == 0) has_ended = true;
    return got >= 0 || errno == EAGAIN || errno == EINTR;
  }
  /// Likewise.
  bool give() {
    if (waiting.empty()) return true;
    const ssize_t sent = ::send(to, waiting.data(), waiting.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) waiting.erase(0, static_cast<std::size_t>(sent));
    return sent >= 0 || errno == EAGAIN || errno == EINTR;
  }
};

}  // namespace

/// A connection through the relay.
struct Relay::Road {
  Lane up;
  Lane down;

  Road(int client, int worker) : up{client, worker}, down{worker, client} {
    send_at_once(client);
    send_at_once(worker);
  }
  ~Road() {
    reset(up.from);
    reset(down.from);
  }
  Road(const Road&) = delete;
  Road& operator=(const Road&) = delete;

  [[nodiscard]] pollfd wants_of_client() const {
    return {up.from, static_cast<short>(up.wants_of_from() | down.wants_of_to()), 0};
  }
  [[nodiscard]] pollfd wants_of_worker() const {
    return {down.from, static_cast<short>(down.wants_of_from() | up.wants_of_to()), 0};
  }
  /// False: it is over.
  bool move() {
    for (Lane* lane : {&up, &down}) {
      if (lane->wants_of_from() != 0 && !lane->take()) return false;
      if (!lane->give() || (lane->has_ended && lane->waiting.empty())) return false;
    }
    return true;
  }
};

Relay::Relay() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  auto address = here(0);
  socklen_t size = sizeof address;
  if (::bind(listener_, generic(address), size) != 0 || ::listen(listener_, SOMAXCONN) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    const std::string why = std::strerror(errno);
    ::close(listener_);
    throw std::runtime_error("a relay can't listen: " + why);
  }
  endpoint_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  thread_ = std::thread([this] { work(); });
}

Relay::~Relay() {
  ends_ = true;
  thread_.join();
  ::close(listener_);
}

void Relay::work() {
  std::vector<pollfd> wanted;
  while (!ends_) {
    const State state = state_;
    if (state == State::down) roads_.clear();
    wanted.clear();
    if (state != State::stalled) {
      wanted.push_back({listener_, POLLIN, 0});
      for (const Road& road : roads_) {
        wanted.push_back(road.wants_of_client());
        wanted.push_back(road.wants_of_worker());
      }
    }
    ::poll(wanted.data(), wanted.size(), look_around_ms);
    if (state_ == State::stalled) continue;
    accept_all();
    roads_.remove_if([](Road& road) { return !road.move(); });
  }
  roads_.clear();
}

void Relay::accept_all() {
  for (int client = -1; (client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
    const std::uint16_t port = state_ == State::up ? worker_port_.load() : std::uint16_t{0};
    const int worker = port == 0 ? -1 : connect_to(port);
    if (worker >= 0) {
      roads_.emplace_back(client, worker);
    } else {
      reset(client);
    }
  }
}

}  // namespace splitnet::soak
