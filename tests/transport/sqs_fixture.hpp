// SPDX-License-Identifier: Apache-2.0
/// \file
/// Workers and callers at a queue of the stand-in. For tests.
#pragma once

#include "aws/sqs_stand_in.hpp"  // The first: it has what is Boost's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "splitnet/testing/transport_tools.hpp"
#include "splitnet/transport/sqs.hpp"

namespace splitnet::testing {

inline constexpr const char* work = "sqs://work";

/// Whatever a test does: in the end everything that was sent is gone, from queues and store.
class SqsFixture : public ::testing::Test {
 protected:
  using Fault = SqsStandIn::Fault;
  using Json = SqsStandIn::Json;

  SqsFixture() { sqs.make_queue("work"); }
  void TearDown() override {
    if (!listeners.empty()) {
      EXPECT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); })) << "requests are left";
    }
    connections.clear();
    listeners.clear();
    EXPECT_TRUE(sqs.wait_until([&] { return reply_queues().empty(); })) << ::testing::PrintToString(reply_queues());
    EXPECT_TRUE(sqs.wait_until([&] { return sqs.store.objects().empty(); })) << "objects are left";
  }

  [[nodiscard]] std::vector<std::string> reply_queues() const {
    auto names = sqs.queues();
    std::erase_if(names, [](const auto& name) { return !name.starts_with("work-replies-"); });
    return names;
  }
  [[nodiscard]] SqsOptions options() const {
    SqsOptions options;
    options.aws = sqs.options();
    options.store = "s3://bodies/some/prefix";
    return options;
  }
  Listener& listen(Handler handler, const SqsOptions& options, const ListenOptions& limits = {}) {
    listeners.push_back(make_sqs_transport(options)->listen(work, std::move(handler), limits));
    return *listeners.back();
  }
  Listener& listen(Handler handler = echo) { return listen(std::move(handler), options()); }
  Connection& connect(const SqsOptions& options, const ConnectOptions& limits = {}) {
    connections.push_back(make_sqs_transport(options)->connect(work, limits));
    return *connections.back();
  }
  Connection& connect() { return connect(options()); }

  /// Of all requests of this action, how many entries each had.
  [[nodiscard]] std::vector<std::size_t> batch_sizes(const std::string& action) const {
    std::vector<std::size_t> sizes;
    for (const Json& request : sqs.requests(action)) sizes.push_back(request.at("document").at("Entries").size());
    return sizes;
  }
  /// The text of an attribute; empty: there is none.
  static std::string attribute(const SqsStandIn::Message& message, const std::string& name) {
    const auto found = message.attributes.find(name);
    return found == message.attributes.end() ? "" : found->at("StringValue").get<std::string>();
  }
  /// A request as this transport sends it, for tests that send something like it.
  SqsStandIn::Message request_on_the_queue() {
    const auto caller = make_sqs_transport(options())->connect(work, {});
    (void)start_call(*caller, request_with({iota_u8(100)}));
    EXPECT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 1; }));
    auto request = sqs.messages("work").at(0);
    sqs.remove_queue("work");
    sqs.make_queue("work");
    return request;
  }

  SqsStandIn sqs;
  Held held;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<std::unique_ptr<Connection>> connections;
};

}  // namespace splitnet::testing
