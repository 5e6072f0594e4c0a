// SPDX-License-Identifier: Apache-2.0
// What lambda: and lambda-runtime: add to a bare function under the same emulator of AWS Lambda: requests of several
// sizes that come back whole, or are answered with 4 KB, one of each kind after the other.
//
//   bench_lambda_echo --emulator AWS-LAMBDA-RIE [--rounds N]
//
// The bare function hands the bytes of each event back as they came; its caller posts events that were made before, of
// as many bytes as ours have, and looks at nothing. Ours makes them of tensors and tensors of them (base64, checksums),
// signs each request (SigV4, SHA-256 over the body), and checks what comes back. Of that the hash, which every caller
// of a function has to compute, is timed by itself. Medians in ms.
#include <curl/curl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <splitnet/aws.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "child_process.hpp"
#include "headline.hpp"
#include "quantiles.hpp"

namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kShortReply = 4'000;

// ---- HTTP, as little of it as there can be ---------------------------------------------------------------

class Curl {
 public:
  Curl() : handle_(curl_easy_init()) {
    curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, &Curl::take_body);
    curl_easy_setopt(handle_, CURLOPT_HEADERFUNCTION, &Curl::take_header);
    curl_easy_setopt(handle_, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(handle_, CURLOPT_HEADERDATA, this);
    headers_ = curl_slist_append(headers_, "Expect:");
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, headers_);
  }
  ~Curl() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(handle_);
  }
  Curl(const Curl&) = delete;
  Curl& operator=(const Curl&) = delete;

  /// The body of the answer; `request_id` is what the runtime API gave with it.
  const std::string& get(const std::string& url) {
    curl_easy_setopt(handle_, CURLOPT_HTTPGET, 1L);
    return perform(url);
  }
  const std::string& post(const std::string& url, const std::string& body) {
    curl_easy_setopt(handle_, CURLOPT_POST, 1L);
    curl_easy_setopt(handle_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(handle_, CURLOPT_POSTFIELDS, body.data());
    return perform(url);
  }
  std::string request_id;

 private:
  const std::string& perform(const std::string& url) {
    body_.clear();
    curl_easy_setopt(handle_, CURLOPT_URL, url.c_str());
    if (const CURLcode code = curl_easy_perform(handle_); code != CURLE_OK) {
      throw std::runtime_error(url + ": " + curl_easy_strerror(code));
    }
    return body_;
  }
  static std::size_t take_body(char* data, std::size_t, std::size_t size, void* self) {
    static_cast<Curl*>(self)->body_.append(data, size);
    return size;
  }
  static std::size_t take_header(char* data, std::size_t, std::size_t size, void* self) {
    constexpr const char* name = "lambda-runtime-aws-request-id: ";
    const std::size_t name_size = std::strlen(name);
    if (size > name_size + 2 && ::strncasecmp(data, name, name_size) == 0) {
      static_cast<Curl*>(self)->request_id.assign(data + name_size, size - name_size - 2);
    }
    return size;
  }

  CURL* const handle_;
  curl_slist* headers_ = nullptr;
  std::string body_;
};

// ---- The functions, each in a process that the emulator starts --------------------------------------------

[[noreturn]] void be_bare_function(bool is_echo) {
  const std::string url =
      std::string("http://") + std::getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/";
  const std::string short_reply = "{\"x\":\"" + std::string(kShortReply * 4 / 3, 'A') + "\"}";
  Curl next;
  Curl answer;
  for (;;) {
    const std::string& event = next.get(url + "next");
    answer.post(url + next.request_id + "/response", is_echo ? event : short_reply);
  }
}

[[noreturn]] void be_splitnet_function(bool is_echo) {
  const auto listener =
      make_lambda_runtime_transport()->listen("lambda-runtime://",
                                              [is_echo](Message request, const CallContext&, const Responder& respond) {
                                                Message reply;
                                                reply.kind = MessageKind::reply;
                                                if (is_echo) {
                                                  reply.values = std::move(request.values);
                                                } else {
                                                  reply.values.emplace_back(Tensor::empty(DType::u8, {kShortReply}));
                                                }
                                                respond(std::move(reply));
                                              },
                                              {});
  for (;;) ::pause();
}

