// SPDX-License-Identifier: Apache-2.0
#include "sqs_caller.hpp"

#include <algorithm>
#include <exception>
#include <utility>
#include <variant>

#include "aws/invocation.hpp"
#include "aws/random_name.hpp"
#include "aws/thrown_error.hpp"
#include "found_queue.hpp"
#include "message_store.hpp"
#include "on_context.hpp"
#include "sqs_names.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

constexpr auto kRemovalTime = std::chrono::seconds(5);
/// Of a reply queue that may have been made, when connecting has failed: who waits for that waits for this too.
constexpr auto kTimeToUndo = std::chrono::seconds(1);
/// Of a connection: batches of requests on their way.
constexpr std::size_t kMostAtOnce = 4;
/// A request whose sending was not answered may be in the queue. By the same name it is answered once, so it is sent
/// again; the pauses between bridge about a second, and each time it waits for an answer.
constexpr std::size_t kTriesToSend = 5;
/// Of answers.
constexpr std::size_t kMostDeletionsAtOnce = 2;
/// Clocks and credentials are set right; who has no right to ask will not get one.
constexpr std::size_t kMostRefusals = 6;
/// The longest that SQS can: the machine of who waits may sleep.
constexpr const char* kRetention_s = "1209600";
/// From one question that brings nothing to the next, also where a server doesn't wait as it should.
constexpr auto kShortestPoll = std::chrono::seconds(1);
/// A queue that this connection has made may not be there yet for everybody.
constexpr auto kTimeToAppear = std::chrono::seconds(60);

}  // namespace

SqsCaller::SqsCaller(std::shared_ptr<asio::io_context> context, Target target, const ConnectOptions& options)
    : client_(std::make_shared<SqsClient>(std::move(context), std::move(target.service))),
      target_(std::move(target)),
      options_(options),
      has_checksum_(options.payload_checksum.value_or(!client_->service().is_encrypted())),
      queued_(target_.endpoint, options.max_queued_bytes),
      no_memory_(ErrorCode::overloaded, "call to '" + target_.endpoint + "': no memory for it"),
      back_off_(options.reconnect),
      poll_timer_(*client_->context()) {}

// ---- The connection.

void SqsCaller::connect() {
  calls_ =
      std::make_shared<CallTable>(client_->context(), options_.max_calls_in_flight, [weak = weak_from_this()](auto id) {
        if (const auto self = weak.lock()) self->abandon(id);
      });
  const auto ends_at =
      Clock::now() + std::min<std::chrono::nanoseconds>(options_.connect_timeout, std::chrono::hours(1));
  const auto limits = [&] { return SqsLimits{.time = std::max(ends_at - Clock::now(), Clock::duration(0))}; };
  try {
    auto found = find_queue(*client_, target_.queue, limits);
    url_ = std::move(found.url);
    max_message_bytes_ = found.max_message_bytes;
    requests_ = std::make_shared<SqsBatches>(
        client_, "SendMessageBatch", url_,
        SqsBatches::Limits{.most_at_once = kMostAtOnce, .max_bytes = max_message_bytes_}, stop_.get_token());
    auto reply_url = SqsClient::wait_for<std::string>([&](auto done) { get_reply_queue(limits(), std::move(done)); });
    if (!target_.reply_queue.empty()) {
      const auto bytes = SqsClient::wait_for<std::size_t>(
          [&](auto done) { client_->max_message_bytes(reply_url, limits(), std::move(done)); });
      if (bytes < max_message_bytes_) {
        throw Error(ErrorCode::invalid_argument, "a message of '" + target_.reply_queue + "' may have " +
                                                     std::to_string(bytes) + " bytes, expected those of '" +
                                                     target_.queue + "', " + std::to_string(max_message_bytes_));
      }
    }
    on_reply_queue(std::move(reply_url));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unavailable) remove_reply_queue();
    wait_until_removed(kTimeToUndo);
    throw Error(error.code(), "connect to '" + target_.endpoint + "': " + error.what());
  }
}

