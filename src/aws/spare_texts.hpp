// SPDX-License-Identifier: Apache-2.0
// Memory of bodies that are done with, for the next: fresh memory costs a page fault per 4 KiB.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace splitnet::detail {

/// Thread-safe. Keeps a handful, of megabytes each.
class SpareTexts : public std::enable_shared_from_this<SpareTexts> {
 public:
  /// One that was given back, with what it has, if there is one; else empty.
  std::string take() {
    const std::lock_guard lock(mutex_);
    if (kept_.empty()) return {};
    std::string text = std::move(kept_.back());
    kept_.pop_back();
    return text;
  }
  void give_back(std::string text) {
    if (text.capacity() < least_bytes || text.capacity() > most_bytes) return;
    const std::lock_guard lock(mutex_);
    if (kept_.size() < most_texts) kept_.push_back(std::move(text));
  }
  /// Gives it back when the last handle goes.
  std::shared_ptr<const std::string> share(std::string text) {
    return {new std::string(std::move(text)), [self = shared_from_this()](std::string* done) {
              self->give_back(std::move(*done));
              delete done;
            }};
  }

 private:
  static constexpr std::size_t least_bytes = 16 * 1024;
  static constexpr std::size_t most_bytes = std::size_t{16} << 20;
  static constexpr std::size_t most_texts = 4;

  std::mutex mutex_;
  std::vector<std::string> kept_;  // Under the lock.
};

}  // namespace splitnet::detail
