// SPDX-License-Identifier: Apache-2.0
#include "supervisor.hpp"

#include <signal.h>

#include <algorithm>
#include <array>
#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>

#include "relay.hpp"
#include "worker_program.hpp"

namespace splitnet::soak {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto tick = 5ms;
constexpr auto starting_patience = 60s;
constexpr auto draining_patience = 30s;

constexpr auto shortest_life = 500ms;  // From being ready to being killed.
constexpr auto slow_time = 1s;
constexpr auto slow_pulse = 20ms;  // Stopped so long, and then running so long.
constexpr auto cut_time = 800ms;
constexpr auto stall_time = 600ms;
constexpr auto beyond_deadline = 200ms;  // Of a stop.

/// One worker, its link and what is being done to it. Of the supervisor's thread.
class Victim {
 public:
  Victim(const SupervisorOptions& options, std::string name)
      : options_(options), name_(std::move(name)), command_(options.worker) {
    command_.insert(command_.end(), {"--listen", "tcp://127.0.0.1:0"});
  }

  Relay& link() { return link_; }
  [[nodiscard]] const std::string& endpoint() const { return link_.endpoint(); }
  [[nodiscard]] bool is_ready() const { return is_ready_; }
  [[nodiscard]] bool may_be_killed() const {
    return is_ready_ && !goes_on_at_ && Clock::now() >= ready_at_ + shortest_life;
  }
  [[nodiscard]] bool is_untroubled() const { return is_ready_ && !is_draining_ && !goes_on_at_ && !slow_until_; }
  [[nodiscard]] std::int64_t resident_bytes() const { return program_ ? program_->resident_bytes() : 0; }

  void start() {
    link_.lead_to(0);
    is_ready_ = is_draining_ = false;
    goes_on_at_ = slow_until_ = std::nullopt;
    program_.emplace(command_, options_.log_file);
    since_ = Clock::now();
  }
  void kill() {
    program_->kill();
    start();
  }
  void drain() {
    program_->signal(SIGTERM);
    is_draining_ = true;
    since_ = Clock::now();
  }
  void stop(Clock::duration time) {
    program_->signal(SIGSTOP);
    goes_on_at_ = Clock::now() + time;
  }
  void slow(Clock::duration time) { slow_until_ = Clock::now() + time; }
  void leave_alone() {
    goes_on_at_ = slow_until_ = std::nullopt;
    program_->signal(SIGCONT);
  }
  void end() {
    if (program_) program_->kill();
  }

  /// What has happened by itself. `drained`: it has ended as it was told to. Throws std::runtime_error: it did
  /// something that nobody told it to.
  void look(std::uint64_t& drained) {
    const auto now = Clock::now();
    if (const auto status = program_->ended()) {
      if (!is_draining_ || *status != 0) {
        throw std::runtime_error(name_ + (is_draining_ ? " was told to end, and did with " : " ended by itself with ") +
                                 std::to_string(*status));
      }
      ++drained;
      return start();
    }
    if (is_draining_ && now > since_ + draining_patience) throw std::runtime_error(name_ + " did not end when told to");
    if (!is_ready_) become_ready(now);
    if (goes_on_at_ && now >= *goes_on_at_) leave_alone();
    if (slow_until_) pulse(now);
  }

 private:
  void become_ready(Clock::time_point now) {
    if (const auto port = program_->port()) {
      link_.lead_to(*port);
      is_ready_ = true;
      ready_at_ = Clock::now();
    } else if (now > since_ + starting_patience) {
      throw std::runtime_error(name_ + " did not become ready");
    }
  }
  void pulse(Clock::time_point now) {
    if (now >= *slow_until_) return leave_alone();
    const bool stands = (now.time_since_epoch() / slow_pulse) % 2 == 0;
    program_->signal(stands ? SIGSTOP : SIGCONT);
  }

  const SupervisorOptions& options_;
  const std::string name_;
  std::vector<std::string> command_;
  Relay link_;
  std::optional<WorkerProgram> program_;
  Clock::time_point since_;  // It was started, or told to end.
  Clock::time_point ready_at_;
  bool is_ready_ = false;
  bool is_draining_ = false;
  std::optional<Clock::time_point> goes_on_at_;  // It is stopped.
  std::optional<Clock::time_point> slow_until_;
};

/// Something that is done over and over. `act` says whether it could be done now; else it is tried again at once.
struct Torment {
  Clock::duration period;
  std::function<bool()> act;
  Clock::time_point due = {};
};

}  // namespace

class Supervisor::Impl {
 public:
  explicit Impl(SupervisorOptions options) : options_(std::move(options)), random_(options_.seed) {
    for (std::size_t i = 0; i < worker_count; ++i) {
      victims_[i] = std::make_unique<Victim>(options_, "worker " + std::to_string(i + 1));
    }
    auto ready = ready_.get_future();
    thread_ = std::thread([this] { work(); });
    try {
      ready.get();
    } catch (...) {
      thread_.join();
      throw;
    }
  }
  ~Impl() {
    ends_ = true;
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] const Victim& victim(std::size_t i) const { return *victims_[i]; }
  void set_active(bool active) { is_active_ = active; }
  [[nodiscard]] Torments torments() const {
    const std::lock_guard lock(mutex_);
    return torments_;
  }
  [[nodiscard]] std::vector<std::string> surprises() const {
    const std::lock_guard lock(mutex_);
    return surprises_;
  }
  [[nodiscard]] std::int64_t lasting_resident_bytes() const { return lasting_resident_bytes_; }