void SqsCaller::get_reply_queue(const SqsLimits& limits, SqsClient::Done<std::string> done) {
  if (!target_.reply_queue.empty()) {
    reply_suffix_ = target_.reply_queue.substr(reply_prefix(target_.queue).size());
    return client_->find(target_.reply_queue, limits, std::move(done));
  }
  if (reply_url_.empty()) {
    reply_suffix_ = random_name().substr(0, random_suffix_size);
    reply_url_ = url_beside(url_, reply_prefix(target_.queue) + reply_suffix_);
  }
  client_->create(
      reply_prefix(target_.queue) + reply_suffix_,
      {{"MessageRetentionPeriod", kRetention_s}, {"MaximumMessageSize", std::to_string(max_message_bytes_)}}, limits,
      std::move(done));
}

void SqsCaller::make_reply_queue() {
  if (reply_queue_ != ReplyQueue::none) return;
  reply_queue_ = ReplyQueue::is_asked_for;
  note_leftover();
  const auto made = [self = shared_from_this()](SqsResult<std::string> result) {
    try {
      self->on_reply_queue(std::move(result));
    } catch (const std::exception&) {  // No memory for what is needed to ask it.
      run_guarded([&] { self->has_no_reply_queue({self->caught_error()}); });
    }
    self->leftover_is_gone();
  };
  try {
    get_reply_queue({.time = kRemovalTime, .stop = give_up_.get_token()}, made);
  } catch (const std::exception&) {  // Nothing was sent.
    made(SqsFailure{caught_error()});
  }
}

void SqsCaller::on_reply_queue(SqsResult<std::string> result) {
  if (const auto* const failure = std::get_if<SqsFailure>(&result)) {
    // Without an answer it may be there: the next attempt makes the same, and the end removes it. Being asked too
    // often says nothing of the attempts before.
    const ErrorCode code = failure->error.code();
    if (code != ErrorCode::unavailable && code != ErrorCode::overloaded) reply_url_.clear();
    return has_no_reply_queue(*failure);
  }
  reply_url_ = std::get<std::string>(std::move(result));
  deletions_ =
      std::make_shared<SqsBatches>(client_, "DeleteMessageBatch", reply_url_,
                                   SqsBatches::Limits{.most_at_once = kMostDeletionsAtOnce}, stop_.get_token());
  reply_queue_ = ReplyQueue::is_there;
  has_to_appear_until_ = target_.reply_queue.empty() ? Clock::now() + kTimeToAppear : Clock::time_point();
  const auto waiting = std::exchange(waiting_, {});
  if (closed_) return remove_reply_queue();
  for (const auto& call : waiting) attempt(call, [&] { send(call); });
}

void SqsCaller::has_no_reply_queue(const SqsFailure& failure) {
  const auto waiting = std::exchange(waiting_, {});
  reply_queue_ = ReplyQueue::none;
  if (closed_) remove_reply_queue();
  for (const auto& call : waiting) {
    attempt(call, [&] {
      finish(call, Error(failure.is_no_queue ? ErrorCode::unavailable : failure.error.code(),
                         "'" + target_.endpoint + "' has no queue for answers: " + failure.error.what()));
    });
  }
}

void SqsCaller::close() {
  if (closed_.exchange(true)) return;
  calls_->close(Error(ErrorCode::unavailable, "connection to '" + target_.endpoint + "': closed"));
  note_leftover();  // Until what there is to be removed is known.
  post_to_end([self = shared_from_this()] {
    self->begin_to_close();
    self->leftover_is_gone();
  });
}

template <class Step>
void SqsCaller::post_to_end(Step step) noexcept {
  try {
    asio::post(*client_->context(), guarded(std::move(step)));
  } catch (const std::exception&) {  // No memory: they go on to their own end, and nobody looks at it.
  }
}

void SqsCaller::begin_to_close() {
  stop_.request_stop();
  poll_timer_.cancel();
  for (auto next = by_id_.begin(); next != by_id_.end();) {
    const CallPtr call = (next++)->second;
    call->stop.request_stop();
    forget(call);
  }
  if (reply_queue_ != ReplyQueue::is_asked_for) remove_reply_queue();
}

