// SPDX-License-Identifier: Apache-2.0
#include "sqs_requests.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>
#include <variant>

#include "aws/invocation.hpp"
#include "aws/thrown_error.hpp"
#include "message_store.hpp"
#include "on_context.hpp"
#include "sqs_names.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

/// An answer that does not get to its queue is given up after so long, where no deadline says so earlier.
constexpr auto kAnswerTime = std::chrono::minutes(5);
/// A queue that was made a moment ago may not be there yet for everybody.
constexpr auto kTimeToAppear = std::chrono::seconds(5);
/// Of a request that nobody could do: 2 s, 4 s, 8 s and so on.
constexpr auto kFirstPause = std::chrono::seconds(2);
constexpr auto kLongestPause = std::chrono::seconds(300);
/// SQS hides no message for longer than 12 hours from when it was received, working on it included.
constexpr double kLongestHidden_s = 11 * 3600;
/// Of the attributes of a dead-lettered message: those of a request are shorter.
constexpr std::size_t kLongestAttribute = 100;

bool may_work_elsewhere(ErrorCode code) {
  return code == ErrorCode::overloaded || code == ErrorCode::unavailable;
}

std::chrono::seconds pause_before(std::size_t deliveries, std::optional<double> retry_after_s) {
  const std::size_t doublings = std::min<std::size_t>(deliveries - 1, 10);
  const double doubled_s =
      std::min<double>(std::exp2(doublings) * kFirstPause.count(), static_cast<double>(kLongestPause.count()));
  const double seconds = std::min(std::max(doubled_s, std::ceil(retry_after_s.value_or(0))), kLongestHidden_s);
  return std::chrono::seconds(static_cast<std::chrono::seconds::rep>(seconds));
}

/// As an attribute of SQS takes it.
std::string printable(std::string_view text, std::size_t longest) {
  std::string result;
  for (const char c : text.substr(0, longest)) result += c >= ' ' && c < 127 ? c : '?';
  return result;
}

std::string deliveries_of(const SqsMessage& message) {
  return std::to_string(message.deliveries) + (message.deliveries == 1 ? " delivery" : " deliveries");
}

SqsMessage dead_message(const SqsMessage& message, const std::string& reason, std::size_t max_bytes) {
  SqsMessage dead{.body = message.body.empty() ? "-" : message.body};  // SQS takes no empty ones.
  for (const char* const name : {request_attribute, reply_attribute}) {
    const auto value = message.attribute(name);
    if (!value.empty()) dead.attributes.push_back({name, printable(value, kLongestAttribute)});
  }
  dead.attributes.push_back({reason_attribute, printable(reason, longest_reason)});
  dead.attributes.push_back({deliveries_attribute, std::to_string(message.deliveries)});
  // Requests leave room for it; what is none may be as large as the queue allows.
  const std::size_t bytes = dead.size_bytes();
  constexpr std::size_t replaced = 16;  // What is cut in the middle of a character becomes another one.
  if (bytes > max_bytes)
    dead.body.resize(dead.body.size() - std::min(dead.body.size() - 1, bytes - max_bytes + replaced));
  return dead;
}

}  // namespace

std::vector<SqsAttribute> dead_letter_attributes(std::size_t max_message_bytes) {
  return {{"MessageRetentionPeriod", std::to_string(14 * 24 * 3600)},
          {"MaximumMessageSize", std::to_string(max_message_bytes)}};
}

void find_max_dead_bytes(SqsClient& client, const std::string& url, const SqsLimits& limits,
                         SqsClient::Done<std::size_t> done) {
  client.max_message_bytes(url, limits, [done = std::move(done)](SqsResult<std::size_t> result) {
    const auto* const failure = std::get_if<SqsFailure>(&result);
    failure != nullptr && failure->is_no_queue ? done(std::size_t{0}) : done(std::move(result));
  });
}

SqsRequests::SqsRequests(std::shared_ptr<SqsClient> client, Target target, Handler handler,
                         const ListenOptions& options)
    : client_(std::move(client)),
      target_(std::move(target)),
      handler_(std::move(handler)),
      options_(options),
      senders_(std::make_shared<SqsSenders>(client_, target_.url, target_.max_message_bytes, stop_.get_token())) {}

