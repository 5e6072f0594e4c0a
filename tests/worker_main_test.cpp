// SPDX-License-Identifier: Apache-2.0
// The program splitnet-worker in a process of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "splitnet/transport_registry.hpp"
#include "torch_modules.hpp"
#include "transport/raw_peer.hpp"
#ifdef SPLITNET_WITH_TLS
#include "transport/certificates.hpp"
#endif

namespace splitnet {
namespace {

using ::testing::HasSubstr;
using testing::script;
using ::testing::StartsWith;
namespace fs = std::filesystem;

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> some;
  for (ssize_t got = 0; (got = ::read(descriptor, some.data(), some.size())) > 0;) {
    text.append(some.data(), static_cast<std::size_t>(got));
  }
  return text;
}

/// Ended by its end at the latest.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, const std::string& token = {}) {
    std::array<int, 2> out{};
    std::array<int, 2> errors{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(errors.data(), O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);
    arguments.insert(arguments.begin(), SPLITNET_WORKER);
    std::vector<char*> words;
    for (auto& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    std::string variable = "SPLITNET_TOKEN=" + token;
    std::vector<char*> environment;
    for (char** one = environ; *one != nullptr; ++one) environment.push_back(*one);
    if (!token.empty()) environment.push_back(variable.data());
    environment.push_back(nullptr);
    if (::posix_spawn(&id_, words.front(), &actions, nullptr, words.data(), environment.data()) != 0) std::abort();
    posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    ::close(errors[1]);
    out_ = ::fdopen(out[0], "r");
    errors_ = errors[0];
  }
  ~Program() {
    if (!status_) (void)end(SIGKILL);
    std::fclose(out_);
    ::close(errors_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Of "listening on ENDPOINT"; empty: it has ended.
  std::string endpoint() { return rest_of_line("listening on "); }
  /// Of "status at ADDRESS", which comes before.
  std::string status() { return rest_of_line("status at "); }
  /// Its exit status; minus the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(id_, &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return *status_;
  }
  void signal(int number) const { ::kill(id_, number); }
  int end(int number) {
    signal(number);
    return wait();
  }
  /// Pages that it had to ask the kernel for.
  [[nodiscard]] std::int64_t page_faults() const {
    std::ifstream file("/proc/" + std::to_string(id_) + "/stat");
    std::string field;
    std::getline(file, field, ')');  // Its name may have spaces.
    for (int i = 3; i <= 10; ++i) file >> field;
    return std::stoll(field);
  }
  /// Everything that it has said, once it has ended.
  std::string said() const { return read_all(errors_); }

 private:
  std::string rest_of_line(const std::string& words) {
    std::array<char, 1000> line{};
    if (std::fgets(line.data(), line.size(), out_) == nullptr) return {};
    std::string text(line.data());
    EXPECT_TRUE(text.starts_with(words)) << text;
    return text.substr(words.size(), text.size() - words.size() - 1);
  }

  pid_t id_ = 0;
  std::FILE* out_ = nullptr;
  int errors_ = -1;
  std::optional<int> status_;
};

class WorkerProgram : public ::testing::Test {
 protected:
  WorkerProgram() {
    std::string pattern = (fs::temp_directory_path() / "splitnet_worker_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    folder_ = pattern;
    script("def forward(self, x):\n  return torch.relu(x) + 1.0\n").save(model());
  }
  ~WorkerProgram() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string model() const { return (folder_ / "net.pt").string(); }
  /// One whose passes take a tenth of a second or more.
  [[nodiscard]] std::string slow_model() const {
    auto path = (folder_ / "slow.pt").string();
    script("def forward(self, x):\n  for i in range(100000):\n    x = x + 1.0\n  return x\n").save(path);
    return path;
  }
  std::string file_with(const std::string& name, const std::string& text, fs::perms permissions) const {
    const auto path = folder_ / name;
    std::ofstream(path) << text << '\n';
    fs::permissions(path, permissions);
    return path.string();
  }

 private:
  fs::path folder_;
};

/// Nothing: the worker answers; else why it does not.
std::optional<ErrorCode> outcome_of(const std::string& endpoint, const std::string& token = {},
                                    const TlsOptions& tls = {}) {
  ConnectOptions options;
  options.token = token;
  Message probe;
  probe.request.operation = Operation::probe;
  probe.values.emplace_back(std::int64_t{1000});
  try {
    const auto connection = TransportRegistry::with_defaults(tls).connect(endpoint, options);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    EXPECT_EQ(call_and_wait(*connection, probe, deadline).values.at(0).tensor().packed_bytes(), 1000U);
    return std::nullopt;
  } catch (const Error& error) {
    return error.code();
  }
}

constexpr const char* token = "the-token-of-this-test";
constexpr auto for_me = fs::perms::owner_read | fs::perms::owner_write;

TEST_F(WorkerProgram, ServesUntilItIsTold) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Program worker(
        {model(), "--listen", "tcp://127.0.0.1:0", "--listen", "shm://worker-program-" + std::to_string(::getpid())});
    EXPECT_EQ(outcome_of(worker.endpoint()), std::nullopt);
    EXPECT_EQ(outcome_of(worker.endpoint()), std::nullopt);
    EXPECT_EQ(worker.end(signal), 0);
    const auto said = worker.said();
    EXPECT_NE(said.find("serving net from"), std::string::npos) << said;
    EXPECT_NE(said.find("done: 2 answered, 0 failed"), std::string::npos) << said;
  }
}

/// A request for one stage of a model that is in a file here too.
Message request_for(const std::string& path, const StageKey& key, const at::Tensor& input) {
  Message message;
  message.request = {"net", Partitioner::load(path)->fingerprint(), key};
  message.values = {Value(input)};
  return message;
}

Message answer_to(Connection& connection, Message message) {
  return call_and_wait(connection, std::move(message), std::chrono::steady_clock::now() + std::chrono::minutes(5));
}

TEST_F(WorkerProgram, KeepsTheMemoryOfAPassForTheNext) {
  script("def forward(self, x):\n  return (x.expand(1000000) + 1.0).mul(2.0).sum()\n").save(model());
  Program worker({model(), "--listen", "tcp://127.0.0.1:0"});
  const auto connection = TransportRegistry::with_defaults().connect(worker.endpoint());
  const auto request = request_for(model(), {{{}}, 1}, testing::numbers({1}));
  const auto ask = [&] { EXPECT_EQ(answer_to(*connection, request).kind, MessageKind::reply); };
  for (int i = 0; i < 3; ++i) ask();
  const auto before = worker.page_faults();
  for (int i = 0; i < 10; ++i) ask();
  // Two tensors of 4 MB are 2,000 pages, ten times. A few times are left: what is empty of 64 MB goes back all the
  // same.
  EXPECT_LT(worker.page_faults() - before, 10'000);
}

TEST_F(WorkerProgram, PreparesModelsAndCutsStagesBeforeItIsAsked) {
  const std::string prepared = model() + ".prepared";
  Program writer({model(), "--prepare", prepared});
  ASSERT_EQ(writer.wait(), 0) << writer.said();
  Program worker({"net=" + prepared, "--cut", "relu", "--cut", "input", "--listen", "tcp://127.0.0.1:0"});
  const auto connection = TransportRegistry::with_defaults().connect(worker.endpoint());
  const auto reply = answer_to(*connection, request_for(model(), {{{0}}, 1}, testing::numbers({3})));
  EXPECT_EQ(reply.kind, MessageKind::reply) << reply.error_message;
  EXPECT_EQ(worker.end(SIGTERM), 0);

  Program unknown({model(), "--cut", "nothing", "--listen", "tcp://127.0.0.1:0"});
  EXPECT_EQ(unknown.wait(), 2);
  EXPECT_THAT(unknown.said(), HasSubstr("--cut nothing: no layer or module is called 'nothing'"));
  Program near({model(), "--cut", "relo", "--listen", "tcp://127.0.0.1:0"});
  EXPECT_EQ(near.wait(), 2);
  EXPECT_THAT(near.said(), HasSubstr("near names: 'relu'"));
  Program other({model(), "--cut", "nett=relu", "--listen", "tcp://127.0.0.1:0"});
  EXPECT_EQ(other.wait(), 2);
  EXPECT_THAT(other.said(), HasSubstr("the model \"nett\", which is not among those to serve: net"));
  Program two({model(), "other=" + model(), "--prepare", prepared});
  EXPECT_EQ(two.wait(), 2);
}

TEST_F(WorkerProgram, AVersionWithoutTheCutIsServedAllTheSame) {
  Program worker({model(), "--cut", "relu", "--listen", "tcp://127.0.0.1:0"});
  EXPECT_NE(worker.endpoint(), "");
  script("def forward(self, x):\n  return torch.cos(x)\n").save(model());
  worker.signal(SIGHUP);
  EXPECT_EQ(worker.end(SIGTERM), 0);
  const auto said = worker.said();
  EXPECT_THAT(said, HasSubstr("serving another version from"));
  EXPECT_THAT(said, HasSubstr("no stage of the new version is cut beforehand: --cut relu: "));
}

#ifdef SPLITNET_WITH_AWS
/// Lambda's runtime API, which says the same to everybody.
class RuntimeApi {
 public:
  explicit RuntimeApi(const std::string& answer) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_, generic, size) != 0 || ::listen(socket_, 8) != 0) std::abort();
    ::getsockname(socket_, generic, &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer] { serve(answer); });
  }
  ~RuntimeApi() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }
  RuntimeApi(const RuntimeApi&) = delete;
  RuntimeApi& operator=(const RuntimeApi&) = delete;

  [[nodiscard]] std::string endpoint() const { return "lambda-runtime://127.0.0.1:" + std::to_string(port_); }
  /// Waits for the first.
  std::string request() { return first_.get_future().get(); }

 private:
  void serve(const std::string& answer) {
    bool is_first = true;
    for (int peer = 0; (peer = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; ::close(peer)) {
      std::string request;
      std::array<char, 4096> some;
      while (!request.ends_with("}") && !(request.starts_with("GET") && request.ends_with("\r\n\r\n"))) {
        const auto got = ::read(peer, some.data(), some.size());
        if (got <= 0) break;
        request.append(some.data(), static_cast<std::size_t>(got));
      }
      const std::string reply = "HTTP/1.1 " + answer + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      (void)!::write(peer, reply.data(), reply.size());
      if (std::exchange(is_first, false)) first_.set_value(request);
    }
  }

  const int socket_;
  unsigned port_ = 0;
  std::promise<std::string> first_;
  std::thread thread_;
};

