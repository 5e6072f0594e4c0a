// SPDX-License-Identifier: Apache-2.0
// The two roles of every program that bench/transports.py measures, and what they say on stdin and stdout, one line
// each:
//   PROGRAM --server [options]          prints its address; answers "counters" with {"cpu_s", "allocations"} since it
//                                       started; ends with its stdin
//   PROGRAM --client ADDRESS [options]  answers "measure REQUEST_BYTES REPLY_BYTES IN_FLIGHT CALLS" with {"p50_us",
//   "p99_us",
//                                       "bytes_per_s", "cpu_s", "allocations"} of these calls; ends with its stdin
// The first eight bytes of a request, little-endian, say how many bytes the reply has. bench/peers/echo_program.py is
// the same for Python.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace splitnet::bench {

/// What one "measure" asks for.
struct Load {
  std::size_t request_bytes = 0;
  std::size_t reply_bytes = 0;
  std::size_t in_flight = 1;
  std::size_t calls = 1;
};

struct Measurement {
  double p50_us = 0;  ///< From the start of a call until its caller has the reply.
  double p99_us = 0;
  double bytes_per_s = 0;  ///< Requests and replies.
  double cpu_s = 0;        ///< Of the whole process.
  std::uint64_t allocations = 0;
};

/// What stands behind the role, as --NAME VALUE.
class Options {
 public:
  explicit Options(std::map<std::string, std::string> given) : given_(std::move(given)) {}
  /// Each is taken once.
  std::string take(const std::string& name, const std::string& otherwise);
  /// As take, of "on" and "off".
  bool take_switch(const std::string& name, bool otherwise);
  /// Throws when options are left that nothing has taken.
  void expect_none_left() const;

 private:
  std::map<std::string, std::string> given_;
};

/// Answers from its construction to its end.
class EchoServer {
 public:
  virtual ~EchoServer() = default;
  /// What clients need to find it; one line.
  [[nodiscard]] virtual std::string address() const = 0;
};

class EchoClient {
 public:
  virtual ~EchoClient() = default;
  /// With run_blocking or run_completions, after everything that is needed once has been made.
  virtual Measurement measure(const Load& load) = 0;
};

struct EchoProgram {
  std::string help;  ///< Its options.
  std::function<std::unique_ptr<EchoServer>(Options&)> make_server;
  std::function<std::unique_ptr<EchoClient>(const std::string& address, Options&)> make_client;
};

/// The program's main.
int run_echo_program(int argc, char** argv, const EchoProgram& program);

/// `call(slot)` does one call and returns the bytes of its reply. One thread per slot of `in_flight`; a single one is
/// the calling thread.
Measurement run_blocking(const Load& load, const std::function<std::size_t(std::size_t slot)>& call);

struct Ended {
  std::size_t slot = 0;
  std::size_t reply_bytes = 0;
};
/// The calling thread keeps a call under way in each slot: `start(slot)` begins one, `wait()` blocks until one has
/// ended.
Measurement run_completions(const Load& load, const std::function<void(std::size_t slot)>& start,
                            const std::function<Ended()>& wait);

/// Brings calls that ended on other threads to the one that waits.
class EndedCalls {
 public:
  void push(Ended ended) {
    {
      const std::lock_guard lock(mutex_);
      ended_.push_back(ended);
    }
    changed_.notify_one();
  }
  Ended wait() {
    if (next_ == taken_.size()) {
      taken_.clear();
      next_ = 0;
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !ended_.empty(); });
      taken_.swap(ended_);
    }
    return taken_[next_++];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Ended> ended_;
  std::vector<Ended> taken_;  // Only of the thread that waits.
  std::size_t next_ = 0;
};

/// A request of that load; at least eight bytes.
std::vector<char> make_request(const Load& load);
/// How many bytes the reply to this request has.
std::size_t reply_bytes_of(std::span<const char> request);

/// What a server answers with, made once per size. Thread-safe.
template <class Reply>
class ReadyReplies {
 public:
  explicit ReadyReplies(std::function<Reply(std::size_t bytes)> make) : make_(std::move(make)) {}
  /// Stays where it is.
  Reply& of(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = replies_.find(bytes);
    return found != replies_.end() ? found->second : replies_.emplace(bytes, make_(bytes)).first->second;
  }

 private:
  std::function<Reply(std::size_t)> make_;
  std::mutex mutex_;
  std::map<std::size_t, Reply> replies_;
};

/// Ends the program with that message: what it measures would be wrong.
[[noreturn]] void fail(const std::string& message);

}  // namespace splitnet::bench
