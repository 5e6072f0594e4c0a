// SPDX-License-Identifier: Apache-2.0
// The program splitnet-worker: serves stages of the models it was started with.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "splitnet/access.hpp"
#include "splitnet/error.hpp"
#include "splitnet/log.hpp"
#include "splitnet/metrics.hpp"
#include "splitnet/partitioner.hpp"
#include "splitnet/status_server.hpp"
#include "splitnet/transport_registry.hpp"
#include "splitnet/worker.hpp"

#ifndef SPLITNET_VERSION
#define SPLITNET_VERSION "unknown"
#endif

namespace {

using namespace splitnet;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

struct Arguments {
  std::vector<std::string> models;
  std::vector<std::string> listen = {"tcp://127.0.0.1:7070"};
  std::vector<std::string> inputs;
  int threads = 0;
  std::size_t executors = 1;
  std::size_t cached_stages = StageCacheLimits{}.max_stages;
  std::int64_t cached_megabytes = StageCacheLimits{}.max_parameter_bytes >> 20;
  std::size_t queued_requests = WorkerOptions{}.max_queued_requests;
  std::size_t queued_megabytes = WorkerOptions{}.max_queued_bytes >> 20;
  double drain_timeout_s = 30;
  std::string token_file;
  TlsOptions tls;
  bool allow_remote = false;
  std::string status;
  bool allow_remote_status = false;
  std::string log_format = "text";
  bool verbose = false;

  [[nodiscard]] bool shows(LogLevel level) const { return verbose || level != LogLevel::debug; }
};

void write(const Arguments& arguments, const LogRecord& record) {
  if (!arguments.shows(record.level)) return;
  // One write a line, so that lines of several threads do not mix.
  std::cerr << (arguments.log_format == "json" ? to_json(record) : to_text(record)) + "\n" << std::flush;
}

void log(const Arguments& arguments, LogLevel level, const std::string& message, std::vector<LogField> fields = {}) {
  write(arguments, {level, message, std::move(fields)});
}

[[noreturn]] void bad_usage(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

// ---- The command line.

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("models", arguments.models,
                 "Models to serve, as MODEL.pt (named after the file, without its ending) or NAME=MODEL.pt. "
                 "A model is a program: serve only files that you trust.")
      ->required()
      ->type_name("[NAME=]MODEL.pt");
  app.add_option("--listen", arguments.listen, "Endpoint to listen on; port 0 chooses a free one; may be repeated")
      ->capture_default_str();
  app.add_option("--input", arguments.inputs,
                 "Example input as [NAME=]SHAPE[:DTYPE], for instance 1x3x224x224 or bert=1x128:i64; once for each "
                 "input, in order; without NAME it is for all models that have none of their own. Sessions that plan "
                 "need them: the "
                 "worker times its layers with them")
      ->type_name("SPEC");
  app.add_option("--threads", arguments.threads,
                 "Threads that one pass may use; 0 leaves the choice to the framework. Answers are bit-identical only "
                 "between equal thread counts")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--executors", arguments.executors, "Passes that may run at once")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--stage-cache", arguments.cached_stages, "Stages to keep")->capture_default_str();
  app.add_option("--stage-cache-mb", arguments.cached_megabytes, "MiB of parameters in the stages kept")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--queue", arguments.queued_requests, "Requests that may wait; more are answered 'overloaded'")
      ->capture_default_str();
  app.add_option("--queue-mb", arguments.queued_megabytes, "MiB of tensors in the requests that wait or run")
      ->capture_default_str();
  app.add_option("--drain-timeout", arguments.drain_timeout_s,
                 "Seconds that requests under way may still take after SIGTERM or SIGINT")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--token-file", arguments.token_file,
                 "A file (chmod 600) whose first line clients have to show; without it the environment variable "
                 "SPLITNET_TOKEN is taken, if it is set")
      ->type_name("FILE");
  app.add_option("--certificate", arguments.tls.certificate_file, "Certificate chain (PEM) for tls:// and https://")
      ->type_name("FILE");
  app.add_option("--key", arguments.tls.private_key_file, "Its private key (PEM)")->type_name("FILE");
  app.add_option("--client-ca", arguments.tls.client_ca_file,
                 "Take only clients with a certificate of these authorities (PEM)")
      ->type_name("FILE");
  app.add_flag("--allow-remote", arguments.allow_remote,
               "Allow addresses that other machines can reach without a token and without encryption: whoever "
               "reaches the port can use the models and read along. Do this only on a network you trust");
#ifdef SPLITNET_WITH_HTTP
  app.add_option(
         "--status", arguments.status,
         "Serve /livez, /readyz and /metrics (for Prometheus) over HTTP at HOST:PORT; port 0 chooses a free one")
      ->type_name("ADDRESS");
  app.add_flag(
      "--allow-remote-status", arguments.allow_remote_status,
      "Allow a --status that other machines can reach: whoever does can read names of models, counts and times");
