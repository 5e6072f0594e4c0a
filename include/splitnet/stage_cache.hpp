// SPDX-License-Identifier: Apache-2.0
/// \file
/// Stages that were cut on demand, kept for the next request.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/model.hpp"
#include "splitnet/stage.hpp"

namespace splitnet {

/// How much a StageCache keeps. Both bounds hold at once.
struct StageCacheLimits {
  std::size_t max_stages = 64;
  /// Sum of StageInfo::parameter_bytes. Stages of one model share parameters, so the memory in use may be
  /// less than the sum; it is never more.
  std::int64_t max_parameter_bytes = std::int64_t{4} << 30;
};

/// Counters since the cache was made, and what it holds now. A plain value.
struct StageCacheStats {
  std::uint64_t hits = 0;       ///< Found, or waited for somebody else who was making it.
  std::uint64_t misses = 0;     ///< Made (or tried to).
  std::uint64_t evictions = 0;  ///< Dropped to hold a bound; users of a dropped stage keep it alive.
  std::size_t stages = 0;
  std::int64_t parameter_bytes = 0;
};

/// Keeps the stages used last. Thread-safe. Callers that ask for one stage at the same time make it once:
/// the others wait for the first. A failure is given to all who wait and is not kept, so the next call
/// tries again.
class StageCache {
 public:
  struct Key {
    std::string model;  ///< Its fingerprint: two versions of a model have different stages.
    StageKey stage;
    friend bool operator==(const Key&, const Key&) = default;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  using Make = std::function<std::unique_ptr<Stage>()>;

  explicit StageCache(StageCacheLimits limits = {}) : limits_(limits) {}
  StageCache(const StageCache&) = delete;
  StageCache& operator=(const StageCache&) = delete;

  /// The stage of `key`, from `make` when it is not there. `make` runs on the calling thread without a
  /// lock. A stage that alone exceeds the bounds is returned and not kept. Throws what `make` throws, as
  /// Error (`overloaded` for std::bad_alloc, `internal` for other exceptions).
  [[nodiscard]] std::shared_ptr<const Stage> get(const Key& key, const Make& make);

  /// Drops everything that is ready.
  void clear();
  /// Drops what is ready of this model.
  void drop(const std::string& model);
  [[nodiscard]] StageCacheStats stats() const;

 private:
  struct Pending;
  struct Entry {
    std::shared_ptr<Pending> pending;
    bool ready = false;
    std::list<Key>::iterator recency;  ///< Only when ready.
    std::int64_t parameter_bytes = 0;
  };
  using Graveyard = std::vector<std::shared_ptr<Pending>>;
  /// What callers of `key` wait for, and whether this one is the first, who has to make it.
  std::pair<std::shared_ptr<Pending>, bool> find_or_begin(const Key& key);
  std::shared_ptr<const Stage> make_and_publish(const Key& key, const Make& make, Pending& pending);
  void keep(const Key& key, const Stage& stage);
  void evict_while_over(Graveyard& evicted);
  void evict(std::list<Key>::iterator position, Graveyard& evicted);

  const StageCacheLimits limits_;
  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;
  std::list<Key> recency_;  ///< Ready ones, used last in front.
  StageCacheStats stats_;   ///< `stages` is filled in by stats().
};

}  // namespace splitnet
