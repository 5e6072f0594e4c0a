// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/lambda_runtime.hpp"

#include <utility>

#include "aws/environment.hpp"
#include "lambda_runtime_loop.hpp"
#include "message_store.hpp"
#include "splitnet/access.hpp"
#include "tcp_endpoint.hpp"
#include "within_room.hpp"

namespace splitnet {
namespace {

constexpr const char* kScheme = "lambda-runtime://";

/// host:port of the runtime API.
std::string parse_address(const std::string& endpoint) {
  if (!endpoint.starts_with(kScheme)) {
    throw Error(ErrorCode::invalid_argument,
                "endpoint '" + endpoint + "': expected lambda-runtime:// or lambda-runtime://host:port");
  }
  std::string address = endpoint.substr(std::string(kScheme).size());
  if (!address.empty()) {
    (void)detail::parse_tcp_endpoint("lambda-runtime", endpoint);
    return address;
  }
  address = detail::environment("AWS_LAMBDA_RUNTIME_API");
  if (!address.empty()) return address;
  throw Error(ErrorCode::invalid_argument,
              "endpoint '" + endpoint +
                  "': AWS_LAMBDA_RUNTIME_API is not set; AWS Lambda and its emulators set it for what they start");
}

class LambdaRuntimeListener : public Listener {
 public:
  LambdaRuntimeListener(const std::string& address, const AwsOptions& aws, std::shared_ptr<ObjectStore> store,
                        Handler handler, const ListenOptions& options, std::function<void()> on_end)
      : address_(address), loop_(address, aws, std::move(store), std::move(handler), options, std::move(on_end)) {}

  [[nodiscard]] std::string address() const override { return kScheme + address_; }
  void close() override { loop_.close(); }

 private:
  const std::string address_;
  detail::LambdaRuntimeLoop loop_;
};

class LambdaRuntimeTransport : public Transport {
 public:
  explicit LambdaRuntimeTransport(LambdaRuntimeOptions options) : options_(std::move(options)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions&) override {
    throw Error(ErrorCode::invalid_argument,
                "endpoint '" + endpoint + "': lambda-runtime:// only listens; a function is called with lambda://NAME");
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    const std::string address = parse_address(endpoint);
    if (!options.token.empty()) check_token(options.token);
    auto store = detail::open_store(options_.store, options_.aws);
    return detail::within_room("listener on '" + endpoint + "'", [&] {
      return std::make_unique<LambdaRuntimeListener>(address, options_.aws, std::move(store), std::move(handler),
                                                     options, options_.on_end);
    });
  }

 private:
  const LambdaRuntimeOptions options_;
};

}  // namespace

std::shared_ptr<Transport> make_lambda_runtime_transport(const LambdaRuntimeOptions& options) {
  return std::make_shared<LambdaRuntimeTransport>(options);
}

void report_lambda_init_error(const std::string& endpoint, const Error& error) {
  detail::post_init_error(parse_address(endpoint), error);
}

}  // namespace splitnet