void SqsRequests::start(std::function<void()> is_free) {
  is_free_ = std::move(is_free);
  calls_ = std::make_shared<ServedCalls>([weak = weak_from_this()](Message reply) {
    const auto self = weak.lock();
    if (!self) return;
    asio::post(*self->client_->context(), guarded([weak, reply = std::move(reply)]() mutable {
      if (const auto there = weak.lock()) there->on_answer(reply.id, std::move(reply));
    }));
  });
}

std::uint64_t SqsRequests::take(SqsMessage message, Deadline ends_at, Settled settled) {
  const auto request = std::make_shared<Request>(*client_->context());
  request->serial = ++serial_;
  request->message = std::move(message);
  request->settled = std::move(settled);
  request->deadline = ends_at;
  requests_.emplace(request->serial, request);
  ++working_;
  if (has_given_up_) {
    give_back_at_the_end(request);
  } else {
    attempt(request, [&] { examine(request); });
  }
  return request->serial;
}

/// What is thrown (no memory, say) has the request come again.
template <class Step>
void SqsRequests::attempt(const RequestPtr& request, Step&& step) {
  try {
    step();
  } catch (const std::exception&) {
    run_guarded([&] { warn(std::string("is given back: ") + thrown_error("it").what(), *request); });
    settle(request, {.pause = pause_before(request->message.deliveries, {}), .is_failure = true});
  }
}

void SqsRequests::examine(const RequestPtr& request) {
  const SqsMessage& message = request->message;
  const auto name = message.attribute(request_attribute);
  const auto reply_queue = reply_queue_of(target_.queue, message.attribute(reply_attribute));
  if (!is_random_name(name) || !reply_queue) {
    return dead_letter(request,
                       "not a request of splitnet: its attributes '" + std::string(request_attribute) + "' and '" +
                           reply_attribute + "' are " + quoted(name) + " and " +
                           quoted(message.attribute(reply_attribute)) +
                           ", expected 32 hexadecimal digits and the end of a queue's name",
                       {});
  }
  request->reply_queue = *reply_queue;
  // A second message of the same call: what is under way here answers it.
  if (!names_.begin(std::string(name))) {
    const bool is_at_it = std::any_of(requests_.begin(), requests_.end(), [&](const auto& other) {
      return other.second->name == name && other.second->message.id == message.id;
    });
    if (!is_at_it) return settle(request, {.is_done = true});
    return settle(request, {.pause = kTimeToAppear});  // The same message, whose answer is yet on its way.
  }
  request->name = name;
  if (message.deliveries > target_.max_deliveries) {
    const std::string reason = std::to_string(message.deliveries - 1) +
                               " deliveries without an answer: workers crashed over it, ran out of memory, or were "
                               "stopped";
    return dead_letter(request, reason, Error(ErrorCode::internal, "'" + target_.queue + "': " + reason));
  }
  read(request);
}

void SqsRequests::read(const RequestPtr& request) {
  try {
    const auto content = read_invocation(request->message.body, *pool_);
    if (const auto* const url = std::get_if<std::string>(&content)) return get_from_store(request, *url);
    on_body(request, std::get<Storage>(content));
  } catch (const Error& error) {
    on_error(request, error);
  }
}

void SqsRequests::get_from_store(const RequestPtr& request, const std::string& url) {
  const std::string key = std::string(requests_folder) + request->name;
  if (!target_.store || target_.store->key_of(url) != key) {
    return on_error(request, Error(ErrorCode::invalid_argument,
                                   "the request is said to be at " + quoted(url) +
                                       ", which is not where it belongs in the store of this worker (" +
                                       (target_.store ? target_.store->url_of(key) : "none") + "): SPLITNET_STORE"));
  }
  target_.store->get(key, options_.limits.max_message_bytes, request->deadline, stop_.get_token(),
                     on_context<std::variant<std::string, Error>>(
                         client_->context(), [self = shared_from_this(), request](const auto& got) {
                           if (!request->is_working) return;  // Given back meanwhile.
                           self->attempt(request, [&] {
                             const auto* const error = std::get_if<Error>(&got);
                             if (error == nullptr)
                               return self->on_body(request, stored(std::get<std::string>(got), *self->pool_));
                             if (request->is_over_here(error->code())) return self->settle(request, {});
                             self->on_error(request, *error);
                           });
                         }));
}