TEST_F(WorkerProgram, TellsLambdaWhyItDoesNotStart) {
  RuntimeApi api("202 Accepted");
  Program worker({model() + ".missing", "--listen", api.endpoint()});
  EXPECT_EQ(worker.wait(), 1);
  const auto request = api.request();
  EXPECT_THAT(request, StartsWith("POST /2018-06-01/runtime/init/error "));
  EXPECT_THAT(request, HasSubstr("ambda-runtime-function-error-type: Runtime.unsupported_model\r\n"));
  EXPECT_THAT(request, HasSubstr("there is no such file"));
}

TEST_F(WorkerProgram, EndsWhenLambdaHasDoneWithIt) {
  RuntimeApi api("500 Internal Server Error");
  Program worker({model(), "--listen", api.endpoint()});
  EXPECT_EQ(worker.wait(), 1);
  EXPECT_THAT(api.request(), StartsWith("GET /2018-06-01/runtime/invocation/next "));
  EXPECT_THAT(worker.said(), HasSubstr("the runtime API answered with status 500"));
}
#endif

/// FAULTS 39.
TEST_F(WorkerProgram, FinishesWhatIsUnderWayWhenItIsTold) {
  script("def forward(self, x):\n  for i in range(200):\n    x = torch.cos(x @ x)\n  return x\n").save(model());
  Program worker({model(), "--listen", "tcp://127.0.0.1:0", "--executors", "2"});
  const auto connection = TransportRegistry::with_defaults().connect(worker.endpoint());
  std::promise<CallResult> answer;
  connection->call(request_for(model(), {}, testing::numbers({200, 200})), {}, {},
                   [&](CallResult result) { answer.set_value(std::move(result)); });
  Message probe;
  probe.request.operation = Operation::probe;
  probe.values.emplace_back(std::int64_t{1});
  answer_to(*connection, probe);  // It came behind, so the other one has been taken in.
  EXPECT_EQ(worker.end(SIGTERM), 0);
  EXPECT_EQ(std::get<Message>(answer.get_future().get()).kind, MessageKind::reply);
  EXPECT_NE(worker.said().find("done: 2 answered, 0 failed"), std::string::npos);
}

