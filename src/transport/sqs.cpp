// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/sqs.hpp"

#include <utility>

#include "aws/service.hpp"
#include "aws_connection.hpp"
#include "found_queue.hpp"
#include "io_thread.hpp"
#include "message_store.hpp"
#include "sqs_caller.hpp"
#include "sqs_listener.hpp"
#include "sqs_names.hpp"
#include "sqs_requests.hpp"
#include "within_room.hpp"

namespace splitnet {
namespace {

constexpr std::string_view kScheme = "sqs://";
/// For the queues to be found, where nobody has given a time.
constexpr auto kSetUpTime = std::chrono::seconds(10);

std::string parse_queue(const std::string& endpoint) {
  const std::string name = endpoint.starts_with(kScheme) ? endpoint.substr(kScheme.size()) : "";
  if (detail::is_queue_name(name)) return name;
  throw Error(ErrorCode::invalid_argument,
              "endpoint '" + endpoint +
                  "': expected sqs://QUEUE, the name of a standard queue: 1 to 80 letters, digits, '-' and '_'");
}

void require(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorCode::invalid_argument, "SqsOptions::" + message);
}

void check_reply_queue(const std::string& queue, const std::string& reply_queue) {
  const std::string prefix = detail::reply_prefix(queue);
  if (reply_queue.empty()) {
    const std::string example = prefix + std::string(detail::random_suffix_size, 'x');
    require(detail::is_queue_name(example),
            "reply_queue is empty, and a name made from '" + queue + "' would have " + std::to_string(example.size()) +
                " characters, a queue's has 80 at most: give the name of one that is there");
    return;
  }
  require(reply_queue.starts_with(prefix) && reply_queue.size() > prefix.size() && detail::is_queue_name(reply_queue),
          "reply_queue is '" + reply_queue + "', expected a queue named '" + prefix + "…'");
}

class SqsQueueListener : public Listener {
 public:
  SqsQueueListener(std::string endpoint, std::shared_ptr<detail::AwsService> service, SqsOptions options,
                   std::shared_ptr<ObjectStore> store, Handler handler, const ListenOptions& listen)
      : endpoint_(std::move(endpoint)),
        client_(std::make_shared<detail::SqsClient>(thread_.context(), std::move(service))) {
    const std::string queue = parse_queue(endpoint_);
    const std::string dead = options.dead_letter_queue;
    const auto ends_at = std::chrono::steady_clock::now() + kSetUpTime;
    const auto limits = [&] { return detail::SqsLimits{.time = ends_at - std::chrono::steady_clock::now()}; };
    const auto [url, bytes] = detail::find_queue(*client_, queue, limits);
    const auto dead_bytes = make_dead_letter_queue(url, dead, bytes, limits());
    const auto requests =
        std::make_shared<detail::SqsRequests>(client_,
                                              detail::SqsRequests::Target{.queue = queue,
                                                                          .url = url,
                                                                          .dead_letter_queue = dead,
                                                                          .max_deliveries = options.max_deliveries,
                                                                          .max_message_bytes = bytes,
                                                                          .max_dead_bytes = dead_bytes,
                                                                          .store = std::move(store)},
                                              std::move(handler), listen);
    listener_ = std::make_shared<detail::SqsListener>(
        client_,
        detail::SqsListener::Target{.endpoint = endpoint_,
                                    .url = url,
                                    .max_in_flight = std::min(options.max_in_flight, listen.max_calls_in_flight),
                                    .visibility_timeout = options.visibility_timeout,
                                    .wait_time = options.wait_time},
        requests, listen.log);
    listener_->start();
  }
  ~SqsQueueListener() override { close(); }

  [[nodiscard]] std::string address() const override { return endpoint_; }
  void drain() override { listener_->drain(); }
  void close() override { listener_->close(!thread_.is_current()); }

 private:
  /// Now, so that who may not make it hears so at once. Gives how large its messages may be.
  std::size_t make_dead_letter_queue(const std::string& url, const std::string& name, std::size_t max_message_bytes,
                                     const detail::SqsLimits& limits) {
    const auto bytes = detail::SqsClient::wait_for<std::size_t>([&](auto done) {
      detail::find_max_dead_bytes(*client_, detail::url_beside(url, name), limits, std::move(done));
    });
    if (bytes > 0) return bytes;
    (void)detail::SqsClient::wait_for<std::string>([&](auto done) {
      client_->create(name, detail::dead_letter_attributes(max_message_bytes), limits, std::move(done));
    });
    return max_message_bytes;
  }

  const std::string endpoint_;
  detail::IoThread thread_;
  const std::shared_ptr<detail::SqsClient> client_;
  std::shared_ptr<detail::SqsListener> listener_;
};

class SqsTransport : public Transport {
 public:
  explicit SqsTransport(SqsOptions options) : options_(std::move(options)) { options_.validate(); }

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    detail::SqsCaller::Target target;
    target.endpoint = endpoint;
    target.queue = parse_queue(endpoint);
    check_reply_queue(target.queue, options_.reply_queue);
    target.reply_queue = options_.reply_queue;
    target.wait_time = options_.wait_time;
    target.store = detail::open_store(options_.store, options_.aws);
    target.service = std::make_shared<detail::AwsService>("sqs", options_.aws, options.dead_peer_timeout);
    return detail::within_room("connection to '" + endpoint + "'", [&] {
      return std::make_unique<detail::AwsConnection<detail::SqsCaller>>(std::move(target), options);
    });
  }

  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    SqsOptions own = options_;
    const std::string queue = parse_queue(endpoint);
    if (own.dead_letter_queue.empty()) own.dead_letter_queue = detail::dead_letter_queue_of(queue);
    require(detail::is_queue_name(own.dead_letter_queue) && own.dead_letter_queue != queue,
            "dead_letter_queue is '" + own.dead_letter_queue + "', expected the name of another standard queue");
    auto store = detail::open_store(own.store, own.aws);
    auto service = std::make_shared<detail::AwsService>("sqs", own.aws, options.dead_peer_timeout);
    return detail::within_room("listener on '" + endpoint + "'", [&] {
      try {
        return std::make_unique<SqsQueueListener>(endpoint, std::move(service), std::move(own), std::move(store),
                                                  std::move(handler), options);
      } catch (const Error& error) {
        throw Error(error.code(), "listen on '" + endpoint + "': " + error.what());
      }
    });
  }

 private:
  const SqsOptions options_;
};

}  // namespace

void SqsOptions::validate() const {
  using std::chrono::hours;
  using std::chrono::seconds;
  require(visibility_timeout >= seconds(2) && visibility_timeout <= hours(8),
          "visibility_timeout is " + std::to_string(visibility_timeout.count()) + " s, expected 2 s to 8 h");
  require(max_in_flight > 0, "max_in_flight is 0, at least 1 is needed");
  require(max_deliveries > 0, "max_deliveries is 0, at least 1 is needed");
  require(wait_time >= seconds(0) && wait_time <= seconds(20),
          "wait_time is " + std::to_string(wait_time.count()) + " s, expected 0 to 20 s");
}

std::shared_ptr<Transport> make_sqs_transport(const SqsOptions& options) {
  return std::make_shared<SqsTransport>(options);
}

}  // namespace splitnet
