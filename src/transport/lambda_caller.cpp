// SPDX-License-Identifier: Apache-2.0
#include "lambda_caller.hpp"

#include <algorithm>
#include <exception>
#include <future>
#include <optional>
#include <string_view>
#include <utility>

#include "aws/invocation.hpp"
#include "aws/json.hpp"
#include "aws/service_error.hpp"
#include "aws/thrown_error.hpp"
#include "aws/xray.hpp"
#include "message_store.hpp"
#include "on_context.hpp"
#include "splitnet/trace.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRemovalTime = std::chrono::seconds(5);

std::string trace_header(const TraceContext& trace) {
  const auto parent = parse_traceparent(trace.traceparent);
  return parent ? to_xray(*parent) : "";
}

/// Of the error type that a worker gives its own errors; nothing: it is not one of these.
std::optional<ErrorCode> own_code(std::string_view type) {
  constexpr std::string_view prefix = "Splitnet.";
  if (!type.starts_with(prefix)) return std::nullopt;
  for (unsigned number = 1; is_error_code(number); ++number) {
    const auto code = static_cast<ErrorCode>(number);
    if (to_string(code) == type.substr(prefix.size())) return code;
  }
  return std::nullopt;
}

/// Of an answer with X-Amz-Function-Error: the function, or what it runs in, has failed.
Error function_error(const HttpReply& reply, const std::string& endpoint) {
  const JsonObject document(reply.body);
  const auto type = document.text("errorType").value_or("");
  const auto message = document.text("errorMessage").value_or("");
  auto code = own_code(type).value_or(ErrorCode::internal);
  const bool is_over = message.find("Task timed out") != std::string_view::npos || type.starts_with("Sandbox.");
  if (type == "Function.ResponseSizeTooLarge") {
    code = ErrorCode::too_large;
  } else if (is_over || type.starts_with("Runtime.")) {  // Crashed, out of memory, not started: others may be well.
    code = ErrorCode::unavailable;
  }
  std::string text = "'" + endpoint + "': the function failed";
  if (!type.empty()) text += " with " + std::string(type);
  if (!message.empty()) text += ": " + std::string(message);
  return Error(code, text);
}

}  // namespace

LambdaCaller::LambdaCaller(std::shared_ptr<asio::io_context> context, Target target, const ConnectOptions& options)
    : context_(std::move(context)),
      target_(std::move(target)),
      options_(options),
      has_checksum_(options.payload_checksum.value_or(!target_.service->is_encrypted())),
      queued_(target_.endpoint, options.max_queued_bytes),
      no_memory_(ErrorCode::overloaded, "call to '" + target_.endpoint + "': no memory for it") {}

void LambdaCaller::connect() {
  calls_ = std::make_shared<CallTable>(context_, options_.max_calls_in_flight, [weak = weak_from_this()](auto id) {
    if (const auto self = weak.lock()) self->abandon(id);
  });
  std::promise<HttpClient::Result> promise;
  const auto timeout = std::min<std::chrono::nanoseconds>(options_.connect_timeout, std::chrono::hours(24));
  target_.service->send(request_for("DryRun"), Clock::now() + timeout, {},
                        [&promise](HttpClient::Result result) { promise.set_value(std::move(result)); });
  auto result = promise.get_future().get();
  const std::string what = "connect to '" + target_.endpoint + "' at " + target_.service->where();
  if (const auto* const error = std::get_if<Error>(&result)) throw Error(error->code(), what + ": " + error->what());
  const auto& reply = std::get<HttpReply>(result);
  if (reply.status / 100 != 2) throw service_error(reply, what);
}

ServiceRequest LambdaCaller::request_for(const char* type) const {
  return {.path = target_.path,
          .headers = {{"content-type", "application/json"}, {"x-amz-invocation-type", type}},
          .max_reply_bytes = 2 * max_invocation_bytes};
}

