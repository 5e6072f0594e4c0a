// SPDX-License-Identifier: Apache-2.0
#include "lambda_runtime_loop.hpp"

#include <algorithm>
#include <charconv>
#include <exception>
#include <future>
#include <utility>

#include "aws/invocation.hpp"
#include "aws/json.hpp"
#include "aws/since_start.hpp"
#include "aws/thrown_error.hpp"
#include "aws/xray.hpp"
#include "http_status.hpp"
#include "message_store.hpp"
#include "splitnet/access.hpp"
#include "splitnet/trace.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// For the answer to get out before Lambda ends the function.
constexpr auto kMargin = std::chrono::milliseconds(100);
/// Of a poll that fails: the runtime API is on the same machine, and comes back or never does.
constexpr auto kPause = std::chrono::milliseconds(100);
constexpr auto kAnswerTime = std::chrono::seconds(30);
constexpr int kNonRecoverable = 500;

std::string runtime_url(const std::string& address) {
  return "http://" + address + "/2018-06-01/runtime/";
}

/// The runtime API is on this machine, whatever proxies the environment names, and both sleep at the same time.
HttpClientOptions client_options() {
  return {.dead_peer_timeout = std::chrono::nanoseconds(0), .uses_proxies = false};
}

/// Lambda gives the deadline as a time of day.
Clock::time_point end_of(std::string_view milliseconds) {
  std::int64_t since_epoch = 0;
  const auto [end, failed] =
      std::from_chars(milliseconds.data(), milliseconds.data() + milliseconds.size(), since_epoch);
  // A function runs for a quarter of an hour at most.
  constexpr auto longest = std::chrono::minutes(15);
  if (failed != std::errc() || since_epoch <= 0) return Clock::now() + longest;
  const std::chrono::system_clock::time_point when{std::chrono::milliseconds(since_epoch)};
  const auto left = std::min<Clock::duration>(when - std::chrono::system_clock::now(), longest);
  return Clock::now() + left;
}

/// Categories of errors: of a request, by its code, which the caller takes for its own; of the process, which is not
/// the fault of any request.
constexpr const char* kOfARequest = "Splitnet.";
constexpr const char* kOfTheStart = "Runtime.";

/// As the runtime API takes it, with its headers.
HttpRequest error_report(std::string url, const char* category, const Error& error) {
  const std::string type = category + std::string(to_string(error.code()));
  return {.url = std::move(url),
          .headers = {{"content-type", "application/json"}, {"lambda-runtime-function-error-type", type}},
          .body = body_of(R"({"errorMessage":)" + json_text(error.what()) + R"(,"errorType":)" + json_text(type) +
                          R"(,"stackTrace":[]})")};
}

unsigned status_of(const Message& reply) {
  return reply.kind == MessageKind::error ? detail::status_of(reply.error) : 200;
}

}  // namespace

void post_init_error(const std::string& address, const Error& error) {
  HttpClient client(client_options());
  const auto reply = client.send_and_wait(error_report(runtime_url(address) + "init/error", kOfTheStart, error),
                                          Clock::now() + kAnswerTime);
  if (reply.status / 100 == 2) return;
  throw Error(ErrorCode::unavailable, "the runtime API at " + address + " refused an error of the start with status " +
                                          std::to_string(reply.status));
}

LambdaRuntimeLoop::LambdaRuntimeLoop(const std::string& address, const AwsOptions& aws,
                                     std::shared_ptr<ObjectStore> store, Handler handler, const ListenOptions& options,
                                     std::function<void()> on_end)
    : url_(runtime_url(address)),
      store_(std::move(store)),
      handler_(std::move(handler)),
      options_(options),
      on_end_(std::move(on_end)),
      calls_(std::make_shared<ServedCalls>([this](Message reply) {
        const std::lock_guard lock(mutex_);
        if (reply.id != serial_) return;  // Of an invocation that is over.
        reply_ = std::move(reply);
        answered_.notify_all();
      })),
      queues_(aws, store_, handler_, options_),
      client_(client_options()),
      thread_([this] { work(); }) {}

