// SPDX-License-Identifier: Apache-2.0
/// \file
/// Work on threads that may outlive whoever waits for it.
#pragma once

#include <functional>

namespace splitnet::python {

/// On a thread of its own. `work` owns what it uses, and must not throw.
void run_in_background(std::function<void()> work);

/// Waits until all of that has ended: for the end of the program, after which no thread may ask for the GIL. Takes
/// signals meanwhile; what they raise ends the waiting. With the GIL.
void wait_for_background();

}  // namespace splitnet::python