void SqsCaller::wait_until_removed() {
  wait_until_removed(kRemovalTime);
}

void SqsCaller::wait_until_removed(Clock::duration longest) {
  std::unique_lock lock(mutex_);
  if (removed_.wait_for(lock, longest, [&] { return leftovers_ == 0; })) return;
  lock.unlock();
  give_up_.request_stop();
}

void SqsCaller::note_leftover() {
  const std::lock_guard lock(mutex_);
  ++leftovers_;
}

void SqsCaller::leftover_is_gone() {
  const std::lock_guard lock(mutex_);
  if (--leftovers_ == 0) removed_.notify_all();
}

void SqsCaller::remove_object(const std::string& key) {
  note_leftover();
  const auto removed = [self = shared_from_this()](const std::optional<Error>&) { self->leftover_is_gone(); };
  try {
    target_.store->remove(key, Clock::now() + kRemovalTime, give_up_.get_token(), removed);
  } catch (const std::exception&) {  // No memory: a lifecycle rule removes it.
    removed({});
  }
}

void SqsCaller::remove_reply_queue() {
  reply_queue_ = ReplyQueue::none;
  const std::string url = std::exchange(reply_url_, {});
  if (url.empty() || !target_.reply_queue.empty()) return;
  note_leftover();
  const auto removed = [self = shared_from_this()](const SqsResult<SqsClient::Nothing>&) { self->leftover_is_gone(); };
  try {
    client_->remove(url, {.time = kRemovalTime, .stop = give_up_.get_token()}, removed);
  } catch (const std::exception&) {  // No memory: an empty queue is left.
    removed(SqsFailure{no_memory_});
  }
}

// ---- Requests.

void SqsCaller::call(Message request, Deadline deadline, const std::stop_token& stop, Completion done) {
  calls_->call(std::move(request), deadline, stop, std::move(done), [this, deadline](const Message& sent) {
    const auto call = std::make_shared<Call>();
    call->id = sent.id;
    call->deadline = deadline;
    call->name = random_name();
    call->message = encode(sent, has_checksum_, options_.limits);
    call->queued = queued_.count(call->message.size_bytes);
    asio::post(*client_->context(),
               guarded([self = shared_from_this(), call] { self->attempt(call, [&] { self->begin(call); }); }));
  });
}

template <class Step>
void SqsCaller::attempt(const CallPtr& call, Step&& step) {
  try {
    step();
  } catch (const std::exception&) {
    finish(call, caught_error());
  }
}

Error SqsCaller::caught_error() const {
  try {
    return thrown_error("call to '" + target_.endpoint + "'");
  } catch (const std::exception&) {
    return no_memory_;
  }
}

void SqsCaller::begin(const CallPtr& call) {
  if (closed_ || !calls_->is_waiting(call->id)) return;  // Its end overtook it.
  by_id_.emplace(call->id, call);
  by_name_.emplace(call->name, call);
  if (reply_queue_ == ReplyQueue::is_there) return send(call);
  waiting_.push_back(call);
  make_reply_queue();
}

void SqsCaller::send(const CallPtr& call) {
  if (!calls_->is_waiting(call->id)) return;
  SqsMessage message{.body = {}, .attributes = {{request_attribute, call->name}, {reply_attribute, reply_suffix_}}};
  if (invocation_size(call->message) + message.size_bytes() > room_in_message(max_message_bytes_)) {
    return put_into_store(call);
  }
  message.body = invocation_of(call->message);
  enqueue(call, std::move(message));
}

