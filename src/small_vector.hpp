// SPDX-License-Identifier: Apache-2.0
// What most messages have few of: without memory of its own up to that many.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstddef>

namespace splitnet::detail {

template <class T, std::size_t n>
using SmallVector = boost::container::small_vector<T, n>;

}  // namespace splitnet::detail
