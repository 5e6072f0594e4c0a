// SPDX-License-Identifier: Apache-2.0
#include "ledger.hpp"

#include <algorithm>

namespace splitnet::soak {

std::uint64_t Counts::by_workers() const {
  std::uint64_t sum = 0;
  for (const auto& [endpoint, count] : by_worker) sum += count;
  return sum;
}

Ledger::Ledger(std::size_t most_requests)
    : most_requests_(most_requests), told_(std::make_unique<std::atomic<std::uint8_t>[]>(most_requests)) {}

std::optional<std::size_t> Ledger::begin() {
  const std::lock_guard lock(mutex_);
  if (closed_ || counts_.requests >= most_requests_) return std::nullopt;
  return counts_.requests++;
}

void Ledger::note(std::size_t request, const std::variant<Answer, Error>& outcome, const Value& expected) {
  const bool is_first = told_[request].fetch_add(1) == 0;
  const auto* const answer = std::get_if<Answer>(&outcome);
  const bool is_right = answer != nullptr && bit_identical(answer->output, expected);
  const std::lock_guard lock(mutex_);
  if (!is_first) {
    ++counts_.twice;
    return;
  }
  ++counts_.ended;
  if (answer == nullptr) {
    ++counts_.failed;
    ++counts_.errors[std::get<Error>(outcome).what()];
  } else {
    if (!is_right) ++counts_.wrong;
    if (answer->hedged) ++counts_.hedged;
    if (answer->answered_by.empty()) {
      ++counts_.by_device;
      if (answer->requests == 0) ++counts_.on_device_only;
    } else {
      ++counts_.by_worker[answer->answered_by];
    }
    counts_.longest_s = std::max(counts_.longest_s, answer->times.total_s);
  }
  changed_.notify_all();
}

bool Ledger::wait(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return counts_.ended == counts_.requests; });
}

Counts Ledger::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace splitnet::soak