void SqsRequests::on_body(const RequestPtr& request, const Storage& bytes) {
  Message message;
  try {
    message = decode_whole(bytes, options_.limits);
    if (message.kind != MessageKind::request) throw Error(ErrorCode::corrupt, "a message came that is no request");
  } catch (const Error& error) {
    return on_error(request, error);
  }
  serve(request, std::move(message));
}

/// Before a handler has seen it.
void SqsRequests::on_error(const RequestPtr& request, const Error& error) {
  if (error.code() == ErrorCode::corrupt) return dead_letter(request, error.what(), error);
  if (may_work_elsewhere(error.code())) return try_again(request, error);
  answer(request, Message::make_error(error));
}

void SqsRequests::serve(const RequestPtr& request, Message message) {
  request->id = std::exchange(message.id, request->serial);  // Another caller's may be the same.
  const auto now = Clock::now();
  if (message.time_left) {
    *message.time_left -= request->message.age;
    if (message.time_left->count() <= 0) {
      debug("is deleted unseen: its time was over before a worker had it", *request);
      return settle(request, {.is_done = true});
    }
    const auto left = std::min<std::chrono::nanoseconds>(*message.time_left, std::chrono::hours(24 * 365));
    request->callers_deadline = now + left;
    request->deadline = std::min(request->deadline.value_or(Clock::time_point::max()), now + left);
  }
  if (request->deadline) message.time_left = *request->deadline - now;
  calls_->serve(std::move(message), handler_, request->reply_queue);
}

void SqsRequests::on_answer(std::uint64_t serial, Message reply) {
  const auto found = requests_.find(serial);
  if (found == requests_.end()) return;  // Given back meanwhile.
  const RequestPtr request = found->second;
  attempt(request, [&] {
    if (reply.kind == MessageKind::error && may_work_elsewhere(reply.error)) {
      return try_again(request, Error(reply.error, reply.error_message, reply.retry_after_s));
    }
    if (reply.kind == MessageKind::error && request->is_over_here(reply.error)) return settle(request, {});
    answer(request, std::move(reply));
  });
}

void SqsRequests::try_again(const RequestPtr& request, const Error& error) {
  const std::size_t deliveries = request->message.deliveries;
  if (is_draining_) return give_back_at_the_end(request);
  if (deliveries >= target_.max_deliveries) {
    const std::string reason = deliveries_of(request->message) + ", the last one ended with " +
                               std::string(to_string(error.code())) + ": " + error.what();
    return dead_letter(request, reason, Error(ErrorCode::internal, "'" + target_.queue + "': " + reason));
  }
  debug(std::string("is given back: ") + error.what(), *request);
  settle(request, {.pause = pause_before(deliveries, error.retry_after_s()), .is_failure = true});
}

/// First there, then the answer, then out of the queue: whoever dies between leaves it to the next.
void SqsRequests::dead_letter(const RequestPtr& request, const std::string& reason, std::optional<Error> answer) {
  warn("goes to '" + target_.dead_letter_queue + "': " + reason, *request);
  free_place(*request);
  send_to_dead(request, dead_message(request->message, reason, target_.max_dead_bytes), std::move(answer));
}

