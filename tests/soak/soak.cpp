// SPDX-License-Identifier: Apache-2.0
// A client's load on workers that are killed, drained, stopped, slowed and started again, over links that die, stall
// and return: is anything lost, wrong or answered twice? scripts/soak runs it with a real network; docs/operations.md.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ledger.hpp"
#include "load.hpp"
#include "network.hpp"
#include "slow_model.hpp"
#include "splitnet/adaptive_policy.hpp"
#include "splitnet/session.hpp"
#include "supervisor.hpp"
#include "worker_program.hpp"

namespace {

using namespace splitnet;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t picture_count = 512;
constexpr int device_slowness = 6;  // A pass on the device takes so many times as long as on a worker.
constexpr std::size_t clients_per_session = 2;
constexpr std::size_t adaptive_in_flight = 3;
constexpr std::size_t fixed_in_flight = 4;
constexpr const char* fixed_codec = "int8:per=channel";
constexpr auto progress_period = 5s;
constexpr auto longest_warm_up = 60s;
/// A run in which workers answer less than this shows nothing.
constexpr double least_share_of_workers = 0.2;
constexpr std::size_t most_requests = 16 << 20;

struct Arguments {
  double seconds = 60;
  std::size_t requests = most_requests;
  double deadline_s = 5;
  std::uint64_t seed = 1;
  std::string worker;
  std::string model;
  std::string inputs;
};

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--seconds", arguments.seconds, "How long it lasts")->capture_default_str();
  app.add_option("--requests", arguments.requests, "Ends earlier, after so many requests")
      ->check(CLI::Range(std::size_t{1}, most_requests));
  app.add_option("--deadline", arguments.deadline_s, "Of each request, in seconds; workers are stopped for longer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", arguments.seed, "Of the choice of workers to torment")->capture_default_str();
  app.add_option("--worker", arguments.worker, "The program splitnet-worker")->required()->check(CLI::ExistingFile);
  app.add_option("--model", arguments.model,
                 "A model of the zoo that takes a picture of 1x1x64x64; none: a small one without training")
      ->check(CLI::ExistingFile);
  app.add_option("--inputs", arguments.inputs, "Its inputs")->check(CLI::ExistingFile);
}

/// Gone with its end.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "splitnet_soak_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder for files that pass");
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What is not held goes back to the system before it is counted.
std::int64_t own_resident_bytes() {
  ::malloc_trim(0);
  return soak::resident_bytes("self");
}

struct Memory {
  std::int64_t client = 0;
  std::int64_t worker = 0;
};

class Soak {
 public:
  explicit Soak(const Arguments& arguments)
      : arguments_(arguments),
        network_(arguments.model.empty() ? soak::own_network(folder_.path(), picture_count)
                                         : soak::zoo_network(arguments.model, arguments.inputs, picture_count)),
        cut_(soak::middle_cut(*network_.model)),
        uncut_{network_.pictures, soak::uncut_answers(network_)},
        coded_{network_.pictures, soak::coded_answers(network_, cut_, fixed_codec)},
        supervisor_(supervisor_options()),
        ledger_(arguments.requests),
        adaptive_(open_adaptive(), uncut_, ledger_),
        fixed_(open_fixed(), coded_, ledger_) {}

  /// The exit status.
  int run() {
    const auto begun = Clock::now();
    supervisor_.begin();
    for (soak::Load* load : {&adaptive_, &fixed_}) load->begin(clients_per_session);
    auto next_progress = begun + progress_period;
    std::optional<Memory> warm;
    Memory end;
    while (!is_enough(begun, 1)) {
      std::this_thread::sleep_for(20ms);
      if (!warm && (is_enough(begun, 3) || Clock::now() > begun + longest_warm_up)) warm = memory();
      if (Clock::now() < next_progress) continue;
      next_progress += progress_period;
      print_progress(begun);
    }
    end = memory();
    ledger_.close();
    for (soak::Load* load : {&adaptive_, &fixed_}) load->join();
    supervisor_.end();
    // All have a deadline; whatever has not ended long after it is lost.
    (void)ledger_.wait(30s + 10 * deadline());
    for (soak::Load* load : {&adaptive_, &fixed_}) load->close();
    return report(std::chrono::duration<double>(Clock::now() - begun).count(), warm.value_or(end), end);
  }