TEST_F(WorkerProgram, ReadsItsModelsAgainWhenItIsTold) {
  const auto input = testing::numbers({4});
  const Message old_version = request_for(model(), {}, input);
  Program worker({model(), "--listen", "tcp://127.0.0.1:0"});
  const auto connection = TransportRegistry::with_defaults().connect(worker.endpoint());
  const auto is_served = [&](const Message& message) {
    try {
      return answer_to(*connection, message).kind == MessageKind::reply;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::incompatible) << error.what();
      return false;
    }
  };
  const std::string next = model() + ".next";
  script("def forward(self, x):\n  return torch.relu(x) + 2.0\n").save(next);
  const Message new_version = request_for(next, {}, input);
  EXPECT_FALSE(is_served(new_version));
  fs::rename(next, model());
  worker.signal(SIGHUP);
  while (!is_served(new_version)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(is_served(old_version)) << "for a while";

  std::ofstream(model()) << "no model";
  worker.signal(SIGHUP);
  EXPECT_EQ(worker.end(SIGTERM), 0);  // Taken behind the other signal, whose number is smaller.
  const auto said = worker.said();
  EXPECT_NE(said.find("serving another version from"), std::string::npos) << said;
  EXPECT_NE(said.find("going on with the version before: can't load"), std::string::npos) << said;
}

