// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/shaped.hpp"

#include <utility>

#include "shaped_connection.hpp"
#include "shaped_endpoint.hpp"

namespace splitnet {
namespace {

// ---- One link for all endpoints.

class FixedShapedTransport : public Transport {
 public:
  FixedShapedTransport(std::shared_ptr<Transport> inner, ShapedOptions shape)
      : inner_(std::move(inner)), shape_(std::move(shape)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    return detail::shaped_connect(*inner_, {endpoint, endpoint}, shape_, options);
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    return inner_->listen(endpoint, std::move(handler), options);
  }

 private:
  const std::shared_ptr<Transport> inner_;
  const ShapedOptions shape_;
};

// ---- The link in the endpoint.

class ShapedListener : public Listener {
 public:
  ShapedListener(std::string prefix, std::unique_ptr<Listener> inner)
      : prefix_(std::move(prefix)), inner_(std::move(inner)) {}

  [[nodiscard]] std::string address() const override { return prefix_ + inner_->address(); }
  void drain() override { inner_->drain(); }
  void close() override { inner_->close(); }

 private:
  const std::string prefix_;
  const std::unique_ptr<Listener> inner_;
};

/// The inner transport names only its own endpoint.
template <class Action>
auto naming(const std::string& endpoint, Action&& action) {
  try {
    return action();
  } catch (const Error& error) {
    throw Error(error.code(), "endpoint '" + endpoint + "': " + error.what());
  }
}

class ShapedTransport : public Transport {
 public:
  explicit ShapedTransport(std::map<std::string, std::shared_ptr<Transport>> inner) : inner_(std::move(inner)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    const auto parts = detail::parse_shaped_endpoint(endpoint);
    return naming(endpoint, [&] {
      return detail::shaped_connect(find(parts.inner), {parts.inner, endpoint}, parts.options, options);
    });
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    const auto parts = detail::parse_shaped_endpoint(endpoint);
    return naming(endpoint, [&] {
      return std::make_unique<ShapedListener>(parts.prefix,
                                              find(parts.inner).listen(parts.inner, std::move(handler), options));
    });
  }

 private:
  [[nodiscard]] Transport& find(const std::string& endpoint) const {
    const auto found = inner_.find(endpoint.substr(0, endpoint.find("://")));
    if (found != inner_.end()) return *found->second;
    std::string known;
    for (const auto& [scheme, transport] : inner_) known += (known.empty() ? "" : ", ") + scheme;
    throw Error(ErrorCode::invalid_argument, "found '" + endpoint +
                                                 "' behind the '@', expected scheme://… with one of: " +
                                                 (known.empty() ? "(none registered)" : known));
  }

  const std::map<std::string, std::shared_ptr<Transport>> inner_;
};

void check_present(const std::shared_ptr<Transport>& inner, const std::string& what) {
  if (inner) return;
  throw Error(ErrorCode::invalid_argument,
              "shaped transport: found a null pointer for " + what + ", expected a transport");
}

}  // namespace

std::shared_ptr<Transport> make_shaped_transport(std::map<std::string, std::shared_ptr<Transport>> inner) {
  for (const auto& [scheme, transport] : inner) check_present(transport, "'" + scheme + "'");
  return std::make_shared<ShapedTransport>(std::move(inner));
}

std::shared_ptr<Transport> make_shaped_transport(std::shared_ptr<Transport> inner, ShapedOptions options) {
  options.validate();
  check_present(inner, "all endpoints");
  return std::make_shared<FixedShapedTransport>(std::move(inner), std::move(options));
}

}  // namespace splitnet
