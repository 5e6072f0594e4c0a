// SPDX-License-Identifier: Apache-2.0
#include "splitnet/object_store.hpp"

#include <future>
#include <string_view>
#include <utility>

#include "aws/service.hpp"
#include "aws/service_error.hpp"
#include "aws/sigv4.hpp"

namespace splitnet {
namespace {

using detail::AwsService;
using detail::HttpClient;
using detail::HttpReply;
using detail::ServiceRequest;

constexpr std::string_view kScheme = "s3://";

class S3Store : public ObjectStore {
 public:
  S3Store(std::string bucket, std::string prefix, const AwsOptions& options)
      : bucket_(std::move(bucket)),
        prefix_(std::move(prefix)),
        stall_timeout_(options.stall_timeout),
        service_(std::make_shared<AwsService>("s3", options)) {}

  [[nodiscard]] std::string url_of(const std::string& key) const override {
    return std::string(kScheme) + bucket_ + '/' + prefix_ + key;
  }
  [[nodiscard]] std::optional<std::string> key_of(const std::string& url) const override {
    const std::string mine = url_of("");
    if (!url.starts_with(mine) || url.size() == mine.size()) return std::nullopt;
    return url.substr(mine.size());
  }

  void put(const std::string& key, std::string bytes, Deadline deadline, std::stop_token stop, Done done) override {
    auto request = request_for("PUT", key);
    request.headers.emplace_back("content-type", "application/octet-stream");
    request.body = detail::body_of(std::move(bytes));
    send(std::move(request), key, deadline, std::move(stop), [done = std::move(done)](auto result) {
      const auto* const error = std::get_if<Error>(&result);
      done(error == nullptr ? std::optional<Error>() : *error);
    });
  }
  void get(const std::string& key, std::size_t max_bytes, Deadline deadline, std::stop_token stop, Got done) override {
    auto request = request_for("GET", key);
    request.max_reply_bytes = max_bytes;
    send(std::move(request), key, deadline, std::move(stop), [done = std::move(done)](auto result) {
      if (auto* const error = std::get_if<Error>(&result)) return done(std::move(*error));
      done(std::move(std::get<HttpReply>(result).body));
    });
  }
  void remove(const std::string& key, Deadline deadline, std::stop_token stop, Done done) override {
    send(request_for("DELETE", key), key, deadline, std::move(stop), [done = std::move(done)](auto result) {
      const auto* const error = std::get_if<Error>(&result);
      done(error == nullptr ? std::optional<Error>() : *error);
    });
  }

 private:
  /// The bucket is part of the host's name at AWS itself, but where its dots would not fit a certificate.
  [[nodiscard]] ServiceRequest request_for(const char* method, const std::string& key) const {
    ServiceRequest request{.method = method, .stall_timeout = stall_timeout_};
    const bool stands_in_path = service_->is_elsewhere() || bucket_.find('.') != std::string::npos;
    if (!stands_in_path) request.host_prefix = bucket_ + '.';
    request.path = (stands_in_path ? '/' + bucket_ : "") + '/' + detail::percent_encoded(prefix_ + key, "/");
    return request;
  }

  void send(ServiceRequest request, const std::string& key, Deadline deadline, std::stop_token stop,
            HttpClient::Done done) {
    std::string what = request.method + " " + url_of(key) + " at " + service_->where();
    service_->send(std::move(request), deadline, std::move(stop),
                   [what = std::move(what), done = std::move(done)](HttpClient::Result result) {
                     const auto* const reply = std::get_if<HttpReply>(&result);
                     if (reply == nullptr || reply->status / 100 == 2) return done(std::move(result));
                     done(detail::service_error(*reply, what));
                   });
  }

  const std::string bucket_;
  const std::string prefix_;  // Empty, or with a slash behind it.
  const std::chrono::seconds stall_timeout_;
  const std::shared_ptr<AwsService> service_;
};

template <class T>
T value_of(std::variant<T, Error> result) {
  if (auto* const error = std::get_if<Error>(&result)) throw std::move(*error);
  return std::get<T>(std::move(result));
}

void wait_for(const std::function<void(ObjectStore::Done)>& start) {
  std::promise<std::optional<Error>> promise;
  start([&promise](std::optional<Error> error) { promise.set_value(std::move(error)); });
  if (auto error = promise.get_future().get()) throw *std::move(error);
}

}  // namespace

std::shared_ptr<ObjectStore> ObjectStore::open(const std::string& url, const AwsOptions& options) {
  const auto begin = url.starts_with(kScheme) ? kScheme.size() : std::string::npos;
  const auto slash = begin == std::string::npos ? begin : std::min(url.find('/', begin), url.size());
  const std::string bucket = begin == std::string::npos ? "" : url.substr(begin, slash - begin);
  constexpr std::string_view may_have = "abcdefghijklmnopqrstuvwxyz0123456789.-";
  if (bucket.size() < 3 || bucket.size() > 63 || bucket.find_first_not_of(may_have) != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, "object store '" + url +
                                                 "': expected s3://bucket or s3://bucket/prefix, "
                                                 "with a bucket of 3 to 63 small letters, digits, dots and dashes");
  }
  std::string prefix = slash < url.size() ? url.substr(slash + 1) : "";
  if (!prefix.empty() && prefix.back() != '/') prefix += '/';
  return std::make_shared<S3Store>(bucket, prefix, options);
}

void ObjectStore::put(const std::string& key, std::string bytes, Deadline deadline, std::stop_token stop) {
  wait_for([&](Done done) { put(key, std::move(bytes), deadline, std::move(stop), std::move(done)); });
}

std::string ObjectStore::get(const std::string& key, std::size_t max_bytes, Deadline deadline, std::stop_token stop) {
  std::promise<std::variant<std::string, Error>> promise;
  get(key, max_bytes, deadline, std::move(stop), [&promise](auto result) { promise.set_value(std::move(result)); });
  return value_of(promise.get_future().get());
}

void ObjectStore::remove(const std::string& key, Deadline deadline, std::stop_token stop) {
  wait_for([&](Done done) { remove(key, deadline, std::move(stop), std::move(done)); });
}

}  // namespace splitnet