TEST_F(WorkerProgram, ForwardsToTheNextTier) {
  const auto file = file_with("token", token, for_me);
  Program last({model(), "--listen", "tcp://127.0.0.1:0", "--token-file", file});
  const auto next = last.endpoint();
  Program middle({model(), "--listen", "tcp://127.0.0.1:0", "--forward-to", next, "--forward-token-file", file});
  const auto connection = TransportRegistry::with_defaults().connect(middle.endpoint());
  const auto input = testing::numbers({4});
  Message message = request_for(model(), {{LayerSet{}, LayerSet{0}}, 1}, input);
  message.request.next = {{next}};
  const Message reply = answer_to(*connection, message);
  ASSERT_EQ(reply.values.size(), 1U);
  EXPECT_TRUE(bit_identical(reply.values[0], Value(at::relu(input) + 1.0)));
  EXPECT_TRUE(reply.times_s.contains("next.run"));
  message.request.next = {{next + "/"}};
  EXPECT_EQ(testing::thrown_code([&] { answer_to(*connection, message); }), ErrorCode::invalid_argument);
}

TEST_F(WorkerProgram, AsksForTheTokenOfAFileOrOfTheEnvironment) {
  const auto file = file_with("token", token, for_me);
  Program by_file({model(), "--listen", "tcp://127.0.0.1:0", "--token-file", file});
  Program by_variable({model(), "--listen", "tcp://127.0.0.1:0"}, token);
  for (Program* worker : {&by_file, &by_variable}) {
    const auto endpoint = worker->endpoint();
    EXPECT_EQ(outcome_of(endpoint), ErrorCode::unauthenticated);
    EXPECT_EQ(outcome_of(endpoint, token), std::nullopt);
    EXPECT_EQ(worker->end(SIGTERM), 0);
  }
}

TEST_F(WorkerProgram, RefusesATokenThatOthersCanRead) {
  Program worker({model(), "--listen", "tcp://127.0.0.1:0", "--token-file",
                  file_with("token", token, for_me | fs::perms::others_read)});
  EXPECT_EQ(worker.endpoint(), "");
  EXPECT_NE(worker.wait(), 0);
  EXPECT_NE(worker.said().find("token"), std::string::npos);
}

TEST_F(WorkerProgram, ListensBeyondThisMachineOnlyWithProtection) {
  Program open({model(), "--listen", "tcp://0.0.0.0:0"});
  EXPECT_EQ(open.endpoint(), "");
  EXPECT_EQ(open.wait(), 2);
  const auto said = open.said();
  EXPECT_NE(said.find("0.0.0.0"), std::string::npos) << said;
  EXPECT_NE(said.find("--token-file"), std::string::npos) << said;
  Program with_token({model(), "--listen", "tcp://0.0.0.0:0"}, token);
  EXPECT_NE(with_token.endpoint(), "");
  Program allowed({model(), "--listen", "tcp://0.0.0.0:0", "--allow-remote"});
  EXPECT_NE(allowed.endpoint(), "");
}

TEST_F(WorkerProgram, RefusesCertificatesThatNothingWouldUse) {
  Program worker({model(), "--listen", "tcp://127.0.0.1:0", "--client-ca", "ca.pem"});
  EXPECT_EQ(worker.endpoint(), "");
  EXPECT_EQ(worker.wait(), 2);
  EXPECT_NE(worker.said().find("no --listen is one of these"), std::string::npos);
}

