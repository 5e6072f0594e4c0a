// SPDX-License-Identifier: Apache-2.0
// The road: two named pipes between two processes, a stream of bytes each way. Another road would replace this file.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace custom {

/// Closed once. -1: none.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) noexcept : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int get() const noexcept { return number_; }

 private:
  int number_;
};

/// Neither blocks.
struct Pipes {
  Descriptor in;
  Descriptor out;
};

/// A pipe in a folder (made if need be), where callers say that they have come. Who may use the folder is who may call:
/// it belongs to this user, and to nobody else.
class Door {
 public:
  /// Throws unavailable (somebody listens here already), unauthenticated (a folder that others can use).
  explicit Door(std::filesystem::path folder);
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  /// To be polled.
  [[nodiscard]] int descriptor() const noexcept { return knocks_.get(); }
  /// Of the next caller; nothing when nobody waits any more.
  std::optional<Pipes> take();

 private:
  const std::filesystem::path folder_;
  const bool is_made_;
  Descriptor knocks_;
};

/// Throws unavailable (nobody listens), unauthenticated, deadline_exceeded (nobody opened the door in time).
Pipes knock(const std::filesystem::path& folder, std::chrono::steady_clock::time_point give_up);

}  // namespace custom
