// SPDX-License-Identifier: Apache-2.0
// Codecs whose tables arrived when a stage was prepared. Private to the worker.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// By name, which holds a digest of the tables; those used longest ago go first. Thread-safe.
class CodecCache {
 public:
  /// `max_bytes`: of all tables together.
  CodecCache(const CodecRegistry& registry, std::size_t max_bytes) : registry_(registry), max_bytes_(max_bytes) {}

  /// Without tables: one that was made before, or from the registry. With tables: made and kept. Throws as
  /// CodecRegistry::make, too_large for tables of more than max_bytes.
  std::shared_ptr<const Codec> get(const std::string& name, const CodecTables& tables = nullptr);

 private:
  struct Entry {
    std::string name;
    std::shared_ptr<const Codec> codec;
    std::size_t bytes;
  };
  std::shared_ptr<const Codec> find(const std::string& name);

  const CodecRegistry& registry_;
  const std::size_t max_bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // Used last first.
  std::map<std::string, std::list<Entry>::iterator> by_name_;
  std::size_t bytes_ = 0;
};

}  // namespace splitnet::detail
