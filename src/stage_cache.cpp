// SPDX-License-Identifier: Apache-2.0
#include "splitnet/stage_cache.hpp"

#include <condition_variable>
#include <exception>
#include <iterator>
#include <new>
#include <optional>

#include "splitnet/error.hpp"

namespace splitnet {

/// What those who wait for a stage look at. The failure is kept as code and words, so that no exception
/// object is shared between threads.
struct StageCache::Pending {
  struct Failure {
    ErrorCode code;
    std::string message;
  };

  void publish(std::shared_ptr<const Stage> made) {
    const std::lock_guard lock(mutex);
    stage = std::move(made);
    done = true;
    changed.notify_all();
  }

  void publish(Failure what) {
    const std::lock_guard lock(mutex);
    failure = std::move(what);
    done = true;
    changed.notify_all();
  }

  std::shared_ptr<const Stage> wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return done; });
    if (failure) throw Error(failure->code, failure->message);
    return stage;
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::shared_ptr<const Stage> stage;
  std::optional<Failure> failure;
};

std::shared_ptr<const Stage> StageCache::get(const Key& key, const Make& make) {
  const auto [pending, first] = find_or_begin(key);
  return first ? make_and_publish(key, make, *pending) : pending->wait();
}

std::pair<std::shared_ptr<StageCache::Pending>, bool> StageCache::find_or_begin(const Key& key) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(key); found != entries_.end()) {
    Entry& entry = found->second;
    ++stats_.hits;
    if (entry.ready) recency_.splice(recency_.begin(), recency_, entry.recency);
    return {entry.pending, false};
  }
  Entry entry;
  entry.pending = std::make_shared<Pending>();
  ++stats_.misses;
  return {entries_.emplace(key, std::move(entry)).first->second.pending, true};
}

std::shared_ptr<const Stage> StageCache::make_and_publish(const Key& key, const Make& make, Pending& pending) {
  Pending::Failure failure{ErrorCode::internal, "making a stage threw something that is not an exception"};
  try {
    std::shared_ptr<const Stage> stage = make();
    if (!stage) throw Error(ErrorCode::internal, "the model gave no stage");
    keep(key, *stage);
    pending.publish(stage);
    return stage;
  } catch (const Error& error) {
    failure = {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    failure = {ErrorCode::overloaded, "no memory for a stage"};
  } catch (const std::exception& error) {
    failure.message = error.what();
  } catch (...) {
  }
  {
    const std::lock_guard lock(mutex_);
    entries_.erase(key);
  }
  pending.publish(failure);
  throw Error(failure.code, failure.message);
}

void StageCache::keep(const Key& key, const Stage& stage) {
  Graveyard evicted;  // Stages end after the lock does.
  const std::lock_guard lock(mutex_);
  const auto position = entries_.find(key);
  Entry& entry = position->second;
  entry.parameter_bytes = stage.info().parameter_bytes;
  if (limits_.max_stages == 0 || entry.parameter_bytes > limits_.max_parameter_bytes) {
    entries_.erase(position);
    return;
  }
  entry.recency = recency_.insert(recency_.begin(), key);
  entry.ready = true;
  stats_.parameter_bytes += entry.parameter_bytes;
  evict_while_over(evicted);
}

void StageCache::evict_while_over(Graveyard& evicted) {
  while (recency_.size() > limits_.max_stages || stats_.parameter_bytes > limits_.max_parameter_bytes) {
    ++stats_.evictions;
    evict(std::prev(recency_.end()), evicted);
  }
}

void StageCache::evict(std::list<Key>::iterator position, Graveyard& evicted) {
  const auto entry = entries_.find(*position);
  evicted.push_back(std::move(entry->second.pending));
  stats_.parameter_bytes -= entry->second.parameter_bytes;
  entries_.erase(entry);
  recency_.erase(position);
}

void StageCache::clear() {
  Graveyard evicted;
  const std::lock_guard lock(mutex_);
  while (!recency_.empty()) evict(recency_.begin(), evicted);
}

void StageCache::drop(const std::string& model) {
  Graveyard evicted;
  const std::lock_guard lock(mutex_);
  for (auto position = recency_.begin(); position != recency_.end();) {
    const auto next = std::next(position);
    if (position->model == model) evict(position, evicted);
    position = next;
  }
}

StageCacheStats StageCache::stats() const {
  const std::lock_guard lock(mutex_);
  StageCacheStats now = stats_;
  now.stages = recency_.size();
  return now;
}

}  // namespace splitnet
