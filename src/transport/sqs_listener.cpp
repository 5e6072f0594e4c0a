// SPDX-License-Identifier: Apache-2.0
#include "sqs_listener.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "aws/thrown_error.hpp"
#include "on_context.hpp"

namespace splitnet::detail {
namespace {

constexpr auto kClosingTime = std::chrono::seconds(5);
/// A poll that ends by itself in so long is not broken off: of that, time is left to give back what it brings.
constexpr auto kTimeToEnd = std::chrono::seconds(4);
/// SQS gives no more at once.
constexpr std::size_t kMostMessages = 10;
/// Answered ones whose answer or deletion is on its way take no place, but are not without number either.
constexpr std::size_t kMostOnTheirWay = 64;
constexpr auto kLongestPauseToDelete = std::chrono::seconds(60);
/// From one question that brings nothing to the next, also where a server doesn't wait as it should.
constexpr auto kShortestPoll = std::chrono::seconds(1);
/// Of a worker that can't do what it takes, so that others have it.
constexpr Reconnect kHoldOff = {.first_pause = std::chrono::seconds(2), .longest_pause = std::chrono::seconds(30)};
constexpr std::size_t kMostDeletionsAtOnce = 2;
/// From one attempt to hide a message to the next, however short it is hidden.
constexpr auto kShortestPauseToHide = std::chrono::milliseconds(250);

std::string receipt_member(const std::string& receipt) {
  return R"("ReceiptHandle":)" + json_text(receipt);
}

}  // namespace

SqsListener::SqsListener(std::shared_ptr<SqsClient> client, Target target, std::shared_ptr<SqsRequests> requests,
                         LogSink log)
    : client_(std::move(client)),
      target_(std::move(target)),
      requests_(std::move(requests)),
      log_(std::move(log)),
      no_memory_(ErrorCode::overloaded, "no memory for what the queue has"),
      deletions_(std::make_shared<SqsBatches>(client_, "DeleteMessageBatch", target_.url,
                                              SqsBatches::Limits{.most_at_once = kMostDeletionsAtOnce},
                                              stop_.get_token())),
      // One at a time: hidden again and then given back, never the other way round. One that hangs is given up while
      // there is time for another.
      visibilities_(std::make_shared<SqsBatches>(
          client_, "ChangeMessageVisibilityBatch", target_.url,
          SqsBatches::Limits{.time = std::chrono::milliseconds(target_.visibility_timeout) / 4}, stop_.get_token())),
      poll_timer_(*client_->context()),
      hide_timer_(*client_->context()),
      hold_off_(kHoldOff) {}

template <class Step>
void SqsListener::post(Step step) {
  insist([&] { asio::post(*client_->context(), guarded([self = shared_from_this(), step] { step(*self); })); });
}

void SqsListener::start() {
  requests_->start([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    asio::post(*self->client_->context(), guarded([weak] {
      if (const auto there = weak.lock()) there->poll();
    }));
  });
  post([](SqsListener& self) { self.poll(); });
}

void SqsListener::poll() {
  if (is_closing_) return look_whether_closed();
  const std::size_t working = requests_->working();
  const bool has_places = working < target_.max_in_flight && held_.size() < target_.max_in_flight + kMostOnTheirWay;
  if (is_polling_ || is_draining_ || !has_places) return;
  poll_began_ = Clock::now();
  if (poll_began_ < polls_again_at_) return poll_after(polls_again_at_ - poll_began_);
  is_polling_ = true;
  const auto got = [self = shared_from_this()](SqsResult<std::vector<SqsMessage>> result) {
    self->is_polling_ = false;
    try {
      self->on_poll(std::move(result));
    } catch (const std::exception&) {
      self->is_polling_ = false;
      self->on_failure(thrown_error("what has come", self->no_memory_));
    }
  };
  try {
    stop_polling_ = std::stop_source();
    client_->receive(target_.url,
                     {.most = std::min(kMostMessages, target_.max_in_flight - working),
                      .wait = target_.wait_time,
                      .visibility_timeout = target_.visibility_timeout},
                     stop_polling_.get_token(), got);
  } catch (const std::exception&) {  // Nothing was sent.
    got(SqsFailure{thrown_error("asking", no_memory_)});
  }
}

void SqsListener::on_poll(SqsResult<std::vector<SqsMessage>> result) {
  if (const auto* const failure = std::get_if<SqsFailure>(&result)) {
    const bool is_ended = is_closing_ || is_draining_ || failure->error.code() == ErrorCode::cancelled;
    return is_ended ? poll() : on_failure(failure->error);
  }
  if (std::exchange(is_failing_, false)) say(LogLevel::info, "the queue is there again");
  back_off_.reset();
  auto& messages = std::get<std::vector<SqsMessage>>(result);
  if (messages.empty() && !is_closing_) return poll_after(poll_began_ + kShortestPoll - Clock::now());
  is_polling_ = true;  // Until it is known how many of them stay.
  const bool takes_none = is_draining_ || is_closing_ || Clock::now() < polls_again_at_;
  for (SqsMessage& message : messages) {
    if (takes_none) {
      say(LogLevel::debug, "what the last poll has brought is given back: this worker takes no more for now",
          {{"message", message.id}, {"deliveries", std::uint64_t{message.deliveries}}});
      give_back(message.receipt, std::chrono::seconds(0));
    } else {
      take(std::move(message));
    }
  }
  is_polling_ = false;
  poll();
}

void SqsListener::on_failure(const Error& error) {
  if (!std::exchange(is_failing_, true)) {
    say(LogLevel::warning, std::string("asking the queue again and again: ") + error.what());
  }
  poll_after(back_off_.next());
}

void SqsListener::poll_after(Clock::duration pause) {
  poll_timer_.expires_after(pause);
  insist([&] {
    poll_timer_.async_wait(guarded([self = shared_from_this()](const auto&) {
      self->is_polling_ = false;
      self->poll();
    }));
  });
  is_polling_ = true;
}

/// It is always free, and would take everything that comes again before others can. At random, else it could ask each
/// time at the moment when what it gave back may be taken again: those pauses double too.
void SqsListener::hold_off() {
  const auto now = Clock::now();
  if (now < polls_again_at_ || is_draining_) return;  // What was taken together fails together.
  polls_again_at_ = now + hold_off_.next();
  end_poll();  // For its other places it may be asking.
}

/// Broken off, it may yet be given a request, which is hidden for nobody then.
void SqsListener::end_poll() {
  if (poll_began_ + target_.wait_time > Clock::now() + kTimeToEnd) stop_polling_.request_stop();
}

/// Half of the time is left to hide it again.
SqsListener::Clock::duration SqsListener::time_to_hide() const {
  return std::chrono::milliseconds(target_.visibility_timeout) / 2;
}

SqsListener::Clock::duration SqsListener::pause_to_hide() const {
  return std::max(kShortestPauseToHide, std::chrono::milliseconds(target_.visibility_timeout) / 8);
}

void SqsListener::take(SqsMessage message) {
  const std::string id = message.id;
  const auto [place, is_new] = held_.try_emplace(id);
  try {
    place->second.receipt = message.receipt;
    place->second.hide_again_at = Clock::now() + time_to_hide();
    wake_at(place->second.hide_again_at);
    if (!is_new) return;  // It was not hidden again in time, and came back to the one who works on it.
    requests_->take(std::move(message), {}, [weak = weak_from_this(), id](SqsRequests::Outcome outcome) {
      if (const auto self = weak.lock()) self->settle(id, outcome);
    });
  } catch (...) {  // No memory: nobody works on it, so it comes back by itself.
    if (is_new) held_.erase(id);
    throw;
  }
}

void SqsListener::settle(const std::string& id, SqsRequests::Outcome outcome) {
  if (outcome.is_answered) hold_off_.reset();
  if (outcome.is_failure) hold_off();
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  attempt(id, [&] {
    if (outcome.is_done) return delete_message(id);
    give_back(found->second.receipt, outcome.pause);
    release(id);
  });
}

/// Without memory for it: it is hidden no more, and comes again by itself.
template <class Step>
void SqsListener::attempt(const std::string& id, Step&& step) {
  try {
    step();
  } catch (const std::exception&) {
    release(id);
  }
}

void SqsListener::give_back(const std::string& receipt, std::chrono::seconds pause) {
  SqsBatches::Entry entry{
      .members = receipt_member(receipt) + R"(,"VisibilityTimeout":)" + std::to_string(pause.count()),
      .done = [self = shared_from_this()](const std::optional<SqsFailure>&) {  // Else it comes by itself, later.
        --self->giving_back_;
        self->look_whether_closed();
      }};
  ++giving_back_;
  try {
    visibilities_->add(std::move(entry));
  } catch (...) {
    --giving_back_;
    throw;
  }
}

void SqsListener::delete_message(const std::string& id) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  const std::string& receipt = found->second.receipt;
  deletions_->add({.members = receipt_member(receipt),
                   .done = [self = shared_from_this(), id, receipt](const std::optional<SqsFailure>& failure) {
                     self->attempt(id, [&] { self->on_deletion(id, receipt, failure); });
                   }});
}

