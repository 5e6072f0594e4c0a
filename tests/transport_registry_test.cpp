// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport_registry.hpp"

#include <gtest/gtest.h>

#include "splitnet/transport/inproc.hpp"

namespace splitnet {
namespace {

void echo(Message request, const CallContext&, const Responder& respond) {
  Message reply;
  reply.kind = MessageKind::reply;
  reply.values = std::move(request.values);
  respond(std::move(reply));
}

void expect_invalid(const std::function<void()>& action, const std::string& part) {
  try {
    action();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(TransportRegistry, HasTheTransportsOfThisBuild) {
  const auto schemes = TransportRegistry::with_defaults().schemes();
  EXPECT_NE(std::find(schemes.begin(), schemes.end(), "tcp"), schemes.end());
  EXPECT_NE(std::find(schemes.begin(), schemes.end(), "inproc"), schemes.end());
}

TEST(TransportRegistry, CarriesACallByTheSchemeOfItsEndpoint) {
  const auto registry = TransportRegistry::with_defaults();
  for (const std::string endpoint : {"tcp://127.0.0.1:0", "inproc://registry", "shaped://up=1Gbit@inproc://shaped"}) {
    const auto listener = registry.listen(endpoint, echo);
    const auto connection = registry.connect(listener->address());
    Message request;
    request.values = {Value("hello")};
    EXPECT_EQ(call_and_wait(*connection, request).values.at(0).string(), "hello") << endpoint;
  }
}

TEST(TransportRegistry, NamesTheKnownSchemesWhenOneIsUnknown) {
  const auto registry = TransportRegistry::with_defaults();
  expect_invalid([&] { (void)registry.connect("carrier-pigeon://here"); }, "inproc, shaped, shm, tcp");
  expect_invalid([&] { (void)registry.connect("127.0.0.1:7070"); }, "no scheme");
  expect_invalid([&] { (void)registry.listen("", echo); }, "no scheme");
  expect_invalid([] { (void)TransportRegistry().connect("tcp://x:1"); }, "none registered");
}

TEST(TransportRegistry, TakesTransportsOfOthers) {
  TransportRegistry registry;
  registry.add("mine", make_inproc_transport());
  EXPECT_EQ(registry.schemes(), std::vector<std::string>{"mine"});
  expect_invalid([&] { registry.add("", make_inproc_transport()); }, "scheme");
  expect_invalid([&] { registry.add("a:b", make_inproc_transport()); }, "a:b");
  expect_invalid([&] { registry.add("null", nullptr); }, "null");
}

}  // namespace
}  // namespace splitnet
