// SPDX-License-Identifier: Apache-2.0
// Keeps workers running, and torments them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace splitnet::soak {

struct SupervisorOptions {
  /// The program splitnet-worker and its arguments, without --listen.
  std::vector<std::string> worker;
  std::string log_file;
  /// Of the requests: workers are stopped for longer.
  std::chrono::nanoseconds deadline = std::chrono::seconds(1);
  std::uint64_t seed = 1;
};

/// What was done to workers and links.
struct Torments {
  std::uint64_t killed = 0;         ///< By SIGKILL, and started again.
  std::uint64_t drained = 0;        ///< Told to end by SIGTERM, ended with 0, and started again.
  std::uint64_t stopped = 0;        ///< By SIGSTOP until the deadline had passed, then SIGCONT.
  std::uint64_t slowed = 0;         ///< For a second: stopped half of the time, in pulses of milliseconds.
  std::uint64_t links_cut = 0;      ///< All connections to all workers reset, none to be had for a while.
  std::uint64_t links_stalled = 0;  ///< No byte from or to any worker for a while.
};

/// Three workers, each behind a link of its own. The first two are killed, drained and started again all the time; the
/// last one lives through. Thread-safe. The destructor ends them.
class Supervisor {
 public:
  static constexpr std::size_t worker_count = 3;

  /// Returns when all are ready. Throws std::runtime_error.
  explicit Supervisor(SupervisorOptions options);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Of the workers' links, in order.
  [[nodiscard]] std::vector<std::string> endpoints() const;
  void begin();
  /// The links return, and all go on.
  void end();

  [[nodiscard]] Torments torments() const;
  /// Workers that ended otherwise than they were told to, each with what it did.
  [[nodiscard]] std::vector<std::string> surprises() const;
  /// Physical memory of the worker that lives through, in bytes.
  [[nodiscard]] std::int64_t lasting_resident_bytes() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace splitnet::soak
