// SPDX-License-Identifier: Apache-2.0
// What most messages have few of: without memory of its own up to that many.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstddef>
#include <span>

namespace splitnet::detail {

template <class T, std::size_t n>
using SmallVector = boost::container::small_vector<T, n>;

/// Its iterators don't say that they are contiguous (Boost 1.74).
template <class T, std::size_t n>
std::span<const T> span_of(const SmallVector<T, n>& items) {
  return {items.data(), items.size()};
}

}  // namespace splitnet::detail