void SqsCaller::put_into_store(const CallPtr& call) {
  if (!target_.store) {
    return finish(
        call, Error(ErrorCode::too_large,
                    "call to '" + target_.endpoint + "': " + std::to_string(call->message.size_bytes) + " bytes are " +
                        std::to_string(invocation_size(call->message)) + " as JSON, a message of the queue takes " +
                        std::to_string(room_in_message(max_message_bytes_)) +
                        "; a store (SqsOptions::store, SPLITNET_STORE) on both sides would take them, another "
                        "codec or cut needs less"));
  }
  call->key = std::string(requests_folder) + call->name;
  // To its end, also when the call ends meanwhile: one that is broken off may yet be carried out, after its removal.
  auto deadline = call->deadline;
  if (deadline) deadline = std::min(*deadline, Clock::time_point::max() - kRemovalTime) + kRemovalTime;
  auto put = on_context<std::optional<Error>>(client_->context(), [self = shared_from_this(), call](const auto& error) {
    self->attempt(call, [&] {
      if (error) {
        self->finish(call, *error);
      } else if (!self->calls_->is_waiting(call->id)) {
        self->remove_object(call->key);
      } else {
        self->enqueue(call, {.body = invocation_at(self->target_.store->url_of(call->key)),
                             .attributes = {{request_attribute, call->name}, {reply_attribute, self->reply_suffix_}}});
      }
    });
    self->leftover_is_gone();
  });
  auto bytes = joined(call->message);
  note_leftover();
  try {
    target_.store->put(call->key, std::move(bytes), deadline, give_up_.get_token(), std::move(put));
  } catch (...) {
    leftover_is_gone();
    throw;
  }
}

void SqsCaller::enqueue(const CallPtr& call, SqsMessage message) {
  call->message = {};
  requests_->add({.members = members_to_send(message),
                  .bytes = message.size_bytes(),
                  .is_wanted = [self = shared_from_this(), call] { return self->calls_->is_waiting(call->id); },
                  .done =
                      [self = shared_from_this(), call](const std::optional<SqsFailure>& failure) {
                        call->queued.reset();
                        if (!failure) return;
                        const auto code = failure->is_no_queue ? ErrorCode::unavailable : failure->error.code();
                        self->attempt(call, [&] {
                          self->finish(call,
                                       Error(code, "call to '" + self->target_.endpoint + "': " + failure->error.what(),
                                             failure->error.retry_after_s()));
                        });
                      },
                  .tries = options_.reconnect.enabled ? kTriesToSend : 1});
  poll();
}

void SqsCaller::abandon(std::uint64_t id) {
  post_to_end([self = shared_from_this(), id] {
    const auto found = self->by_id_.find(id);
    if (found == self->by_id_.end()) return;
    const CallPtr call = found->second;
    call->stop.request_stop();
    self->forget(call);
  });
}

void SqsCaller::forget(const CallPtr& call) {
  by_name_.erase(call->name);
  if (by_id_.erase(call->id) > 0 && !call->key.empty()) remove_object(call->key);
}

void SqsCaller::finish(const CallPtr& call, CallResult result) {
  forget(call);
  calls_->finish_here(call->id, std::move(result));
}

// ---- Answers.

void SqsCaller::poll() {
  if (is_polling_ || closed_ || by_id_.empty() || reply_queue_ != ReplyQueue::is_there) return;
  is_polling_ = true;
  poll_began_ = Clock::now();
  const auto got = [self = shared_from_this()](SqsResult<std::vector<SqsMessage>> result) {
    self->is_polling_ = false;
    if (self->closed_) return;
    try {
      self->on_poll(std::move(result));
    } catch (const std::exception&) {
      self->on_failure({self->caught_error()});
    }
  };
  try {
    client_->receive(reply_url_, {.wait = target_.wait_time}, stop_.get_token(), got);
  } catch (const std::exception&) {  // Nothing was sent.
    got(SqsFailure{caught_error()});
  }
}

void SqsCaller::on_poll(SqsResult<std::vector<SqsMessage>> result) {
  if (const auto* const failure = std::get_if<SqsFailure>(&result)) return on_failure(*failure);
  back_off_.reset();
  refusals_ = 0;
  has_to_appear_until_ = {};
  auto& replies = std::get<std::vector<SqsMessage>>(result);
  if (replies.empty()) return poll_after(poll_began_ + kShortestPoll - Clock::now());
  for (SqsMessage& reply : replies) on_reply(reply);
  for (const SqsMessage& reply : replies) {
    deletions_->add({.members = R"("ReceiptHandle":)" + json_text(reply.receipt)});
  }
  poll();
}