void SqsRequests::send_to_dead(const RequestPtr& request, const SqsMessage& dead, std::optional<Error> answer) {
  senders_->send(
      target_.dead_letter_queue, dead,
      [self = shared_from_this(), request, dead, answer = std::move(answer)](const std::optional<SqsFailure>& failure) {
        self->attempt(request, [&] {
          if (failure && failure->is_no_queue) return self->make_dead_letter_queue(request, dead, answer);
          const bool is_refused =
              failure && failure->is_of_entry &&
              (failure->error.code() == ErrorCode::invalid_argument || failure->error.code() == ErrorCode::too_large);
          if (is_refused) {  // It would be refused again and again.
            self->warn(std::string("is lost: ") + failure->error.what(), *request);
          } else if (failure) {
            return self->retry(request, failure->error,
                               [self, request, dead, answer] { self->send_to_dead(request, dead, answer); });
          }
          request->is_dead = true;
          if (!answer) return self->settle(request, {.is_done = true});
          self->answer(request, Message::make_error(*answer));
        });
      });
}

void SqsRequests::make_dead_letter_queue(const RequestPtr& request, const SqsMessage& dead,
                                         const std::optional<Error>& answer) {
  client_->create(
      target_.dead_letter_queue, dead_letter_attributes(target_.max_message_bytes), {.stop = stop_.get_token()},
      [self = shared_from_this(), request, dead, answer](const SqsResult<std::string>& result) {
        const auto* const failure = std::get_if<SqsFailure>(&result);
        const Error error = failure == nullptr ? Error(ErrorCode::unavailable, "it was not there") : failure->error;
        self->attempt(request, [&] {
          self->retry(request, error, [self, request, dead, answer] { self->send_to_dead(request, dead, answer); });
        });
      });
}

void SqsRequests::answer(const RequestPtr& request, Message reply) {
  free_place(*request);
  reply.id = request->id;
  EncodedMessage encoded;
  try {
    encoded = encode(reply, options_.payload_checksum.value_or(!client_->service().is_encrypted()), options_.limits);
  } catch (const Error& error) {
    if (reply.kind == MessageKind::error) throw;
    return answer(request, Message::make_error(error));
  }
  SqsMessage answer{.body = {}, .attributes = {{request_attribute, request->name}}};
  const std::size_t bytes = invocation_size(encoded) + answer.size_bytes();
  if (bytes <= room_in_message(target_.max_message_bytes)) {
    answer.body = invocation_of(encoded);
    return send_answer(request, answer);
  }
  if (target_.store) return put_into_store(request, encoded);
  this->answer(request, Message::make_error(
                            Error(ErrorCode::too_large,
                                  "the reply has " + std::to_string(encoded.size_bytes) + " bytes, as JSON " +
                                      std::to_string(bytes) + ", a message of '" + target_.queue + "' takes " +
                                      std::to_string(room_in_message(target_.max_message_bytes)) +
                                      "; a store (SqsOptions::store, SPLITNET_STORE) on both sides would take them")));
}

void SqsRequests::put_into_store(const RequestPtr& request, const EncodedMessage& encoded) {
  const std::string key = std::string(replies_folder) + request->name;
  target_.store->put(
      key, joined(encoded), request->deadline, stop_.get_token(),
      on_context<std::optional<Error>>(
          client_->context(), [self = shared_from_this(), request, key](const auto& error) {
            self->attempt(request, [&] {
              if (!error) {
                return self->send_answer(request, {.body = invocation_at(self->target_.store->url_of(key)),
                                                   .attributes = {{request_attribute, request->name}}});
              }
              if (may_work_elsewhere(error->code())) return self->try_again(request, *error);
              if (request->is_over_here(error->code())) return self->settle(request, {});
              self->answer(request,
                           Message::make_error(Error(
                               error->code(), std::string("the reply did not get into the store: ") + error->what())));
            });
          }));
}

void SqsRequests::send_answer(const RequestPtr& request, const SqsMessage& answer) {
  senders_->send(request->reply_queue, answer,
                 [self = shared_from_this(), request, answer](const std::optional<SqsFailure>& failure) {
                   self->attempt(request, [&] { self->on_sent(request, answer, failure); });
                 });
}