int be_function(const std::string& name) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (name == "bare") be_bare_function(true);
  if (name == "bare_short") be_bare_function(false);
  be_splitnet_function(name == "splitnet");
}

/// Starts the emulator with one of them, and ends it with its own input.
int be_emulator(const std::string& path, const std::string& function, int port) {
  const std::string bootstrap = std::filesystem::read_symlink("/proc/self/exe");
  const std::string runtime_api = "127.0.0.1:" + std::to_string(port + 1);
  const std::string invoke = "127.0.0.1:" + std::to_string(port);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // It reports each invocation; a pipe that nobody reads would hold it up.
    const int nowhere = ::open("/dev/null", O_WRONLY);
    ::dup2(nowhere, STDOUT_FILENO);
    ::execl(path.c_str(), path.c_str(), "--log-level", "error", "--runtime-api-address", runtime_api.c_str(),
            "--runtime-interface-emulator-address", invoke.c_str(), bootstrap.c_str(), "--function", function.c_str(),
            nullptr);
    std::_Exit(127);
  }
  std::cout << "started" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return 0;
}

// ---- Measuring ---------------------------------------------------------------------------------------------

double ms_of(const std::function<void()>& work) {
  const auto begun = Clock::now();
  work();
  return std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
}

/// A machine at work needs seconds for an emulator to start.
void until_it_listens(const std::function<void()>& ask) {
  const auto give_up_at = Clock::now() + std::chrono::seconds(30);
  for (;;) {
    try {
      return ask();
    } catch (const std::exception&) {
      if (Clock::now() > give_up_at) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
}

/// A free one, with a free one behind it, most likely.
int free_port() {
  static int next = 20'000 + ::getpid() % 20'000;
  return next += 2;
}

struct Row {
  std::int64_t bytes = 0;
  bool is_echo = true;
  double bare_ms = 0;
  double splitnet_ms = 0;
  double added_ms = 0;   ///< Median of the differences between neighbours.
  double sha256_ms = 0;  ///< Of the request's event, for its signature.
  [[nodiscard]] double ratio() const { return splitnet_ms / bare_ms; }
  [[nodiscard]] bool is_within() const { return added_ms <= 1 || ratio() <= 1.05; }
};

double sha256_ms(const std::string& event) {
  std::vector<double> times_ms;
  for (int i = 0; i < 9; ++i) {
    times_ms.push_back(ms_of([&] {
      unsigned char digest[EVP_MAX_MD_SIZE];
      EVP_Digest(event.data(), event.size(), digest, nullptr, EVP_sha256(), nullptr);
    }));
  }
  return bench::median(std::move(times_ms));
}

void measure(const std::string& emulator, bool is_echo, int rounds, std::vector<Row>& rows) {
  const std::string suffix = is_echo ? "" : "_short";
  const int bare_port = free_port();
  const int own_port = free_port();
  const bench::ChildProcess bare_process({"--emulate", "bare" + suffix, std::to_string(bare_port), emulator});
  const bench::ChildProcess own_process({"--emulate", "splitnet" + suffix, std::to_string(own_port), emulator});
  (void)bare_process.read_line();
  (void)own_process.read_line();

  const std::string bare_url =
      "http://127.0.0.1:" + std::to_string(bare_port) + "/2015-03-31/functions/function/invocations";
  Curl bare;
  until_it_listens([&] { (void)bare.post(bare_url, "{}"); });
  const LambdaOptions options{{.region = "eu-central-1",
                               .endpoint = "http://127.0.0.1:" + std::to_string(own_port),
                               .credentials = fixed_aws_credentials({"AKIDEXAMPLE", "secret"})},
                              ""};
  std::shared_ptr<Connection> connection;
  until_it_listens([&] { connection = make_lambda_transport(options)->connect("lambda://function", {}); });
  for (const std::int64_t bytes : {1'000, 100'000, 1'000'000, 4'000'000}) {
    Row row{bytes, is_echo};
    Message request;
    request.values = {Tensor::empty(DType::u8, {bytes})};
    std::memset(request.values[0].tensor().data(), 7, static_cast<std::size_t>(bytes));
    const std::string event = "{\"splitnet\":\"" + std::string(encoded_size_bytes(request) * 4 / 3, 'A') + "\"}";
    std::vector<double> bare_ms;
    std::vector<double> own_ms;
    std::vector<double> added_ms;
    for (int i = 0; i < rounds + 3; ++i) {
      const double theirs = ms_of([&] { (void)bare.post(bare_url, event); });
      const double ours = ms_of([&] { (void)call_and_wait(*connection, request); });
      if (i < 3) continue;  // What is not there yet is made: connections, memory.
      bare_ms.push_back(theirs);
      own_ms.push_back(ours);
      added_ms.push_back(ours - theirs);
    }
    row.bare_ms = bench::median(std::move(bare_ms));
    row.splitnet_ms = bench::median(std::move(own_ms));
    row.added_ms = bench::median(std::move(added_ms));
    row.sha256_ms = sha256_ms(event);
    std::printf("%9lld B %-12s %8.2f %10.2f %8.2f %8.2f %7.2f %s\n", static_cast<long long>(bytes),
                is_echo ? "come back" : "4 KB back", row.bare_ms, row.splitnet_ms, row.added_ms, row.sha256_ms,
                row.ratio(), row.is_within() ? "" : "over 5 % and 1 ms");
    std::fflush(stdout);
    rows.push_back(row);
  }
}

int run(const std::string& emulator, int rounds) {
  std::printf("%11s %-12s %8s %10s %8s %8s %7s\n", "request", "reply", "bare ms", "splitnet", "added", "SHA-256",
              "ratio");
  std::vector<Row> rows;
  for (const bool is_echo : {true, false}) measure(emulator, is_echo, rounds, rows);
  std::ofstream json("build/bench/lambda_echo.json");
  json << "{\"rounds\": " << rounds << ", \"rows\": [";
  std::string figures;
  for (const Row& row : rows) {
    json << (&row == &rows.front() ? "" : ",") << "\n  {\"request_bytes\": " << row.bytes
         << ", \"reply\": " << (row.is_echo ? "\"echo\"" : "\"4 KB\"") << ", \"bare_s\": " << row.bare_ms * 1e-3
         << ", \"splitnet_s\": " << row.splitnet_ms * 1e-3 << ", \"added_s\": " << row.added_ms * 1e-3
         << ", \"sha256_s\": " << row.sha256_ms * 1e-3 << "}";
    char text[64];
    std::snprintf(text, sizeof text, "%s%s_%lldB_added_ms=%.2f", figures.empty() ? "" : " ",
                  row.is_echo ? "echo" : "short", static_cast<long long>(row.bytes), row.added_ms);
    figures += text;
  }
  json << "\n]}\n";
  bench::print_headline("lambda_echo", figures);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string emulator;
  int rounds = 60;
  try {
    if (arguments.size() == 2 && arguments[0] == "--function") return be_function(arguments[1]);
    if (arguments.size() == 4 && arguments[0] == "--emulate") {
      return be_emulator(arguments[3], arguments[1], std::stoi(arguments[2]));
    }
    for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
      if (arguments[i] == "--emulator") emulator = arguments[i + 1];
      if (arguments[i] == "--rounds") rounds = std::stoi(arguments[i + 1]);
    }
    if (emulator.empty()) {
      std::fprintf(stderr, "usage: bench_lambda_echo --emulator AWS-LAMBDA-RIE [--rounds N]\n");
      return 2;
    }
    return run(emulator, rounds);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_lambda_echo: %s\n", error.what());
    return 1;
  }
}