void SqsCaller::on_failure(const SqsFailure& failure) {
  const ErrorCode code = failure.error.code();
  const bool may_appear = failure.is_no_queue && Clock::now() < has_to_appear_until_;
  if (failure.is_no_queue && !may_appear) {
    remove_reply_queue();  // Perhaps it is there after all.
    return lose_all(Error(ErrorCode::unavailable, "the queue for its answer is gone"));
  }
  const bool is_refused = !may_appear && code != ErrorCode::unavailable && code != ErrorCode::overloaded;
  refusals_ = is_refused ? refusals_ + 1 : 0;
  if (refusals_ >= kMostRefusals || (!options_.reconnect.enabled && !may_appear)) lose_all(failure.error);
  poll_after(back_off_.next());
}

void SqsCaller::poll_after(Clock::duration pause) {
  poll_timer_.expires_after(pause);
  insist([&] {
    poll_timer_.async_wait(guarded([self = shared_from_this()](const auto&) {
      self->is_polling_ = false;
      self->poll();
    }));
  });
  is_polling_ = true;
}

void SqsCaller::lose_all(const Error& why) {
  for (auto next = by_id_.begin(); next != by_id_.end();) {
    const CallPtr call = (next++)->second;  // It is forgotten now.
    call->stop.request_stop();
    attempt(call, [&] { finish(call, Error(why.code(), "call to '" + target_.endpoint + "': " + why.what())); });
  }
}

void SqsCaller::on_reply(SqsMessage& reply) {
  const auto found = by_name_.find(std::string(reply.attribute(request_attribute)));
  if (found == by_name_.end()) return drop(reply);
  const CallPtr call = found->second;
  if (std::exchange(call->is_answered, true)) return;  // The first one may yet be on its way from the store.
  attempt(call, [&] { read(call, reply); });
}

/// The second answer to a call, or one that nobody waits for any more.
void SqsCaller::drop(const SqsMessage& reply) {
  try {
    const auto content = read_invocation(reply.body, *pool_);
    const auto* const url = std::get_if<std::string>(&content);
    if (url == nullptr) return;
    if (const auto key = referred_key(target_.store.get(), *url, replies_folder)) remove_object(*key);
  } catch (const std::exception&) {  // Anybody's.
  }
}

void SqsCaller::read(const CallPtr& call, const SqsMessage& reply) {
  try {
    const auto content = read_invocation(reply.body, *pool_);
    if (const auto* const url = std::get_if<std::string>(&content)) return get_from_store(call, *url);
    finish(call, answer_in(std::get<Storage>(content), options_.limits, call->id, target_.endpoint));
  } catch (const Error& error) {
    finish(call, Error(error.code(), "'" + target_.endpoint + "' answered with " + error.what()));
  }
}

void SqsCaller::get_from_store(const CallPtr& call, const std::string& url) {
  const std::string key = std::string(replies_folder) + call->name;
  if (!target_.store || target_.store->key_of(url) != key) {
    return finish(call, Error(ErrorCode::too_large, "'" + target_.endpoint + "' has put its answer at " + quoted(url) +
                                                        ", which is not where it belongs in the store of this side (" +
                                                        (target_.store ? target_.store->url_of(key) : "none") +
                                                        "): SqsOptions::store, SPLITNET_STORE"));
  }
  auto got = on_context<std::variant<std::string, Error>>(
      client_->context(), [self = shared_from_this(), call, key](const auto& result) {
        self->remove_object(key);
        self->attempt(call, [&] {
          if (const auto* const error = std::get_if<Error>(&result)) return self->finish(call, *error);
          self->finish(call, answer_in(stored(std::get<std::string>(result), *self->pool_), self->options_.limits,
                                       call->id, self->target_.endpoint));
        });
        self->leftover_is_gone();
      });
  note_leftover();
  try {
    target_.store->get(key, options_.limits.max_message_bytes, call->deadline, call->stop.get_token(), std::move(got));
  } catch (...) {
    leftover_is_gone();
    throw;
  }
}

}  // namespace splitnet::detail
