// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/lambda.hpp"

#include <utility>

#include "aws/service.hpp"
#include "aws/sigv4.hpp"
#include "aws_connection.hpp"
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

class LambdaTransport : public Transport {
 public:
  explicit LambdaTransport(LambdaOptions options) : options_(std::move(options)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    detail::LambdaCaller::Target target;
    target.endpoint = endpoint;
    target.path = "/2015-03-31/functions/" + detail::percent_encoded(parse_function(endpoint)) + "/invocations";
    target.service = std::make_shared<detail::AwsService>("lambda", options_.aws, options.dead_peer_timeout);
    target.store = detail::open_store(options_.store, options_.aws);
    return detail::within_room("connection to '" + endpoint + "'", [&] {
      return std::make_unique<detail::AwsConnection<detail::LambdaCaller>>(std::move(target), options);
    });
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