 private:
  [[nodiscard]] std::chrono::nanoseconds deadline() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(arguments_.deadline_s));
  }
  [[nodiscard]] soak::SupervisorOptions supervisor_options() const {
    soak::SupervisorOptions options;
    options.worker = {arguments_.worker, "net=" + network_.file,       "--input", "1x1x64x64",
                      "--threads",       std::to_string(soak::threads)};
    options.log_file = log_file();
    options.deadline = deadline();
    options.seed = arguments_.seed;
    return options;
  }

  [[nodiscard]] SessionOptions session_options(std::vector<std::size_t> workers, std::size_t in_flight) const {
    const auto endpoints = supervisor_.endpoints();
    SessionOptions options;
    options.worker = endpoints[workers.front()];
    for (std::size_t i = 1; i < workers.size(); ++i) options.spare_workers.push_back(endpoints[workers[i]]);
    options.threads = soak::threads;
    options.deadline = deadline();
    options.max_in_flight = in_flight;
    return options;
  }
  /// Answers are the uncut model's, wherever it runs.
  [[nodiscard]] std::unique_ptr<Session> open_adaptive() const {
    auto options = session_options({0, 1, 2}, adaptive_in_flight);
    options.objective = Objective::latency;
    options.policy = adaptive_policy();
    return Session::open(std::make_shared<soak::SlowModel>(network_.model, device_slowness), options);
  }
  /// Answers are those of a codec that changes them.
  [[nodiscard]] std::unique_ptr<Session> open_fixed() const {
    auto options = session_options({1, 2, 0}, fixed_in_flight);
    options.cut = cut_;
    options.codec = fixed_codec;
    return Session::open(network_.model, options);
  }

  /// Of the run, the part 1 / `divisor` is over.
  [[nodiscard]] bool is_enough(Clock::time_point begun, std::size_t divisor) const {
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - begun).count();
    return elapsed_s * static_cast<double>(divisor) >= arguments_.seconds ||
           ledger_.counts().requests * divisor >= arguments_.requests;
  }
  [[nodiscard]] Memory memory() const { return {own_resident_bytes(), supervisor_.lasting_resident_bytes()}; }

  void print_progress(Clock::time_point begun) const {
    const auto counts = ledger_.counts();
    const auto torments = supervisor_.torments();
    std::fprintf(stderr,
                 "%.0f s: %" PRIu64 " requests, %.0f %% answered by workers, %" PRIu64 " failed, %" PRIu64
                 " wrong; killed %" PRIu64 ", drained %" PRIu64 ", stopped %" PRIu64 ", slowed %" PRIu64
                 ", links cut %" PRIu64 ", stalled %" PRIu64 "\n",
                 std::chrono::duration<double>(Clock::now() - begun).count(), counts.ended,
                 100 * share_of_workers(counts), counts.failed, counts.wrong, torments.killed, torments.drained,
                 torments.stopped, torments.slowed, torments.links_cut, torments.links_stalled);
  }
  static double share_of_workers(const soak::Counts& counts) {
    return static_cast<double>(counts.by_workers()) / static_cast<double>(std::max<std::uint64_t>(counts.ended, 1));
  }

  int report(double seconds, const Memory& warm, const Memory& end) const {
    const auto counts = ledger_.counts();
    print_answers(counts, seconds);
    print_torments();
    std::printf(
        "memory: client %.1f MB after warming up, %.1f at the end; the worker that lives through %.1f and %.1f\n",
        1e-6 * static_cast<double>(warm.client), 1e-6 * static_cast<double>(end.client),
        1e-6 * static_cast<double>(warm.worker), 1e-6 * static_cast<double>(end.worker));
    const bool is_shown = print_doubts(counts);
    std::printf("soak: requests=%" PRIu64 " lost=%" PRIu64 " wrong=%" PRIu64 " twice=%" PRIu64
                " rss_growth_bytes=%" PRId64 "\n",
                counts.requests, counts.lost(), counts.wrong, counts.twice, end.client - warm.client);
    return is_shown && counts.lost() + counts.wrong + counts.twice == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  }

  void print_answers(const soak::Counts& counts, double seconds) const {
    std::uint64_t retries = 0;
    std::uint64_t late = 0;
    for (const soak::Load* load : {&adaptive_, &fixed_}) {
      retries += load->session().stats().retries;
      late += load->session().stats().late_replies;
    }
    std::printf("answers: %" PRIu64 " in %.0f s by workers (", counts.by_workers(), seconds);
    const char* separator = "";
    for (const std::string& endpoint : supervisor_.endpoints()) {
      const auto found = counts.by_worker.find(endpoint);
      std::printf("%s%" PRIu64, separator, found == counts.by_worker.end() ? 0 : found->second);
      separator = ", ";
    }
    std::printf("), %" PRIu64 " by the device (%" PRIu64 " without asking a worker); hedged %" PRIu64
                ", retried %" PRIu64 ", late ones dropped %" PRIu64 "; the longest took %.0f ms\n",
                counts.by_device, counts.on_device_only, counts.hedged, retries, late, 1e3 * counts.longest_s);
  }
  void print_torments() const {
    const auto torments = supervisor_.torments();
    std::printf("workers: killed %" PRIu64 ", drained %" PRIu64
                " (all ended with 0), stopped past the deadline %" PRIu64 ", slowed %" PRIu64 "; links: cut %" PRIu64
                ", stalled %" PRIu64 "\n",
                torments.killed, torments.drained, torments.stopped, torments.slowed, torments.links_cut,
                torments.links_stalled);
  }
  /// True: there are none.
  bool print_doubts(const soak::Counts& counts) const {
    bool is_shown = true;
    const auto doubt = [&](const std::string& what) {
      std::printf("doubt: %s\n", what.c_str());
      is_shown = false;
    };
    for (const auto& [error, count] : counts.errors) doubt(std::to_string(count) + " times: " + error);
    for (const std::string& surprise : supervisor_.surprises()) doubt(surprise);
    if (!supervisor_.surprises().empty()) print_end_of_log();
    if (share_of_workers(counts) < least_share_of_workers) doubt("workers have hardly answered");
    if (supervisor_.torments().killed == 0) doubt("no worker was killed");
    return is_shown;
  }

  void print_end_of_log() const {
    std::ifstream file(log_file());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    constexpr std::size_t most = 4000;
    std::fprintf(stderr, "the workers' last words:\n%s\n",
                 text.substr(text.size() - std::min(text.size(), most)).c_str());
  }
  [[nodiscard]] std::string log_file() const { return folder_.path() + "/workers.log"; }

  const Arguments arguments_;
  const Folder folder_;
  const soak::Network network_;
  const Cut cut_;
  const soak::Questions uncut_;
  const soak::Questions coded_;
  soak::Supervisor supervisor_;
  soak::Ledger ledger_;
  soak::Load adaptive_;
  soak::Load fixed_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Puts a load on workers that are killed, drained, stopped, slowed and started again, over links that die, stall "
      "and return, and compares every answer with what the plan gives here. Fails when a request was lost, answered "
      "wrong or twice, when a worker did what nobody told it to, or when workers have hardly answered.",
      "splitnet_soak");
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  try {
    return Soak(arguments).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "soak: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