 private:
  void work() {
    try {
      for (const auto& victim : victims_) victim->start();
      while (!std::all_of(victims_.begin(), victims_.end(), [](const auto& one) { return one->is_ready(); })) {
        std::this_thread::sleep_for(tick);
        for (const auto& victim : victims_) victim->look(torments_.drained);
      }
      ready_.set_value();
    } catch (...) {
      ready_.set_exception(std::current_exception());
      return;
    }
    std::vector<Torment> plan = make_plan();
    for (bool was_active = false; !ends_; std::this_thread::sleep_for(tick)) {
      const bool is_active = is_active_;
      if (is_active && !was_active) {
        for (Torment& one : plan) one.due = Clock::now() + one.period / 2;
      }
      if (!is_active && was_active) leave_alone();
      was_active = is_active;
      const std::lock_guard lock(mutex_);
      for (const auto& victim : victims_) look_at(*victim);
      if (is_active) torment(plan);
      lasting_resident_bytes_ = victims_.back()->resident_bytes();
    }
    for (const auto& victim : victims_) victim->end();
  }

  void look_at(Victim& victim) {
    try {
      victim.look(torments_.drained);
    } catch (const std::runtime_error& surprise) {
      surprises_.emplace_back(surprise.what());
      victim.kill();
    }
  }

  void torment(std::vector<Torment>& plan) {
    const auto now = Clock::now();
    if (link_returns_at_ && now >= *link_returns_at_) set_links(Relay::State::up);
    for (Torment& one : plan) {
      if (now >= one.due && one.act()) one.due = std::max(one.due + one.period, now);
    }
  }

  std::vector<Torment> make_plan() {
    // Periods that rarely meet in the same order.
    std::vector<Torment> plan;
    plan.push_back({1s, [this] { return kill(); }});
    plan.push_back({4300ms, [this] { return drain(); }});
    plan.push_back({options_.deadline + 4100ms, [this] { return stop(); }});
    plan.push_back({5900ms, [this] { return slow(); }});
    plan.push_back({7700ms, [this] { return trouble_links(Relay::State::down, cut_time, torments_.links_cut); }});
    plan.push_back(
        {9100ms, [this] { return trouble_links(Relay::State::stalled, stall_time, torments_.links_stalled); }});
    return plan;
  }

  /// The two that don't last take turns.
  bool kill() {
    for (const std::size_t one : {next_killed_, 1 - next_killed_}) {
      if (!victims_[one]->may_be_killed()) continue;
      victims_[one]->kill();
      next_killed_ = 1 - one;
      ++torments_.killed;
      return true;
    }
    return false;
  }
  bool drain() {
    Victim* const victim = any_untroubled(worker_count - 1);
    if (victim == nullptr) return false;
    victim->drain();
    return true;
  }
  bool stop() {
    Victim* const victim = any_untroubled(worker_count);
    if (victim == nullptr) return false;
    victim->stop(options_.deadline + beyond_deadline);
    ++torments_.stopped;
    return true;
  }
  bool slow() {
    Victim* const victim = any_untroubled(worker_count);
    if (victim == nullptr) return false;
    victim->slow(slow_time);
    ++torments_.slowed;
    return true;
  }
  bool trouble_links(Relay::State state, Clock::duration time, std::uint64_t& count) {
    if (link_returns_at_) return false;
    set_links(state);
    link_returns_at_ = Clock::now() + time;
    ++count;
    return true;
  }

  /// Among the first `count`; null: all are in trouble.
  Victim* any_untroubled(std::size_t count) {
    const std::size_t first = random_() % count;
    for (std::size_t i = 0; i < count; ++i) {
      Victim* const victim = victims_[(first + i) % count].get();
      if (victim->is_untroubled()) return victim;
    }
    return nullptr;
  }
  void set_links(Relay::State state) {
    link_returns_at_.reset();
    for (const auto& victim : victims_) victim->link().set(state);
  }
  void leave_alone() {
    set_links(Relay::State::up);
    for (const auto& victim : victims_) victim->leave_alone();
  }

  const SupervisorOptions options_;
  std::mt19937_64 random_;
  std::array<std::unique_ptr<Victim>, worker_count> victims_;
  std::size_t next_killed_ = 0;
  std::optional<Clock::time_point> link_returns_at_;
  std::promise<void> ready_;
  std::atomic<bool> is_active_ = false;
  std::atomic<bool> ends_ = false;
  std::atomic<std::int64_t> lasting_resident_bytes_ = 0;
  mutable std::mutex mutex_;  // Guards these two.
  Torments torments_;
  std::vector<std::string> surprises_;
  std::thread thread_;
};

Supervisor::Supervisor(SupervisorOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Supervisor::~Supervisor() = default;

std::vector<std::string> Supervisor::endpoints() const {
  std::vector<std::string> endpoints;
  for (std::size_t i = 0; i < worker_count; ++i) endpoints.push_back(impl_->victim(i).endpoint());
  return endpoints;
}
void Supervisor::begin() {
  impl_->set_active(true);
}
void Supervisor::end() {
  impl_->set_active(false);
}
Torments Supervisor::torments() const {
  return impl_->torments();
}
std::vector<std::string> Supervisor::surprises() const {
  return impl_->surprises();
}
std::int64_t Supervisor::lasting_resident_bytes() const {
  return impl_->lasting_resident_bytes();
}

}  // namespace splitnet::soak