void SqsRequests::on_sent(const RequestPtr& request, const SqsMessage& answer,
                          const std::optional<SqsFailure>& failure) {
  const auto now = Clock::now();
  if (failure && failure->is_no_queue && gone_queues_.knows(request->reply_queue)) request->queue_is_gone_at = now;
  if (failure && failure->is_no_queue && !request->queue_is_gone_at) request->queue_is_gone_at = now + kTimeToAppear;
  const bool is_gone = failure && failure->is_no_queue && now >= *request->queue_is_gone_at;
  if (failure && !is_gone) {
    if (request->callers_deadline && now >= *request->callers_deadline) return settle(request, {.is_done = true});
    return retry(request, failure->error,
                 [self = shared_from_this(), request, answer] { self->send_answer(request, answer); });
  }
  if (failure) {
    debug("is deleted: nobody waits for its answer any more", *request);
    if (gone_queues_.begin(request->reply_queue)) gone_queues_.keep(request->reply_queue);
  }
  if (!failure) gone_queues_.forget(request->reply_queue);  // Somebody has made it anew.
  settle(request, {.is_done = true, .is_answered = !request->is_dead});
}

template <class Step>
void SqsRequests::retry(const RequestPtr& request, const Error& error, Step step) {
  const auto pause = request->back_off.next();
  if (stop_.stop_requested() || Clock::now() + pause > request->give_up_at) {
    warn(std::string("is given back, its answer could not be sent: ") + error.what(), *request);
    return settle(request, {.pause = pause_before(request->message.deliveries, {}), .is_failure = true});
  }
  request->timer.expires_after(pause);
  request->timer.async_wait(
      guarded([self = shared_from_this(), request, error, step = std::move(step)](const auto& aborted) {
        self->attempt(request, [&] {
          if (aborted) return self->settle(request, {});
          step();
        });
      }));
}

void SqsRequests::free_place(Request& request) {
  if (!std::exchange(request.is_working, false)) return;
  request.give_up_at = Clock::now() + kAnswerTime;
  --working_;
  if (is_free_) is_free_();
}

/// Of this worker: another one begins with it at once.
void SqsRequests::give_back_at_the_end(const RequestPtr& request) {
  debug("is given back: this worker ends", *request);
  settle(request, {});
}

void SqsRequests::settle(const RequestPtr& request, Outcome outcome) {
  if (requests_.erase(request->serial) == 0) return;
  outcome.is_done = outcome.is_done || request->is_dead;
  if (!request->name.empty() && !outcome.is_done) names_.forget(request->name);
  request->timer.cancel();
  run_guarded([&] { free_place(*request); });
  std::exchange(request->settled, nullptr)(outcome);
  if (!request->name.empty() && outcome.is_done) names_.keep(request->name);
}

void SqsRequests::abandon(std::uint64_t serial) {
  const auto found = requests_.find(serial);
  if (found == requests_.end() || (!found->second->is_working && !found->second->is_dead)) return;
  calls_->cancel(serial);
  settle(RequestPtr(found->second), {});
}

void SqsRequests::give_up() {
  has_given_up_ = true;
  calls_->close();
  const auto requests = requests_;
  for (const auto& [serial, request] : requests) {
    if (request->is_working) give_back_at_the_end(request);
  }
}

void SqsRequests::stop() {
  give_up();
  stop_.request_stop();
  for (const auto& [serial, request] : requests_) request->timer.cancel();
}

/// The first of a second; the next one says how many were left out.
void SqsRequests::warn(const std::string& text, const Request& request) {
  if (warnings_.take()) {
    log(LogLevel::warning, text, request, std::exchange(warnings_left_out_, 0));
  } else {
    ++warnings_left_out_;
  }
}

void SqsRequests::debug(const std::string& text, const Request& request) const {
  log(LogLevel::debug, text, request, 0);
}

void SqsRequests::log(LogLevel level, const std::string& text, const Request& request, std::uint64_t left_out) const {
  if (!options_.log) return;
  // Only what is known to be a name: it could be anything, and long.
  std::vector<LogField> fields{{"request", request.name.empty() ? request.message.id : request.name},
                               {"deliveries", std::uint64_t{request.message.deliveries}}};
  if (left_out > 0) fields.push_back({"left_out", left_out});
  options_.log({level, "sqs://" + target_.queue + ": a request " + text, std::move(fields)});
}

}  // namespace splitnet::detail
