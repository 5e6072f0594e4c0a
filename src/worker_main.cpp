// SPDX-License-Identifier: Apache-2.0
// The program splitnet-worker: serves stages of the models it was started with.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "splitnet/access.hpp"
#ifdef SPLITNET_WITH_AWS
#include "splitnet/aws/transports.hpp"
#include "splitnet/transport/lambda_runtime.hpp"
#include "splitnet/transport/sqs.hpp"
#endif
#include "splitnet/error.hpp"
#include "splitnet/log.hpp"
#include "splitnet/metrics.hpp"
#include "splitnet/partitioner.hpp"
#include "splitnet/status_server.hpp"
#include "splitnet/transport_registry.hpp"
#include "splitnet/worker.hpp"
#include "worker_arguments.hpp"

namespace {

using namespace splitnet;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

void write(const Arguments& arguments, const LogRecord& record) {
  if (!arguments.shows(record.level)) return;
  // One write a line, so that lines of several threads do not mix.
  std::cerr << (arguments.log_format == "json" ? to_json(record) : to_text(record)) + "\n" << std::flush;
}

void log(const Arguments& arguments, LogLevel level, const std::string& message, std::vector<LogField> fields = {}) {
  write(arguments, {level, message, std::move(fields)});
}

// ---- Models and their inputs.

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

Cut parse_cut(const std::string& text) {
  if (text == "input") return Cut::at_input();
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  return error == std::errc() && end == text.data() + text.size() ? Cut::after_index(index) : Cut::after(text);
}

/// "NAME=WHAT"; without a name it is for all models.
struct ForModel {
  std::optional<std::string> name;
  std::string what;
};

ForModel parse_for_model(const std::string& spec) {
  const auto equals = spec.find('=');
  if (equals == std::string::npos) return {std::nullopt, spec};
  return {spec.substr(0, equals), spec.substr(equals + 1)};
}

/// Example inputs by model name; those for all models under the empty name.
std::map<std::string, std::vector<Value>> parse_inputs(const std::vector<std::string>& specs) {
  std::map<std::string, std::vector<Value>> inputs;
  for (const std::string& spec : specs) {
    const auto [name, what] = parse_for_model(spec);
    inputs[name.value_or("")].push_back(parse_input(what));
  }
  return inputs;
}

// ---- The work.

TransportRegistry registry_of(const Arguments& arguments) {
  auto registry = TransportRegistry::with_defaults(arguments.tls);
#ifdef SPLITNET_WITH_AWS
  add_aws_transports(registry);
#endif
  return registry;
}

/// The arguments outlive the worker.
WorkerOptions worker_options(const Arguments& arguments) {
  WorkerOptions options;
  options.stage.threads = arguments.threads;
  options.executor_threads = arguments.executors;
  options.cache.max_stages = arguments.cached_stages;
  options.cache.max_parameter_bytes = arguments.cached_megabytes << 20;
  options.max_queued_requests = arguments.queued_requests;
  options.max_queued_bytes = arguments.queued_megabytes << 20;
  options.batching.max_rows = arguments.batch_rows;
  options.batching.max_wait = std::chrono::nanoseconds(std::llround(arguments.batch_wait_ms * 1e6));
  options.forward_to = arguments.forward_to;
  options.registry = registry_of(arguments);
  if (!arguments.forward_token_file.empty()) options.connect.token = load_token(arguments.forward_token_file);
  options.log = [&arguments](const LogRecord& record) { write(arguments, record); };
  return options;
}

/// A model that is served, and where it comes from.
struct ModelFile {
  NamedPath file;
  std::vector<Value> inputs;

