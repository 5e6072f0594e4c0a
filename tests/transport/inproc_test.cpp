// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/inproc.hpp"

#include "splitnet/testing/transport_tools.hpp"

namespace splitnet {
namespace {

TEST(Inproc, HandsOverTensorsWithoutACopy) {
  const auto transport = make_inproc_transport();
  const auto listener = transport->listen("inproc://echo", testing::echo, {});
  const auto connection = transport->connect("inproc://echo", {});
  const auto tensor = testing::iota_u8(100);
  const auto reply = call_and_wait(*connection, testing::request_with({tensor}));
  EXPECT_EQ(reply.values.at(0).tensor().storage, tensor.storage);
}

TEST(Inproc, TakesNoMoreConnectionsThanTheListenerAllows) {
  const auto transport = make_inproc_transport();
  ListenOptions options;
  options.max_connections = 1;
  const auto listener = transport->listen("inproc://echo", testing::echo, options);
  auto connection = transport->connect("inproc://echo", {});
  EXPECT_EQ(testing::code_of([&] { (void)transport->connect("inproc://echo", {}); }), ErrorCode::overloaded);
  (void)call_and_wait(*connection, testing::request_with({}));
  connection.reset();
  EXPECT_NO_THROW((void)transport->connect("inproc://echo", {}));
}

TEST(Inproc, KeepsNamesOfTwoTransportsApart) {
  const auto one = make_inproc_transport();
  const auto other = make_inproc_transport();
  const auto listener = one->listen("inproc://name", testing::echo, {});
  EXPECT_THROW((void)other->connect("inproc://name", {}), Error);
  EXPECT_NO_THROW((void)other->listen("inproc://name", testing::echo, {}));
}

}  // namespace
}  // namespace splitnet
