// SPDX-License-Identifier: Apache-2.0
/// \file
/// Objects by name, in Amazon S3 or what speaks like it: for bodies that are too large for an invocation or a queue.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "splitnet/aws/options.hpp"
#include "splitnet/error.hpp"
#include "splitnet/transport.hpp"

namespace splitnet {

/// One bucket, or what lies below a prefix of it. Thread-safe. The destructor ends what is under way with `cancelled`.
///
/// Errors of all operations: invalid_argument (no such bucket or object, another region), unauthenticated (credentials,
/// rights), overloaded (slow down, no memory), unavailable (nobody there, a fault of the service, or it stands still
/// for AwsOptions::stall_timeout), too_large, deadline_exceeded, cancelled.
class ObjectStore {
 public:
  /// Nothing: it is done.
  using Done = std::function<void(std::optional<Error>)>;
  using Got = std::function<void(std::variant<std::string, Error>)>;

  /// `url`: "s3://bucket" or "s3://bucket/prefix". Asks nobody yet. Throws invalid_argument: the URL, or AwsOptions.
  static std::shared_ptr<ObjectStore> open(const std::string& url, const AwsOptions& options = {});
  virtual ~ObjectStore() = default;

  /// "s3://bucket/prefix/key".
  [[nodiscard]] virtual std::string url_of(const std::string& key) const = 0;
  /// The key of an object of this store; nothing: the URL leads elsewhere.
  [[nodiscard]] virtual std::optional<std::string> key_of(const std::string& url) const = 0;

  /// These return at once; `done` runs once, on a thread of the store, or on this one when there are no credentials.
  virtual void put(const std::string& key, std::string bytes, Deadline deadline, std::stop_token stop, Done done) = 0;
  virtual void get(const std::string& key, std::size_t max_bytes, Deadline deadline, std::stop_token stop,
                   Got done) = 0;
  /// What is not there is removed, too.
  virtual void remove(const std::string& key, Deadline deadline, std::stop_token stop, Done done) = 0;

  /// These wait, and throw the errors.
  void put(const std::string& key, std::string bytes, Deadline deadline = {}, std::stop_token stop = {});
  [[nodiscard]] std::string get(const std::string& key, std::size_t max_bytes = std::size_t{1} << 30,
                                Deadline deadline = {}, std::stop_token stop = {});
  void remove(const std::string& key, Deadline deadline = {}, std::stop_token stop = {});
};

}  // namespace splitnet