  /// Throws unsupported_model naming the file.
  [[nodiscard]] std::shared_ptr<const Model> load() const {
    try {
      if (!std::filesystem::is_regular_file(file.path)) throw Error(ErrorCode::unavailable, "there is no such file");
      return Partitioner::load(file.path, inputs);
    } catch (const std::exception& error) {
      throw Error(ErrorCode::unsupported_model, "can't load " + file.path + ": " + error.what());
    }
  }
};

/// Empty: all models.
void check_name(const std::string& option, const std::string& name, const std::vector<ModelFile>& files) {
  std::string known;
  for (const ModelFile& one : files) {
    if (name.empty() || one.file.name == name) return;
    known += (known.empty() ? "" : ", ") + one.file.name;
  }
  bad_usage(option + " names the model \"" + name + "\", which is not among those to serve: " + known);
}

std::vector<ModelFile> model_files(const Arguments& arguments) {
  auto inputs = parse_inputs(arguments.inputs);
  std::vector<ModelFile> files;
  for (const std::string& text : arguments.models) files.push_back({parse_model(text), {}});
  for (const auto& [name, values] : inputs) check_name("--input", name, files);
  for (const std::string& cut : arguments.cuts) check_name("--cut", parse_for_model(cut).name.value_or(""), files);
  for (auto& [file, values] : files) values = inputs.contains(file.name) ? inputs[file.name] : inputs[""];
  return files;
}

/// Those of the command line that are for this model.
void cut_stages(Worker& worker, const std::string& name, const Model& model, const Arguments& arguments) {
  for (const std::string& spec : arguments.cuts) {
    const auto [named, cut] = parse_for_model(spec);
    if (named.value_or(name) != name) continue;
    try {
      worker.keep_stage(model, {{model.layers().resolve(parse_cut(cut))}, 1});
    } catch (const Error& error) {
      throw Error(error.code(), "--cut " + spec + ": " + error.what());
    }
  }
}

void load_models(Worker& worker, const std::vector<ModelFile>& files, const Arguments& arguments) {
  for (const ModelFile& one : files) {
    const auto start = std::chrono::steady_clock::now();
    const auto model = one.load();
    worker.add_model(one.file.name, model);
    cut_stages(worker, one.file.name, *model, arguments);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    log(arguments, LogLevel::info, "serving " + one.file.name + " from " + one.file.path,
        {{"model", one.file.name}, {"layers", std::uint64_t{model->layers().layers.size()}}, {"load_s", took.count()}});
  }
}

/// A cut that the new version does not have is no reason to go on with the one before.
void cut_stages_again(Worker& worker, const std::string& name, const Model& model, const Arguments& arguments) {
  try {
    cut_stages(worker, name, model, arguments);
  } catch (const std::exception& error) {
    log(arguments, LogLevel::warning, std::string("no stage of the new version is cut beforehand: ") + error.what(),
        {{"model", name}});
  }
}

/// One file that is damaged keeps none of the others back.
void reload_models(Worker& worker, const std::vector<ModelFile>& files, const Arguments& arguments) {
  for (const ModelFile& one : files) {
    try {
      const auto model = one.load();
      const bool is_new = worker.replace_model(one.file.name, model);
      log(arguments, LogLevel::info,
          (is_new ? "serving another version from " : "the same version in ") + one.file.path,
          {{"model", one.file.name}});
      if (is_new) cut_stages_again(worker, one.file.name, *model, arguments);
    } catch (const std::exception& error) {
      log(arguments, LogLevel::error, std::string("going on with the version before: ") + error.what(),
          {{"model", one.file.name}});
    }
  }
}

sigset_t set_of(std::initializer_list<int> numbers) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : numbers) sigaddset(&signals, number);
  return signals;
}

/// Ends the process when it is told to while there is nothing to finish: loading may take minutes, and can't be
/// interrupted. A signal behind it waits for whoever takes it next.
class EndsAtOnce {
 public:
  explicit EndsAtOnce(const Arguments& arguments)
      : thread_([&arguments](const std::stop_token& stop) { watch(arguments, stop); }) {}

 private:
  static void watch(const Arguments& arguments, const std::stop_token& stop) {
    const sigset_t signals = set_of({SIGTERM, SIGINT});
    const timespec a_moment{.tv_sec = 0, .tv_nsec = 2'000'000};
    while (!stop.stop_requested()) {
      const int received = sigtimedwait(&signals, nullptr, &a_moment);
      if (received < 0) continue;
      log(arguments, LogLevel::info,
          std::string(received == SIGTERM ? "SIGTERM" : "SIGINT") + " while models are loading: ending at once");
      std::_Exit(0);
    }
  }

  const std::jthread thread_;
};

