// SPDX-License-Identifier: Apache-2.0
// Every transport in a process that has nothing left (FAULTS 24).
#include "descriptors.hpp"
#include "roads.hpp"
#include "splitnet/testing/transport_tools.hpp"

namespace splitnet {
namespace {

using testing::echo;
using testing::request_with;

class Exhaustion : public ::testing::TestWithParam<std::string> {
 protected:
  void expect_served() const {
    const auto deadline = std::chrono::steady_clock::now() + testing::kLongTime;
    EXPECT_EQ(call_and_wait(*friendly, request_with({testing::iota_u8(100'000)}), deadline).values.size(), 1U);
  }
  const TransportRegistry transports = testing::all_transports();
  const std::unique_ptr<Listener> listener = transports.listen(GetParam(), echo, {});
  const std::unique_ptr<Connection> friendly = transports.connect(listener->address());
};

TEST_P(Exhaustion, NoDescriptorsToConnectOrListen) {
  expect_served();
  std::vector<ErrorCode> codes;
  {
    testing::FewDescriptors few;
    few.fill();
    codes.push_back(testing::code_of([&] { (void)transports.connect(listener->address()); }));
    const std::string other = GetParam() + (GetParam().ends_with(":0") ? "" : "_other");
    // A listener in the same process needs a thread and nothing else.
    if (!GetParam().starts_with("inproc")) {
      codes.push_back(testing::code_of([&] { (void)transports.listen(other, echo, {}); }));
    }
    expect_served();
  }
  for (const auto code : codes) {
    EXPECT_TRUE(code == ErrorCode::overloaded || code == ErrorCode::unavailable) << to_string(code);
  }
  expect_served();
  (void)call_and_wait(*transports.connect(listener->address()), request_with({}));
}

INSTANTIATE_TEST_SUITE_P(Roads, Exhaustion, ::testing::ValuesIn(testing::all_endpoints("exhaustion")),
                         [](const auto& test) { return testing::scheme_of(test.param); });

}  // namespace
}  // namespace splitnet