void LambdaRuntimeLoop::close() {
  stop_.request_stop();
  calls_->close();
  queues_.close();
  {
    const std::lock_guard lock(mutex_);  // Who had looked just before waits by now, and hears it.
  }
  answered_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LambdaRuntimeLoop::work() {
  init_s_ = since_process_start_s();
  while (!stop_.stop_requested() && !is_over_) {
    try {
      if (auto invocation = next()) handle(*std::move(invocation));
    } catch (const std::exception&) {  // No memory even for saying so: the invocation's own time ends it.
      pause();
    }
  }
  if (is_over_ && on_end_) on_end_();
}

void LambdaRuntimeLoop::pause() {
  std::unique_lock lock(mutex_);
  answered_.wait_for(lock, kPause, [&] { return stop_.stop_requested(); });
}

std::optional<LambdaRuntimeLoop::Invocation> LambdaRuntimeLoop::next() {
  std::promise<HttpClient::Result> promise;
  // Without a deadline: between two invocations the whole process sleeps.
  client_.send({.method = "GET", .url = url_ + "invocation/next"}, {}, stop_.get_token(),
               [&promise](HttpClient::Result result) { promise.set_value(std::move(result)); });
  auto result = promise.get_future().get();
  auto* const reply = std::get_if<HttpReply>(&result);
  if (reply != nullptr && reply->status == 200) {
    Invocation invocation;
    invocation.id = reply->header("lambda-runtime-aws-request-id");
    invocation.ends_at = end_of(reply->header("lambda-runtime-deadline-ms"));
    invocation.trace = reply->header("lambda-runtime-trace-id");
    invocation.event = std::move(reply->body);
    return invocation;
  }
  if (stop_.stop_requested()) return std::nullopt;
  // "Container error. Non-recoverable state. Runtime should exit promptly."
  is_over_ = reply != nullptr && reply->status == kNonRecoverable;
  warn(reply == nullptr ? std::get<Error>(result).what()
                        : "the runtime API answered with status " + std::to_string(reply->status));
  if (!is_over_) pause();
  return std::nullopt;
}

void LambdaRuntimeLoop::handle(Invocation invocation) {
  const std::string url = url_ + "invocation/" + invocation.id;
  std::string answer;
  try {
    answer = answer_to(invocation);
  } catch (const std::exception&) {
    return post(error_report(url + "/error", kOfARequest, thrown_error("this invocation")));
  }
  post({.url = url + "/response",
        .headers = {{"content-type", "application/json"}},
        .body = client_.texts().share(std::move(answer))});
}

/// Throws only where whoever asked can't be a splitnet.
std::string LambdaRuntimeLoop::answer_to(Invocation& invocation) {
  std::optional<ProxyEvent> proxied;
  // Messages of splitnet need not be looked through.
  if (!invocation.event.starts_with(R"({"splitnet)")) {
    const JsonObject event(invocation.event);
    if (SqsEvents::is_one(event)) return queues_.answer_to(event, invocation.ends_at - kMargin);
    proxied = read_proxy_event(event, *pool_);
  }
  Message reply;
  try {
    reply = serve(read(invocation, proxied), invocation, proxied ? proxied->peer : "lambda");
  } catch (const std::exception&) {
    const Error error = thrown_error("this invocation");
    if (!proxied && error.code() == ErrorCode::corrupt) throw;
    reply = Message::make_error(error);
  }
  return written(std::move(reply), invocation, proxied.has_value());
}

Message LambdaRuntimeLoop::read(Invocation& invocation, const std::optional<ProxyEvent>& proxied) {
  if (proxied) {
    check_access(*proxied);
    if (proxied->method != "POST") {
      throw Error(ErrorCode::invalid_argument, "method '" + proxied->method + "': expected POST");
    }
    return decode_whole(proxied->body, options_.limits);
  }
  auto content = read_invocation(invocation.event, *pool_);
  client_.texts().give_back(std::move(invocation.event));
  const auto* const url = std::get_if<std::string>(&content);
  if (url == nullptr) return decode_whole(std::get<Storage>(content), options_.limits);
  const auto key = referred_key(store_.get(), *url, requests_folder);
  if (!key) {
    throw Error(ErrorCode::invalid_argument, "the message is said to be at " + quoted(*url) +
                                                 ", which is no request in the store of this worker (" +
                                                 (store_ ? store_->url_of("") : "none") + "): SPLITNET_STORE");
  }
  const auto bytes =
      store_->get(*key, options_.limits.max_message_bytes, invocation.ends_at - kMargin, stop_.get_token());
  return decode_whole(stored(bytes, *pool_), options_.limits);
}

/// A function URL and API Gateway bring requests of anybody, but where IAM has let the caller in.
void LambdaRuntimeLoop::check_access(const ProxyEvent& event) const {
  if (event.is_signed) return;
  if (options_.token.empty()) {
    if (options_.allow_remote) return;
    throw Error(ErrorCode::unauthenticated,
                "this worker has no token, so over HTTP it answers only whom IAM has let in; start it with a token "
                "(SPLITNET_TOKEN), or with --allow-remote for everybody");
  }
  const std::string& shown = event.authorization;
  if (is_same_token("Bearer " + options_.token, shown)) return;
  throw Error(ErrorCode::unauthenticated, shown.empty() ? "a token is needed, and none came" : "the token is wrong");
}

Message LambdaRuntimeLoop::serve(Message request, const Invocation& invocation, const std::string& peer) {
  if (request.kind != MessageKind::request) {
    throw Error(ErrorCode::corrupt, "a message came that is no request");
  }
  const auto id = request.id;  // Another caller's may be the same.
  {
    const std::lock_guard lock(mutex_);
    request.id = ++serial_;
    reply_.reset();
  }
  const auto serial = request.id;
  const auto give_up_at = invocation.ends_at - kMargin;
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(give_up_at - Clock::now());
  request.time_left = std::min(request.time_left.value_or(left), left);
  if (request.trace.traceparent.empty()) {
    if (const auto parent = parse_xray(invocation.trace)) request.trace.traceparent = to_string(*parent);
  }
  calls_->serve(std::move(request), handler_, peer);
  std::unique_lock lock(mutex_);
  answered_.wait_until(lock, give_up_at, [&] { return reply_.has_value() || stop_.stop_requested(); });
  std::optional<Message> reply = std::exchange(reply_, std::nullopt);
  lock.unlock();
  if (!reply) {
    calls_->cancel(serial);
    reply = Message::make_error(
        stop_.stop_requested() ? Error(ErrorCode::unavailable, "the worker was closed before its answer")
                               : Error(ErrorCode::deadline_exceeded, "the time was over before the function's answer"));
  }
  reply->id = id;
  if (std::exchange(is_first_, false)) reply->times_s["init"] = init_s_;
  return *std::move(reply);
}

std::string LambdaRuntimeLoop::written(Message reply, const Invocation& invocation, bool is_proxied) {
  auto message = encode(reply, options_.payload_checksum.value_or(true), options_.limits);
  if (invocation_size(message) + 200 > max_invocation_bytes) {
    Error refusal(ErrorCode::too_large, "the reply has " + std::to_string(message.size_bytes) +
                                            " bytes, a function answers with " + std::to_string(max_invocation_bytes) +
                                            " of JSON at most" +
                                            (is_proxied ? "" : "; a store (SPLITNET_STORE) would take them"));
    if (!is_proxied && store_) {
      try {
        const std::string key = new_key(replies_folder);
        store_->put(key, joined(message), invocation.ends_at - kMargin, stop_.get_token());
        return invocation_at(store_->url_of(key));
      } catch (const std::exception&) {
        const Error error = thrown_error("put");
        refusal = Error(error.code(), std::string("the reply did not get into the store: ") + error.what());
      }
    }
    auto refused = Message::make_error(refusal);
    refused.id = reply.id;
    reply = std::move(refused);
    message = encode(reply, true, options_.limits);
  }
  if (!is_proxied) return invocation_of(message, client_.texts().take());
  std::string base64(base64_size(message.size_bytes), '\0');
  write_base64(base64.data(), message);
  return proxy_response(status_of(reply), base64);
}

void LambdaRuntimeLoop::post(HttpRequest request) {
  try {
    const auto reply = client_.send_and_wait(std::move(request), Clock::now() + kAnswerTime);
    if (reply.status / 100 != 2) warn("the runtime API refused an answer with status " + std::to_string(reply.status));
  } catch (const Error& error) {
    warn(std::string("an answer did not reach the runtime API: ") + error.what());
  }
}

void LambdaRuntimeLoop::warn(const std::string& message) {
  if (options_.log) options_.log({LogLevel::warning, "lambda-runtime: " + message, {}});
}

}  // namespace splitnet::detail
