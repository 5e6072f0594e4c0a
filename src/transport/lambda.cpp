// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/lambda.hpp"

#include <utility>

#include "aws/service.hpp"
#include "aws/sigv4.hpp"
#include "lambda_caller.hpp"
#include "message_store.hpp"
#include "within_room.hpp"

namespace splitnet {
namespace {

constexpr std::string_view kScheme = "lambda://";

/// What follows the scheme: a name, with or without a qualifier, or an ARN.
std::string parse_function(const std::string& endpoint) {
  const std::string name = endpoint.starts_with(kScheme) ? endpoint.substr(kScheme.size()) : "";
  constexpr std::string_view may_have = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:$";
  if (!name.empty() && name.find_first_not_of(may_have) == std::string::npos) return name;
  throw Error(ErrorCode::invalid_argument,
              "endpoint '" + endpoint + "': expected lambda://FUNCTION, lambda://FUNCTION:ALIAS or lambda://arn:…");
}

class LambdaConnection : public Connection {
 public:
  LambdaConnection(detail::LambdaCaller::Target target, const ConnectOptions& options)
      : caller_(std::make_shared<detail::LambdaCaller>(thread_.context(), std::move(target), options)) {
    caller_->connect();
  }
  ~LambdaConnection() override { close(); }

  void call(Message request, Deadline deadline, std::stop_token stop, Completion done) override {
    const auto caller = caller_;  // The completion may destroy this connection before `call` has returned.
    caller->call(std::move(request), deadline, stop, std::move(done));
  }
  void close() override {
    caller_->close();
    // A completion that closes its connection can't wait for what this thread has to do; it goes on behind it.
    if (!thread_.is_current()) caller_->wait_until_removed();
  }

 private:
  detail::IoThread thread_;
  const std::shared_ptr<detail::LambdaCaller> caller_;
};

class LambdaTransport : public Transport {
 public:
  explicit LambdaTransport(LambdaOptions options) : options_(std::move(options)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    detail::LambdaCaller::Target target;
    target.endpoint = endpoint;
    target.path = "/2015-03-31/functions/" + detail::percent_encoded(parse_function(endpoint)) + "/invocations";
    target.service = std::make_shared<detail::AwsService>("lambda", options_.aws, options.dead_peer_timeout);
    target.store = detail::open_store(options_.store, options_.aws);
    return detail::within_room("connection to '" + endpoint + "'",
                               [&] { return std::make_unique<LambdaConnection>(std::move(target), options); });
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler, const ListenOptions&) override {
    throw Error(ErrorCode::invalid_argument,
                "endpoint '" + endpoint + "': lambda:// only connects; a function listens on lambda-runtime://");
  }

 private:
  const LambdaOptions options_;
};

}  // namespace

std::shared_ptr<Transport> make_lambda_transport(const LambdaOptions& options) {
  return std::make_shared<LambdaTransport>(options);
}

}  // namespace splitnet