void SqsListener::on_deletion(const std::string& id, const std::string& receipt,
                              const std::optional<SqsFailure>& failure) {
  const auto held = held_.find(id);
  if (held == held_.end()) return;
  // It came again meanwhile: only with the last handle is it sure to be deleted.
  if (!failure && held->second.receipt != receipt) return delete_message(id);
  const bool is_over = !failure || failure->is_no_queue || is_closing_ ||
                       failure->error.code() == ErrorCode::invalid_argument ||
                       held->second.pause_to_delete > kLongestPauseToDelete;
  is_over ? release(id) : delete_later(id);
}

void SqsListener::delete_later(const std::string& id) {
  Held& held = held_.at(id);
  held.delete_timer = std::make_shared<asio::steady_timer>(*client_->context());
  held.delete_timer->expires_after(held.pause_to_delete);
  held.pause_to_delete *= 2;
  held.delete_timer->async_wait(guarded([weak = weak_from_this(), id](const auto&) {  // At once when it is cancelled.
    if (const auto self = weak.lock()) self->attempt(id, [&] { self->delete_message(id); });
  }));
}

void SqsListener::release(const std::string& id) {
  held_.erase(id);
  look_whether_closed();
  poll();
}

void SqsListener::wake_at(Clock::time_point when) {
  if (when >= wakes_at_ || is_closing_) return;
  wakes_at_ = Clock::time_point::max();  // For the next one to ask for, should this go wrong.
  hide_timer_.expires_at(when);
  hide_timer_.async_wait(guarded([self = shared_from_this()](const auto& aborted) {
    if (!aborted) self->on_timer();
  }));
  wakes_at_ = when;
}

