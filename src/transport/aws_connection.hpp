// SPDX-License-Identifier: Apache-2.0
// The face of lambda: and sqs: to sessions. Private.
#pragma once

#include <memory>
#include <stop_token>
#include <utility>

#include "io_thread.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// `Caller`: LambdaCaller, SqsCaller; what calls leave in services has to be removed when it is closed.
template <class Caller>
class AwsConnection : public Connection {
 public:
  AwsConnection(typename Caller::Target target, const ConnectOptions& options)
      : caller_(std::make_shared<Caller>(thread_.context(), std::move(target), options)) {
    caller_->connect();
  }
  ~AwsConnection() override { close(); }

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
  IoThread thread_;
  const std::shared_ptr<Caller> caller_;
};

}  // namespace splitnet::detail
