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
  on_context<int>(context, [&](int result) {
    steps += result;
    throw std::bad_alloc();
  })(10);
  asio::post(*context, guarded([&] { steps += 100; }));
  context->run();
  EXPECT_EQ(steps, 112);
}

/// Can only be moved, as if there were no memory.
struct Step {
  explicit Step(int* count) : steps(count) {}
  Step(Step&&) = default;
  Step(const Step& other) : steps(other.steps) { throw std::bad_alloc(); }
  template <class... Results>
  void operator()(const Results&...) const {
    ++*steps;
  }
  int* steps;
};

/// Asio copies and moves handlers where nobody catches what that throws.
TEST(OnContext, HandlersAreCopiedWithoutMemory) {
  const auto context = std::make_shared<asio::io_context>(1);
  int steps = 0;
  asio::steady_timer timer(*context);
  timer.expires_after(std::chrono::seconds(0));
  timer.async_wait(guarded(Step(&steps)));
  const auto post = guarded(Step(&steps));
  asio::post(*context, post);
  const auto tell = on_context<int>(context, Step(&steps));
  const auto copy = tell;
  copy(1);
  context->run_one();
  context->run_one();
  context->run_one();
  EXPECT_EQ(steps, 3);
}

TEST(OnContext, InsistsUntilThereIsMemory) {
  int tries = 0;
  detail::insist([&] {
    if (++tries < 3) throw std::bad_alloc();
  });
  EXPECT_EQ(tries, 3);
}

}  // namespace
}  // namespace splitnet
