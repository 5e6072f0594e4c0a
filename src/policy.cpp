// SPDX-License-Identifier: Apache-2.0
#include "splitnet/policy.hpp"

namespace splitnet {

std::string_view to_string(Reason reason) noexcept {
  switch (reason) {
    case Reason::fixed: return "fixed";
    case Reason::best: return "best";
    case Reason::not_worth_it: return "not_worth_it";
    case Reason::switched: return "switched";
    case Reason::raced: return "raced";
    case Reason::worker_missing: return "worker_missing";
    case Reason::worker_tried: return "worker_tried";
    case Reason::not_ready: return "not_ready";
  }
  return "unknown";
}

}  // namespace splitnet
