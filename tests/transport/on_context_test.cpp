// SPDX-License-Identifier: Apache-2.0
#include "transport/on_context.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <new>

namespace splitnet {
namespace {

namespace asio = detail::asio;
using detail::guarded;
using detail::on_context;

/// Nobody but the context's thread would hear of it, and end.
TEST(OnContext, WantOfMemoryEndsAStepAndNotTheThread) {
  const auto context = std::make_shared<asio::io_context>(1);
  int steps = 0;
  asio::post(*context, guarded([&] {
    ++steps;
    throw std::bad_alloc();
  }));
  asio::steady_timer timer(*context);
  timer.expires_after(std::chrono::seconds(0));
  timer.async_wait(guarded([&](const auto& aborted) {
    EXPECT_FALSE(aborted);
    ++steps;
    throw std::bad_alloc();
  }));
  on_context(context, [&](int result) {
    steps += result;
    throw std::bad_alloc();
  })(10);
  asio::post(*context, guarded([&] { steps += 100; }));
  context->run();
  EXPECT_EQ(steps, 112);
}

}  // namespace
}  // namespace splitnet