void LambdaCaller::call(Message request, Deadline deadline, const std::stop_token& stop, Completion done) {
  calls_->call(std::move(request), deadline, stop, std::move(done), [this, deadline](const Message& sent) {
    const auto invocation = std::make_shared<Invocation>();
    invocation->id = sent.id;
    invocation->deadline = deadline;
    invocation->message = encode(sent, has_checksum_, options_.limits);
    invocation->trace = trace_header(sent.trace);
    invocation->queued = queued_.count(invocation->message.size_bytes);
    post(invocation, [this, invocation] { begin(invocation); });
  });
}

template <class Step>
void LambdaCaller::post(const InvocationPtr& invocation, Step step) {
  asio::post(*context_, guarded([self = shared_from_this(), invocation, step = std::move(step)]() mutable {
    try {
      step();
    } catch (const std::exception&) {
      self->finish(invocation, self->caught_error());
    }
  }));
}

Error LambdaCaller::caught_error() const {
  try {
    return thrown_error("call to '" + target_.endpoint + "'");
  } catch (const std::exception&) {
    return no_memory_;
  }
}

void LambdaCaller::abandon(std::uint64_t id) {
  stop([self = shared_from_this(), id] {
    const auto found = self->invocations_.find(id);
    if (found != self->invocations_.end()) found->second->stop.request_stop();
  });
}

template <class Stop>
void LambdaCaller::stop(Stop step) noexcept {
  try {
    asio::post(*context_, guarded(std::move(step)));
  } catch (const std::exception&) {  // No memory: they go on to their own end, and nobody looks at it.
  }
}

void LambdaCaller::begin(const InvocationPtr& invocation) {
  if (!calls_->is_waiting(invocation->id)) return;  // Its end overtook it.
  invocations_.emplace(invocation->id, invocation);
  if (invocation_size(invocation->message) > max_invocation_bytes) return put_into_store(invocation);
  invoke(invocation, invocation_of(invocation->message, target_.service->texts().take()));
}

void LambdaCaller::put_into_store(const InvocationPtr& invocation) {
  if (!target_.store) {
    return finish(invocation,
                  Error(ErrorCode::too_large,
                        "call to '" + target_.endpoint + "': " + std::to_string(invocation->message.size_bytes) +
                            " bytes are " + std::to_string(invocation_size(invocation->message)) +
                            " as JSON, an invocation takes " + std::to_string(max_invocation_bytes) +
                            "; a store (LambdaOptions::store, SPLITNET_STORE) would take them, another codec or cut "
                            "needs less"));
  }
  auto bytes = joined(invocation->message);
  invocation->key = new_key(requests_folder);
  note_object();
  // To its end, also when the call ends meanwhile: one that is broken off may yet be carried out, after its removal.
  // Not for ever: a little longer than the call, and never longer than the store may stand still.
  auto deadline = invocation->deadline;
  if (deadline) deadline = std::min(*deadline, Clock::time_point::max() - kRemovalTime) + kRemovalTime;
  target_.store->put(invocation->key, std::move(bytes), deadline, invocation->give_up_put.get_token(),
                     [self = shared_from_this(), invocation](const std::optional<Error>& error) {
                       self->post(invocation, [self, invocation, error] {
                         if (error) return self->finish(invocation, *error);
                         if (!self->calls_->is_waiting(invocation->id)) {
                           return self->finish(invocation, Error(ErrorCode::cancelled, "nobody waits any more"));
                         }
                         self->invoke(invocation, invocation_at(self->target_.store->url_of(invocation->key)));
                       });
                     });
}

void LambdaCaller::invoke(const InvocationPtr& invocation, std::string event) {
  invocation->message = {};
  auto request = request_for("RequestResponse");
  if (!invocation->trace.empty()) request.headers.emplace_back("x-amzn-trace-id", invocation->trace);
  request.body = target_.service->texts().share(std::move(event));
  target_.service->send(std::move(request), invocation->deadline, invocation->stop.get_token(),
                        [self = shared_from_this(), invocation](HttpClient::Result result) {
                          self->post(invocation, [self, invocation, result = std::move(result)]() mutable {
                            self->on_reply(invocation, std::move(result));
                          });
                        });
}