#ifdef SPLITNET_WITH_TLS
TEST_F(WorkerProgram, EncryptsWithItsCertificate) {
  const testing::Certificates certificates;
  certificates.issue("server");
  certificates.issue("client");
  std::vector<std::string> listening{"tls://127.0.0.1:0"};
#ifdef SPLITNET_WITH_HTTP
  listening.emplace_back("https://127.0.0.1:0/models");
#endif
  for (const auto& listen : listening) {
    Program worker({model(), "--listen", listen, "--certificate", certificates.certificate("server"), "--key",
                    certificates.key("server"), "--client-ca", certificates.certificate("ca")});
    const auto endpoint = worker.endpoint();
    TlsOptions tls;
    EXPECT_EQ(outcome_of(endpoint, "", tls), ErrorCode::unauthenticated) << "not an authority of this system";
    tls.ca_file = certificates.certificate("ca");
    EXPECT_EQ(outcome_of(endpoint, "", tls), ErrorCode::unauthenticated) << "a client without a certificate";
    tls.certificate_file = certificates.certificate("client");
    tls.private_key_file = certificates.key("client");
    EXPECT_EQ(outcome_of(endpoint, "", tls), std::nullopt) << listen;
    EXPECT_EQ(worker.end(SIGTERM), 0);
  }
}
#endif

#ifdef SPLITNET_WITH_HTTP
TEST_F(WorkerProgram, SpeaksHttp) {
  Program worker({model(), "--listen", "http://127.0.0.1:0/models"}, token);
  const auto endpoint = worker.endpoint();
  EXPECT_TRUE(endpoint.ends_with("/models")) << endpoint;
  EXPECT_EQ(outcome_of(endpoint, ""), ErrorCode::unauthenticated);
  EXPECT_EQ(outcome_of(endpoint, token), std::nullopt);
  EXPECT_EQ(worker.end(SIGTERM), 0);
}

/// What is said to a GET; empty: nobody is there.
std::string page(const std::string& status, const std::string& path) {
  const testing::RawPeer peer(status);
  peer.send("GET " + path + " HTTP/1.1\r\nHost: worker\r\n\r\n");
  return peer.read_to_end().value_or("");
}

