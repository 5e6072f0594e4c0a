// SPDX-License-Identifier: Apache-2.0
// The command line of splitnet-worker. Private to the program.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/log.hpp"
#include "splitnet/transport/tls.hpp"
#include "splitnet/worker.hpp"

namespace CLI {
class App;
}

namespace splitnet {

/// Of listeners on sqs://. Nothing: not given, SqsOptions has it.
struct SqsArguments {
  std::size_t in_flight = 0;  ///< 0: one more than what is worked on at once.
  std::optional<std::int64_t> visibility_timeout_s;
  std::optional<std::size_t> max_deliveries;
  std::optional<std::int64_t> wait_time_s;
  std::string dead_letter_queue;
};

struct Arguments {
  std::vector<std::string> models;
  std::vector<std::string> listen = {"tcp://127.0.0.1:7070"};
  std::vector<std::string> inputs;
  std::vector<std::string> cuts;
  std::string prepare;
  int threads = 0;
  std::size_t executors = 1;
  std::size_t cached_stages = StageCacheLimits{}.max_stages;
  std::int64_t cached_megabytes = StageCacheLimits{}.max_parameter_bytes >> 20;
  std::size_t queued_requests = WorkerOptions{}.max_queued_requests;
  std::size_t queued_megabytes = WorkerOptions{}.max_queued_bytes >> 20;
  std::size_t batch_rows = BatchingOptions{}.max_rows;
  double batch_wait_ms = 2;
  double drain_timeout_s = 30;
  std::string token_file;
  std::vector<std::string> forward_to;
  std::string forward_token_file;
  TlsOptions tls;
  bool allow_remote = false;
  SqsArguments sqs;
  std::string status;
  bool allow_remote_status = false;
  std::string log_format = "text";
  bool verbose = false;

  [[nodiscard]] bool shows(LogLevel level) const { return verbose || level != LogLevel::debug; }
};

[[noreturn]] void bad_usage(const std::string& message);

void add_options(CLI::App& app, Arguments& arguments);
/// Throws invalid_argument: options that have no effect together, or none at all.
void check(const Arguments& arguments);

}  // namespace splitnet