void LambdaCaller::on_reply(const InvocationPtr& invocation, HttpClient::Result result) {
  if (const auto* const error = std::get_if<Error>(&result)) return finish(invocation, *error);
  auto& reply = std::get<HttpReply>(result);
  if (reply.status / 100 != 2) {
    return finish(invocation,
                  service_error(reply, "call to '" + target_.endpoint + "' at " + target_.service->where()));
  }
  if (!reply.header("x-amz-function-error").empty()) {
    return finish(invocation, function_error(reply, target_.endpoint));
  }
  read(invocation, std::move(reply));
}

void LambdaCaller::read(const InvocationPtr& invocation, HttpReply reply) {
  try {
    auto content = read_invocation(reply.body, *pool_);
    target_.service->texts().give_back(std::move(reply.body));
    if (const auto* const url = std::get_if<std::string>(&content)) return get_from_store(invocation, *url);
    finish(invocation, answer_in(std::get<Storage>(content), options_.limits, invocation->id, target_.endpoint));
  } catch (const Error& error) {
    finish(invocation, Error(error.code(), "'" + target_.endpoint + "' answered with " + error.what() +
                                               "; is the function a splitnet worker?"));
  }
}

void LambdaCaller::get_from_store(const InvocationPtr& invocation, const std::string& url) {
  const auto key = referred_key(target_.store.get(), url, replies_folder);
  if (!key) {
    return finish(invocation,
                  Error(ErrorCode::too_large, "'" + target_.endpoint + "' has put its answer at " + quoted(url) +
                                                  ", which is no reply in the store of this side (" +
                                                  (target_.store ? target_.store->url_of("") : "none") +
                                                  "): LambdaOptions::store, SPLITNET_STORE"));
  }
  note_object();
  try {
    target_.store->get(*key, options_.limits.max_message_bytes, invocation->deadline, invocation->stop.get_token(),
                       [self = shared_from_this(), invocation, key = *key](std::variant<std::string, Error> got) {
                         self->post(invocation, [self, invocation, key, got = std::move(got)] {
                           self->remove(key);
                           if (const auto* const error = std::get_if<Error>(&got)) {
                             return self->finish(invocation, *error);
                           }
                           self->finish(invocation,
                                        answer_in(stored(std::get<std::string>(got), *self->pool_),
                                                  self->options_.limits, invocation->id, self->target_.endpoint));
                         });
                       });
  } catch (const std::exception&) {  // No memory: what was noted has to be removed all the same.
    remove(*key);
    throw;
  }
}

void LambdaCaller::finish(const InvocationPtr& invocation, CallResult result) {
  invocations_.erase(invocation->id);
  if (!invocation->key.empty()) remove(std::exchange(invocation->key, {}));
  calls_->finish_here(invocation->id, std::move(result));
}

void LambdaCaller::note_object() {
  const std::lock_guard lock(mutex_);
  ++objects_;
}

/// Also after the connection was closed, and when nobody waits for the answer any more.
void LambdaCaller::remove(const std::string& key) {
  const auto removed = [self = shared_from_this()](const std::optional<Error>&) {
    const std::lock_guard lock(self->mutex_);
    if (--self->objects_ == 0) self->removed_.notify_all();
  };
  try {
    target_.store->remove(key, Clock::now() + kRemovalTime, {}, removed);
  } catch (const std::exception&) {  // No memory: a lifecycle rule removes it.
    removed({});
  }
}

void LambdaCaller::wait_until_removed() {
  std::unique_lock lock(mutex_);
  if (removed_.wait_for(lock, kRemovalTime, [&] { return objects_ == 0; })) return;
  stop([self = shared_from_this()] {
    for (const auto& [id, invocation] : self->invocations_) invocation->give_up_put.request_stop();
  });
}

void LambdaCaller::close() {
  if (closed_.exchange(true)) return;
  calls_->close(Error(ErrorCode::unavailable, "connection to '" + target_.endpoint + "': closed"));
  stop([self = shared_from_this()] {
    for (const auto& [id, invocation] : self->invocations_) invocation->stop.request_stop();
  });
}

}  // namespace splitnet::detail