/// Before the first thread, so that none takes a signal away from sigwait.
void block(const sigset_t& signals) {
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void drain(Worker& worker, const Arguments& arguments) {
  const sigset_t signals = set_of({SIGTERM, SIGINT});
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

int prepare(const Arguments& arguments) {
  if (arguments.models.size() != 1) {
    bad_usage("--prepare takes one model, found " + std::to_string(arguments.models.size()));
  }
  const NamedPath file = parse_model(arguments.models.front());
  Partitioner::prepare(file.path, arguments.prepare);
  log(arguments, LogLevel::info, "prepared " + file.path + " as " + arguments.prepare);
  return 0;
}

#ifdef SPLITNET_WITH_AWS
/// A function that Lambda has done with ends as if it were told to, but not with 0.
void end_with_lambda(TransportRegistry& registry, std::atomic<bool>& is_over) {
  registry.add("lambda-runtime", make_lambda_runtime_transport({.on_end = [&is_over] {
                 is_over = true;
                 ::kill(::getpid(), SIGTERM);
               }}));
}

/// With what the command line says of queues.
void listen_on_queues(TransportRegistry& registry, const Arguments& arguments) {
  const SqsArguments& given = arguments.sqs;
  SqsOptions options;
  options.max_in_flight = given.in_flight > 0 ? given.in_flight : arguments.executors * arguments.batch_rows + 1;
  options.visibility_timeout =
      std::chrono::seconds(given.visibility_timeout_s.value_or(options.visibility_timeout.count()));
  options.max_deliveries = given.max_deliveries.value_or(options.max_deliveries);
  options.wait_time = std::chrono::seconds(given.wait_time_s.value_or(options.wait_time.count()));
  options.dead_letter_queue = given.dead_letter_queue;
  registry.add("sqs", make_sqs_transport(options));
}

/// Else Lambda would know only that the process has ended.
void tell_lambda_why(const Arguments& arguments, const Error& error) {
  for (const std::string& endpoint : arguments.listen) {
    if (!endpoint.starts_with("lambda-runtime:")) continue;
    try {
      report_lambda_init_error(endpoint, error);
    } catch (const Error& not_told) {
      if (not_told.code() == ErrorCode::invalid_argument) continue;  // There is no Lambda to tell.
      log(arguments, LogLevel::warning, std::string("Lambda was not told why: ") + not_told.what());
    }
  }
}
#else
void end_with_lambda(TransportRegistry&, std::atomic<bool>&) {}
void listen_on_queues(TransportRegistry&, const Arguments&) {}
void tell_lambda_why(const Arguments&, const Error&) {}
#endif

int serve(const Arguments& arguments) {
  std::atomic<bool> is_over = false;
  const sigset_t signals = set_of({SIGTERM, SIGINT, SIGHUP});
  block(signals);
  check(arguments);
  ListenOptions options;
  options.allow_remote = arguments.allow_remote;
  options.token = token_of(arguments);
  const auto worker = Worker::create(worker_options(arguments));
#ifdef SPLITNET_WITH_HTTP
  const auto status = start_status(arguments, *worker);
#endif
  const auto files = model_files(arguments);
  {
    const EndsAtOnce while_loading(arguments);
    load_models(*worker, files, arguments);
  }
  auto registry = registry_of(arguments);
  end_with_lambda(registry, is_over);
  listen_on_queues(registry, arguments);
  for (const std::string& endpoint : arguments.listen) {
    const std::string address = worker->serve(registry, endpoint, options);
    std::cout << "listening on " << address << std::endl;
  }
  int received = 0;
  while (sigwait(&signals, &received) == 0 && received == SIGHUP) {
    log(arguments, LogLevel::info, "SIGHUP: reading the models again");
    reload_models(*worker, files, arguments);
  }
  log(arguments, LogLevel::info,
      std::string(received == SIGTERM ? "SIGTERM" : "SIGINT") + ": finishing what is under way");
  drain(*worker, arguments);
  const WorkerStats stats = worker->stats();
  worker->close();
  log(arguments, LogLevel::info,
      "done: " + std::to_string(stats.answered) + " answered, " + std::to_string(stats.failed) + " failed");
  return is_over ? exit_failed : 0;
}

/// Each pass gets the same tensors from malloc and frees them; by its defaults glibc gives such memory back to the
/// kernel and fetches it again page by page, which is up to a third of a pass. Who has told glibc otherwise is not
/// overruled.
void keep_memory_of_passes() {
#if defined(__GLIBC__)
  if (std::getenv("MALLOC_MMAP_THRESHOLD_") != nullptr || std::getenv("MALLOC_TRIM_THRESHOLD_") != nullptr) return;
  const char* const tunables = std::getenv("GLIBC_TUNABLES");
  if (tunables != nullptr && std::string_view(tunables).find("glibc.malloc.") != std::string_view::npos) return;
  constexpr int largest_mmap_threshold = 32 << 20;  // What glibc takes on 64-bit machines.
  ::mallopt(M_MMAP_THRESHOLD, largest_mmap_threshold);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
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
  keep_memory_of_passes();
  try {
    return arguments.prepare.empty() ? serve(arguments) : prepare(arguments);
  } catch (const Error& error) {
    log(arguments, LogLevel::error, error.what());
    tell_lambda_why(arguments, error);
    return error.code() == ErrorCode::invalid_argument ? exit_usage : exit_failed;
  } catch (const std::exception& error) {
    log(arguments, LogLevel::error, error.what());
    tell_lambda_why(arguments, Error(ErrorCode::internal, error.what()));
    return exit_failed;
  }
}
