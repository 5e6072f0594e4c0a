// SPDX-License-Identifier: Apache-2.0
// How old this process is.
#pragma once

namespace splitnet::detail {

/// In seconds, by the kernel's word, to a hundredth; 0: it does not say.
double since_process_start_s();

}  // namespace splitnet::detail
