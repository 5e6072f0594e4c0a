// SPDX-License-Identifier: Apache-2.0
#include "splitnet/link_probe.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "error_of.hpp"
#include "splitnet/error.hpp"
#include "splitnet/transport_registry.hpp"
#include "splitnet/worker.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::throws;

class LinkProbe : public ::testing::Test {
 protected:
  /// A connection to a worker without models behind this link; empty: none.
  Connection& connect(const std::string& shape, const std::string& inner = "tcp://127.0.0.1:0") {
    worker_ = Worker::create();
    const std::string address = worker_->serve(registry_, inner);
    connection_ = registry_.connect(shape.empty() ? address : "shaped://" + shape + "@" + address);
    return *connection_;
  }
  /// Sends a probe by hand.
  Message probe(std::vector<Value> values) {
    Message message;
    message.request.operation = Operation::probe;
    message.values = std::move(values);
    return call_and_wait(*connection_, std::move(message));
  }

  TransportRegistry registry_ = TransportRegistry::with_defaults();
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(LinkProbe, FindsBandwidthOfEachDirectionAndDelay) {
  const auto link = probe_link(connect("up=8Mbit,down=40Mbit,delay=15ms"));
  // The link is modelled, so that no machine makes it faster; a busy one may make it slower.
  EXPECT_GT(link.up_bytes_per_s, 0.5e6);
  EXPECT_LT(link.up_bytes_per_s, 1.1e6);
  EXPECT_GT(link.down_bytes_per_s, 2.5e6);
  EXPECT_LT(link.down_bytes_per_s, 5.5e6);
  EXPECT_GE(link.rtt_s + link.overhead_s, 0.03);
  EXPECT_NO_THROW(link.validate());
}

TEST_F(LinkProbe, WorksOverEveryTransport) {
  for (const char* inner : {"tcp://127.0.0.1:0", "inproc://probe"}) {
    const auto link = probe_link(connect("", inner), {.max_bytes = 1 << 16});
    EXPECT_NO_THROW(link.validate()) << inner;
    EXPECT_GT(link.up_bytes_per_s, 1e6) << inner;
  }
}

TEST_F(LinkProbe, SaysThatALinkCarriesNothing) {
  EXPECT_TRUE(throws(ErrorCode::deadline_exceeded, "carries nothing",
                     [&] { (void)probe_link(connect("up=1bit"), {.timeout = 200ms}); }));
}

TEST_F(LinkProbe, TellsOfAWorkerThatIsGone) {
  connect("");
  worker_->close();
  EXPECT_TRUE(throws(ErrorCode::unavailable, "", [&] { (void)probe_link(*connection_); }));
}

TEST_F(LinkProbe, ChecksItsOptions) {
  connect("");
  const auto refused = [&](const LinkProbeOptions& options, const char* words) {
    return throws(ErrorCode::invalid_argument, words, [&] { (void)probe_link(*connection_, options); });
  };
  EXPECT_TRUE(refused({.small_messages = 2}, "small_messages is 2"));
  EXPECT_TRUE(refused({.large_messages = 0}, "large_messages is 0"));
  EXPECT_TRUE(refused({.message_s = 0}, "message_s is 0"));
  EXPECT_TRUE(refused({.max_bytes = 5}, "max_bytes is 5"));
  EXPECT_TRUE(refused({.timeout = 0ns}, "timeout"));
}

TEST_F(LinkProbe, AWorkerSendsTheBytesAskedForAndNoMore) {
  connect("", "inproc://probe");
  EXPECT_EQ(probe({std::int64_t{1000}}).values.front().tensor().packed_bytes(), 1000U);
  EXPECT_EQ(probe({std::int64_t{0}, Tensor::empty(DType::u8, {7})}).values.front().tensor().packed_bytes(), 0U);
  for (const Value& wrong : {Value(std::int64_t{-1}), Value(std::int64_t{1} << 40), Value("many"), Value(1e3)}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "a probe for", [&] { (void)probe({wrong}); }));
  }
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "a probe for", [&] { (void)probe({}); }));
}

}  // namespace
}  // namespace splitnet