#endif
  app.add_option("--log-format", arguments.log_format, "Of the lines on standard error")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_flag("--verbose", arguments.verbose,
               "Log every request, answered or not, other than those that listeners turn away (token, certificate, "
               "limits)");
  app.set_version_flag("--version", std::string("splitnet-worker ") + SPLITNET_VERSION);
  app.footer(
      "Prints 'listening on ENDPOINT' when it is ready, and before it loads models 'status at ADDRESS', when it has\n"
      "--status. SIGTERM and SIGINT let it finish what it has and end with 0.\n"
      "Exit status: 0 after a signal, 1 when a model can't be loaded or an endpoint can't be opened, 2 for wrong "
      "usage.");
}

struct NamedPath {
  std::string name;
  std::string path;
};

NamedPath parse_model(const std::string& text) {
  const auto equals = text.find('=');
  const auto slash = text.find('/');
  if (equals != std::string::npos && (slash == std::string::npos || equals < slash)) {
    return {text.substr(0, equals), text.substr(equals + 1)};
  }
  return {std::filesystem::path(text).stem().string(), text};
}

DType parse_dtype(std::string_view name) {
  for (unsigned number = 0; number < 256; ++number) {
    if (is_dtype(number) && to_string(static_cast<DType>(number)) == name) return static_cast<DType>(number);
  }
  bad_usage("--input: unknown dtype \"" + std::string(name) + "\", expected for example f32, i64 or u8");
}

std::vector<std::int64_t> parse_sizes(std::string_view text) {
  std::vector<std::int64_t> sizes;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find('x'));
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), size);
    if (error != std::errc() || end != part.data() + part.size() || size < 0) {
      bad_usage("--input: \"" + std::string(part) + "\" is not a size, expected for example 1x3x224x224");
    }
    sizes.push_back(size);
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  return sizes;
}

/// All ones: good as a picture, as token numbers and as a mask.
template <class T>
void fill_with(const Tensor& tensor, T one) {
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    std::memcpy(tensor.data() + static_cast<std::size_t>(i) * sizeof(T), &one, sizeof(T));
  }
}

void fill_with_ones(const Tensor& tensor) {
  switch (tensor.dtype) {
    case DType::u8:
    case DType::i8:
    case DType::boolean: return fill_with(tensor, std::uint8_t{1});
    case DType::i16: return fill_with(tensor, std::int16_t{1});
    case DType::f16: return fill_with(tensor, std::uint16_t{0x3C00});
    case DType::bf16: return fill_with(tensor, std::uint16_t{0x3F80});
    case DType::i32: return fill_with(tensor, std::int32_t{1});
    case DType::i64: return fill_with(tensor, std::int64_t{1});
    case DType::f32: return fill_with(tensor, 1.0F);
    case DType::f64: return fill_with(tensor, 1.0);
  }
}

Value parse_input(std::string_view text) {
  const auto colon = text.find(':');
  const DType dtype = colon == std::string_view::npos ? DType::f32 : parse_dtype(text.substr(colon + 1));
  const Tensor tensor = Tensor::empty(dtype, parse_sizes(text.substr(0, colon)));
  fill_with_ones(tensor);
  return tensor;
}

/// Example inputs by model name; those for all models under the empty name.
std::map<std::string, std::vector<Value>> parse_inputs(const std::vector<std::string>& specs) {
  std::map<std::string, std::vector<Value>> inputs;
  for (const std::string& spec : specs) {
    const auto equals = spec.find('=');
    const std::string name = equals == std::string::npos ? "" : spec.substr(0, equals);
    inputs[name].push_back(parse_input(std::string_view(spec).substr(equals == std::string::npos ? 0 : equals + 1)));
  }
  return inputs;
}

// ---- The work.

/// The arguments outlive the worker.
WorkerOptions worker_options(const Arguments& arguments) {
  WorkerOptions options;
  options.stage.threads = arguments.threads;
  options.executor_threads = arguments.executors;
  options.cache.max_stages = arguments.cached_stages;
  options.cache.max_parameter_bytes = arguments.cached_megabytes << 20;
  options.max_queued_requests = arguments.queued_requests;
  options.max_queued_bytes = arguments.queued_megabytes << 20;
  options.log = [&arguments](const LogRecord& record) { write(arguments, record); };
  return options;
}

