// SPDX-License-Identifier: Apache-2.0
#include "message_loop.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <span>
#include <system_error>
#include <utility>

namespace custom {

using splitnet::Error;
using splitnet::ErrorCode;

namespace {

Error peer_is_gone() {
  return Error(ErrorCode::unavailable, "pipe: the peer is gone");
}

int milliseconds_until(splitnet::Deadline deadline) {
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

}  // namespace

MessageLoop::MessageLoop(Pipes pipes, const splitnet::MessageLimits& limits, std::size_t max_queued_bytes)
    : limits_(limits),
      max_queued_bytes_(max_queued_bytes),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      pipes_(std::move(pipes)) {
  if (wake_.get() < 0) throw Error(ErrorCode::unavailable, "pipe: no descriptors left");
}

// ---- for any thread ----------------------------------------------------------------------------

void MessageLoop::wake() const noexcept {
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

bool MessageLoop::send(splitnet::EncodedMessage message) {
  const std::lock_guard lock(mutex_);
  if (ended_) return true;
  if (message.size_bytes > max_queued_bytes_ - queued_bytes_) return false;
  queued_bytes_ += message.size_bytes;
  queue_.push_back(std::move(message));
  wake();
  return true;
}

void MessageLoop::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  wake();
}

void MessageLoop::hang_up(const Error& reason) {
  post([this, reason] { end(reason); });
}

void MessageLoop::finish() {
  const std::lock_guard lock(mutex_);
  finishing_ = true;
  wake();
}

// ---- the thread --------------------------------------------------------------------------------

void MessageLoop::run() {
  // Writing to a pipe that nobody reads must not end the process.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  while (step()) {
  }
}

bool MessageLoop::step() {
  std::deque<std::function<void()>> tasks;
  bool is_last = false;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    is_last = finishing_ && tasks.empty();
  }
  for (auto& task : tasks) std::exchange(task, nullptr)();
  if (is_last) return false;
  if (tasks.empty()) wait(on_time());  // Else there may be more of them.
  return true;
}

void MessageLoop::wait(splitnet::Deadline until) {
  bool writes = false;
  {
    const std::lock_guard lock(mutex_);
    writes = !queue_.empty();
  }
  const short reading = may_read() ? POLLIN : 0;
  const short writing = writes ? POLLOUT : 0;
  std::array<pollfd, 3> waited{{{wake_.get(), POLLIN, 0},
                                {pipes_ ? pipes_->in.get() : -1, reading, 0},
                                {pipes_ ? pipes_->out.get() : -1, writing, 0}}};
  ::poll(waited.data(), waited.size(), milliseconds_until(until));
  std::uint64_t wakes = 0;
  (void)!::read(wake_.get(), &wakes, sizeof wakes);
  if (!pipes_) return;
  try {
    if ((waited[1].revents & POLLIN) != 0) {
      read();
    } else if (waited[1].revents != 0) {
      throw peer_is_gone();
    }
    if ((waited[2].revents & POLLERR) != 0) throw peer_is_gone();
    if ((waited[2].revents & POLLOUT) != 0) write();
  } catch (const Error& error) {
    end(error);
  } catch (const std::bad_alloc&) {
    end(Error(ErrorCode::overloaded, "pipe: no memory for a message"));
  }
}

// Each read asks for what is missing and no more, so that a body lands where it stays.
void MessageLoop::read() {
  while (may_read()) {
    auto space = body_ ? std::span(body_->data(), body_->size_bytes()) : std::span<std::byte>(header_);
    space = space.subspan(filled_);
    if (!space.empty()) {
      const auto got = ::read(pipes_->in.get(), space.data(), space.size());
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) throw peer_is_gone();
      filled_ += static_cast<std::size_t>(got);
      if (static_cast<std::size_t>(got) < space.size()) continue;
    }
    filled_ = 0;
    if (!body_) {
      body_ = splitnet::Storage::allocate(decode_header(header_, limits_).body_bytes());
    } else {
      const auto body = *std::exchange(body_, std::nullopt);
      on_message(decode(header_, body, limits_));
    }
  }
}

void MessageLoop::write() {
  std::vector<splitnet::EncodedMessage> done;  // Goes without the lock: it may hold the last handle of large tensors.
  const std::lock_guard lock(mutex_);
  while (!queue_.empty()) {
    std::array<iovec, 64> pieces;
    std::size_t count = 0;
    std::size_t skip = sent_;
    for (const auto& buffer : queue_.front().buffers) {
      const auto skipped = std::min(skip, buffer.size());
      skip -= skipped;
      if (skipped == buffer.size()) continue;
      if (count == pieces.size()) break;
      pieces[count++] = {const_cast<std::byte*>(buffer.data()) + skipped, buffer.size() - skipped};
    }
    const auto put = ::writev(pipes_->out.get(), pieces.data(), static_cast<int>(count));
    if (put < 0 && errno == EAGAIN) return;
    if (put < 0) throw peer_is_gone();
    sent_ += static_cast<std::size_t>(put);
    if (sent_ < queue_.front().size_bytes) continue;
    queued_bytes_ -= sent_;
    sent_ = 0;
    done.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
}

void MessageLoop::end(const Error& reason) {
  if (!pipes_) return;
  pipes_.reset();
  std::deque<splitnet::EncodedMessage> unsent;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    unsent.swap(queue_);
    queued_bytes_ = 0;
  }
  on_end(reason);
}

}  // namespace custom
