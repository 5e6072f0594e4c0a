// SPDX-License-Identifier: Apache-2.0
// Placements of the plans that a policy may decide on, made ahead of need. Private.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "agenda.hpp"
#include "placement.hpp"
#include "splitnet/planner.hpp"

namespace splitnet::detail {

/// Makes one after the other on a thread of its own, and keeps them all: their stages share the parameters of the
/// model. Thread-safe.
class PlacementCache {
 public:
  /// May throw: then there is no such placement, and it is not tried again.
  using Make = std::function<std::shared_ptr<const Placement>(const SequentialPlanner::Choice& choice)>;
  explicit PlacementCache(Make make) : make_(std::move(make)) {}

  /// Null when it is not there yet, or never; the first who asks has it made.
  std::shared_ptr<const Placement> find(const SequentialPlanner::Choice& choice) {
    const std::lock_guard lock(mutex_);
    const auto [position, is_new] = placements_.try_emplace({choice.head_layers, choice.codec});
    if (is_new) agenda_.add(Agenda::Order::last, [this, choice] { make(choice); });
    return position->second;
  }
  void put(const SequentialPlanner::Choice& choice, std::shared_ptr<const Placement> placement) {
    const std::lock_guard lock(mutex_);
    placements_[{choice.head_layers, choice.codec}] = std::move(placement);
  }
  /// Waits for the one that is being made.
  void close() noexcept { agenda_.close(); }

 private:
  void make(const SequentialPlanner::Choice& choice) noexcept {
    try {
      put(choice, make_(choice));
    } catch (const std::exception&) {  // Stays null.
    }
  }

  const Make make_;
  std::mutex mutex_;
  std::map<std::pair<std::size_t, std::size_t>, std::shared_ptr<const Placement>> placements_;
  Agenda agenda_;
};

}  // namespace splitnet::detail