void load_models(Worker& worker, const Arguments& arguments) {
  auto inputs = parse_inputs(arguments.inputs);
  std::vector<NamedPath> models;
  for (const std::string& text : arguments.models) models.push_back(parse_model(text));
  for (const auto& [name, values] : inputs) {
    const bool known = name.empty() || std::any_of(models.begin(), models.end(), [&, wanted = name](const auto& model) {
                         return model.name == wanted;
                       });
    if (!known) bad_usage("--input names the model \"" + name + "\", which is not among those to serve");
  }
  for (const auto& [name, path] : models) {
    const auto start = std::chrono::steady_clock::now();
    std::shared_ptr<const Model> model;
    try {
      if (!std::filesystem::is_regular_file(path)) throw Error(ErrorCode::unavailable, "there is no such file");
      model = Partitioner::load(path, inputs.contains(name) ? inputs[name] : inputs[""]);
    } catch (const std::exception& error) {
      throw Error(ErrorCode::unsupported_model, "can't load " + path + ": " + error.what());
    }
    worker.add_model(name, model);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    log(arguments, LogLevel::info, "serving " + name + " from " + path,
        {{"model", name}, {"layers", std::uint64_t{model->layers().layers.size()}}, {"load_s", took.count()}});
  }
}

sigset_t block_end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // Before the first thread, so that none takes the signal away from sigwait.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

void drain(Worker& worker, const sigset_t& signals, const Arguments& arguments) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(arguments.drain_timeout_s);
  const auto give_up = [&](const char* why) { log(arguments, LogLevel::warning, why); };
  const timespec no_wait{};
  while (!worker.drain(std::chrono::milliseconds(50))) {
    if (sigtimedwait(&signals, nullptr, &no_wait) > 0) return give_up("second signal: ending without waiting");
    if (std::chrono::steady_clock::now() >= until) return give_up("ending with requests under way");
  }
}

/// Empty: none is asked for.
std::string token_of(const Arguments& arguments) {
  constexpr const char* variable = "SPLITNET_TOKEN";
  if (!arguments.token_file.empty()) return load_token(arguments.token_file);
  return std::getenv(variable) == nullptr ? std::string() : token_from_environment(variable);
}

/// Nobody shall believe in an encryption that is not there.
void check_tls(const Arguments& arguments) {
  const auto& tls = arguments.tls;
  if (tls.certificate_file.empty() && tls.private_key_file.empty() && tls.client_ca_file.empty()) return;
  const auto encrypts = [](const std::string& endpoint) {
    return endpoint.find("tls://") != std::string::npos || endpoint.find("https://") != std::string::npos;
  };
  if (std::any_of(arguments.listen.begin(), arguments.listen.end(), encrypts)) return;
  bad_usage("--certificate, --key and --client-ca are for tls:// and https://, and no --listen is one of these");
}

#ifdef SPLITNET_WITH_HTTP
/// None when none is asked for. The worker outlives it.
std::unique_ptr<StatusServer> start_status(const Arguments& arguments, const Worker& worker) {
  if (arguments.status.empty()) return nullptr;
  StatusPages pages;
  pages.ready = [&worker] { return worker.readiness(); };
#ifdef SPLITNET_WITH_METRICS
  pages.metrics = [&worker] { return to_prometheus(worker.stats()); };
#endif
  StatusOptions options;
  options.allow_remote = arguments.allow_remote_status;
  auto server = StatusServer::start(arguments.status, std::move(pages), options);
  std::cout << "status at " << server->address() << std::endl;
  return server;
}
#endif

int serve(const Arguments& arguments) {
  const sigset_t signals = block_end_signals();
  check_tls(arguments);
  ListenOptions options;
  options.allow_remote = arguments.allow_remote;
  options.token = token_of(arguments);
  const auto worker = Worker::create(worker_options(arguments));
#ifdef SPLITNET_WITH_HTTP
  const auto status = start_status(arguments, *worker);
#endif
  load_models(*worker, arguments);
  const auto registry = TransportRegistry::with_defaults(arguments.tls);
  for (const std::string& endpoint : arguments.listen) {
    const std::string address = worker->serve(registry, endpoint, options);
    std::cout << "listening on " << address << std::endl;
  }
  int received = 0;
  sigwait(&signals, &received);
  log(arguments, LogLevel::info,
      std::string(received == SIGTERM ? "SIGTERM" : "SIGINT") + ": finishing what is under way");
  drain(*worker, signals, arguments);
  const WorkerStats stats = worker->stats();
  worker->close();
  log(arguments, LogLevel::info,
      "done: " + std::to_string(stats.answered) + " answered, " + std::to_string(stats.failed) + " failed");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs the stages of cut models for sessions on other machines or in other processes.",
               "splitnet-worker");
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  try {
    return serve(arguments);
  } catch (const Error& error) {
    log(arguments, LogLevel::error, error.what());
    return error.code() == ErrorCode::invalid_argument ? exit_usage : exit_failed;
  } catch (const std::exception& error) {
    log(arguments, LogLevel::error, error.what());
    return exit_failed;
  }
}