/// Everything that is due within a while goes together.
void SqsListener::on_timer() {
  wakes_at_ = Clock::time_point::max();
  const auto now = Clock::now();
  const auto due = now + pause_to_hide();
  auto next = Clock::time_point::max();
  for (auto& [id, held] : held_) {
    if (held.hide_again_at <= due) {
      held.hide_again_at = now + time_to_hide();
      try {
        hide_again(id);
      } catch (const std::exception&) {  // No memory: perhaps there is soon.
        held.hide_again_at = now + pause_to_hide();
      }
    }
    next = std::min(next, held.hide_again_at);
  }
  if (next != Clock::time_point::max()) wake_at(next);
}

void SqsListener::hide_again(const std::string& id) {
  const std::string& receipt = held_.at(id).receipt;
  visibilities_->add({.members = receipt_member(receipt) + R"(,"VisibilityTimeout":)" +
                                 std::to_string(target_.visibility_timeout.count()),
                      .is_wanted = [self = shared_from_this(), id] { return self->held_.contains(id); },
                      .done =
                          [self = shared_from_this(), id](const std::optional<SqsFailure>& failure) {
                            const auto held = self->held_.find(id);
                            if (!failure || held == self->held_.end()) return;
                            held->second.hide_again_at = Clock::now() + self->pause_to_hide();
                            self->wake_at(held->second.hide_again_at);
                          }});
}

void SqsListener::drain() {
  post([](SqsListener& self) {
    self.is_draining_ = true;
    self.requests_->drain();
    self.poll_timer_.cancel();
  });
}

void SqsListener::close(bool may_wait) {
  if (closed_.exchange(true)) return;
  post([](SqsListener& self) { self.begin_to_close(); });
  if (may_wait) {
    begun_to_close_.get_future().wait();  // No handler is running any more.
    ended_.get_future().wait_for(kClosingTime);
  }
  post([](SqsListener& self) {
    self.stop_.request_stop();
    self.stop_polling_.request_stop();
    self.hide_timer_.cancel();
    self.requests_->stop();
  });
}

void SqsListener::begin_to_close() {
  is_closing_ = true;
  end_poll();
  poll_timer_.cancel();
  for (const auto& [id, held] : held_) {
    if (held.delete_timer) held.delete_timer->cancel();
  }
  run_guarded([&] { requests_->give_up(); });
  begun_to_close_.set_value();
  look_whether_closed();
}

void SqsListener::look_whether_closed() {
  if (!is_closing_ || has_ended_ || is_polling_ || !held_.empty() || giving_back_ > 0) return;
  has_ended_ = true;
  ended_.set_value();
}

void SqsListener::say(LogLevel level, const std::string& text, std::vector<LogField> fields) const {
  if (log_) log_({level, target_.endpoint + ": " + text, std::move(fields)});
}

}  // namespace splitnet::detail