TEST_F(WorkerProgram, ShowsHowItIs) {
  Program worker({model(), "--listen", "tcp://127.0.0.1:0", "--status", "127.0.0.1:0"});
  const auto status = worker.status();
  EXPECT_THAT(page(status, "/livez"), StartsWith("HTTP/1.1 200 ")) << "before the models are there";
  EXPECT_EQ(outcome_of(worker.endpoint()), std::nullopt);
  EXPECT_THAT(page(status, "/readyz"), StartsWith("HTTP/1.1 200 "));
#ifdef SPLITNET_WITH_METRICS
  const auto metrics = page(status, "/metrics");
  EXPECT_THAT(metrics, HasSubstr("\nsplitnet_worker_requests_total{outcome=\"answered\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("\nsplitnet_worker_requests_total{model=\"net\",outcome=\"answered\"} 0\n"));
#endif
  EXPECT_EQ(worker.end(SIGTERM), 0);
  EXPECT_EQ(page(status, "/livez"), "");
  Program remote({model(), "--listen", "tcp://127.0.0.1:0", "--status", "0.0.0.0:0"});
  EXPECT_EQ(remote.status(), "");
  EXPECT_EQ(remote.wait(), 2);
}

TEST_F(WorkerProgram, EndsAtOnceWhileItsModelsLoad) {
  // Each of them is run once when it is loaded: minutes altogether.
  std::vector<std::string> arguments;
  const auto slow = slow_model();
  for (int i = 0; i < 500; ++i) arguments.push_back("net" + std::to_string(i) + "=" + slow);
  for (const char* word : {"--listen", "tcp://127.0.0.1:0", "--status", "127.0.0.1:0", "--input", "1"}) {
    arguments.emplace_back(word);
  }
  Program worker(arguments);
  EXPECT_NE(worker.status(), "");
  EXPECT_EQ(worker.end(SIGTERM), 0);
  const auto said = worker.said();
  EXPECT_THAT(said, HasSubstr("SIGTERM while models are loading"));
  EXPECT_EQ(said.find("serving net499"), std::string::npos);
}

#ifdef SPLITNET_WITH_METRICS
std::size_t metric(const std::string& status, const std::string& name) {
  const auto text = page(status, "/metrics");
  const auto found = text.find("\n" + name + " ");
  return found == std::string::npos ? 0 : std::stoul(text.substr(found + name.size() + 2));
}

TEST_F(WorkerProgram, CutsStagesOfANewVersionBeforeItIsAsked) {
  Program worker({model(), "--cut", "relu", "--listen", "tcp://127.0.0.1:0", "--status", "127.0.0.1:0"});
  const auto status = worker.status();
  EXPECT_NE(worker.endpoint(), "");
  EXPECT_EQ(metric(status, "splitnet_worker_stage_cache_stages"), 1U);
  script("def forward(self, x):\n  return torch.relu(x) + 2.0\n").save(model());
  worker.signal(SIGHUP);
  while (metric(status, "splitnet_worker_stage_cache_stages") < 2) continue;
  EXPECT_EQ(worker.end(SIGTERM), 0);
}

TEST_F(WorkerProgram, IsNotReadyWhileItDrains) {
  const auto slow = slow_model();
  Program worker({slow, "--listen", "tcp://127.0.0.1:0", "--status", "127.0.0.1:0"});
  const auto status = worker.status();
  const auto endpoint = worker.endpoint();
  const auto loaded = Partitioner::load(slow);
  Message request;
  request.request = {"slow", loaded->fingerprint(), {}};
  request.values.emplace_back(Tensor::empty(DType::f32, {1}));
  const auto registry = TransportRegistry::with_defaults();
  const auto send = [&](Connection& connection) {
    auto promise = std::make_shared<std::promise<CallResult>>();
    auto future = promise->get_future();
    connection.call(request, {}, {}, [promise](CallResult result) { promise->set_value(std::move(result)); });
    return future;
  };
  const auto patient = registry.connect(endpoint);
  auto answer = send(*patient);
  while (metric(status, "splitnet_worker_running_requests") == 0) continue;
  // So many that the worker is at it for ten seconds and more; nobody waits for them once it was seen draining.
  const auto others = registry.connect(endpoint);
  for (int i = 0; i < 200; ++i) (void)send(*others);
  while (metric(status, "splitnet_worker_queued_requests") < 100) continue;
  worker.signal(SIGTERM);
  std::string readiness;
  do readiness = page(status, "/readyz");
  while (readiness.starts_with("HTTP/1.1 200 "));
  EXPECT_THAT(readiness, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(readiness, HasSubstr("\r\n\r\ndraining\n"));
  EXPECT_THAT(page(status, "/livez"), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(outcome_of(endpoint), ErrorCode::unavailable);
  others->close();
  auto result = answer.get();
  ASSERT_TRUE(std::holds_alternative<Message>(result));
  EXPECT_EQ(std::get<Message>(result).kind, MessageKind::reply) << std::get<Message>(result).error_message;
  EXPECT_EQ(worker.wait(), 0);
}
#endif
#endif

TEST_F(WorkerProgram, LogsRequestsAsJson) {
  Program worker({model(), "--listen", "tcp://127.0.0.1:0", "--log-format", "json", "--verbose"});
  EXPECT_EQ(outcome_of(worker.endpoint()), std::nullopt);
  EXPECT_EQ(worker.end(SIGTERM), 0);
  const auto said = worker.said();
  EXPECT_THAT(said, HasSubstr("\"level\":\"info\",\"message\":\"serving net from "));
  EXPECT_THAT(said,
              HasSubstr("\"level\":\"debug\",\"message\":\"answered\",\"request_id\":1,\"peer\":\"tcp://127.0.0.1:"));
}

TEST_F(WorkerProgram, SaysWhatIsWrong) {
  const std::vector<std::pair<std::vector<std::string>, int>> cases = {
      {{model(), "--no-such-option"}, 2},
      {{model(), "--log-format", "xml"}, 2},
      {{}, 2},
      {{model(), "--input", "1xthree"}, 2},
      {{model() + ".missing"}, 1},
      {{model(), "--listen", "carrier-pigeon://roof"}, 2},
      {{model(), "--listen", "tls://127.0.0.1:0"}, 2},
      {{model(), "--forward-token-file", "token"}, 2},
      {{model(), "--forward-to", "tcp://127.0.0.1:1", "--forward-ca", "ca.pem"}, 2},
      {{model(), "--batch", "0"}, 2},
      {{model(), "--sqs-in-flight", "2"}, 2},
      {{model(), "--listen", "sqs://jobs", "--sqs-visibility-timeout", "1"}, 2},
  };
  for (const auto& [arguments, status] : cases) {
    Program worker(arguments);
    EXPECT_EQ(worker.endpoint(), "");
    EXPECT_EQ(worker.wait(), status) << (arguments.empty() ? "no arguments" : arguments.back());
    EXPECT_NE(worker.said(), "");
  }
}

}  // namespace
}  // namespace splitnet
