// SPDX-License-Identifier: Apache-2.0
#include "transport/admission.hpp"

#include <gtest/gtest.h>

namespace splitnet::detail {
namespace {

using namespace std::chrono_literals;
using Clock = RateLimit::Clock;

TEST(RateLimit, AllowsSoManyASecond) {
  RateLimit limit(10);
  auto now = Clock::now();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(limit.take(now)) << i;
  EXPECT_FALSE(limit.take(now));
  EXPECT_TRUE(limit.is_empty(now));
  now += 101ms;
  EXPECT_FALSE(limit.is_empty(now));
  EXPECT_TRUE(limit.take(now));
  EXPECT_FALSE(limit.take(now));
  now += 1h;
  EXPECT_TRUE(limit.is_full(now));
  int taken = 0;
  while (limit.take(now)) ++taken;
  EXPECT_EQ(taken, 10) << "rest does not pile up";
}

TEST(RateLimit, AllowsOneNowAndThen) {
  RateLimit limit(0.5);
  auto now = Clock::now();
  EXPECT_TRUE(limit.take(now));
  EXPECT_FALSE(limit.take(now + 1s));
  EXPECT_TRUE(limit.take(now + 3s));
}

ListenOptions guarded() {
  ListenOptions options;
  options.token = "the-token-of-this-test";
  options.max_wrong_tokens_per_s = 2;
  return options;
}

TEST(Admission, CountsWrongTokensByHost) {
  Admission admission(guarded());
  EXPECT_TRUE(admission.needs_token());
  EXPECT_FALSE(admission.refuse_token("good", guarded().token));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(admission.refuse_token("bad", "another")->code(), ErrorCode::unauthenticated);
  }
  ASSERT_TRUE(admission.refuse_connection("bad"));
  EXPECT_EQ(admission.refuse_connection("bad")->code(), ErrorCode::overloaded);
  EXPECT_FALSE(admission.refuse_connection("good"));
}

TEST(Admission, RemembersABoundedNumberOfHosts) {
  Admission admission(guarded());
  for (int i = 0; i < 5000; ++i) {
    const std::string host = std::to_string(i);
    (void)admission.refuse_token(host, "another");
    (void)admission.refuse_token(host, "another");
    if (i < 1000) {
      EXPECT_TRUE(admission.refuse_connection(host)) << i;
    }
  }
  EXPECT_FALSE(admission.refuse_connection("somebody else"));
}

TEST(Admission, WithoutATokenNeedsNone) {
  Admission admission({});
  EXPECT_FALSE(admission.needs_token());
}

}  // namespace
}  // namespace splitnet::detail
