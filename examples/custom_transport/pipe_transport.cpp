// SPDX-License-Identifier: Apache-2.0
#include "pipe_transport.hpp"

#include <string_view>
#include <utility>

#include "pipe_connection.hpp"
#include "pipe_listener.hpp"

namespace custom {
namespace {

std::filesystem::path folder_of(const std::string& endpoint) {
  constexpr std::string_view scheme = "pipe://";
  if (!endpoint.starts_with(scheme) || endpoint.size() < scheme.size() + 2 || endpoint[scheme.size()] != '/') {
    throw splitnet::Error(splitnet::ErrorCode::invalid_argument,
                          "endpoint '" + endpoint + "': expected pipe:///folder");
  }
  return endpoint.substr(scheme.size());
}

class PipeTransport : public splitnet::Transport {
 public:
  std::unique_ptr<splitnet::Connection> connect(const std::string& endpoint,
                                                const splitnet::ConnectOptions& options) override {
    const auto folder = folder_of(endpoint);
    return connect_by_pipe(knock(folder, std::chrono::steady_clock::now() + options.connect_timeout), endpoint,
                           options);
  }
  std::unique_ptr<splitnet::Listener> listen(const std::string& endpoint, splitnet::Handler handler,
                                             const splitnet::ListenOptions& options) override {
    if (!options.token.empty()) {
      throw splitnet::Error(splitnet::ErrorCode::invalid_argument,
                            "listen on '" + endpoint + "': pipes know no tokens; who may use the folder may call");
    }
    return listen_at_pipe(folder_of(endpoint), std::move(handler), options);
  }
};

}  // namespace

std::shared_ptr<splitnet::Transport> make_pipe_transport() {
  return std::make_shared<PipeTransport>();
}

}  // namespace custom
