// SPDX-License-Identifier: Apache-2.0
// Runs a model split between this machine and a function, from C++: what each call takes, the first of which may find
// the function cold, and whether the answers are those of the model in one piece.
//
//   call_function MODEL.pt ENDPOINT --input FILE.bin:SHAPE [--cut NAME] [--calls N] [--token-file FILE] [--json]
//
// ENDPOINT: lambda://NAME, https://… of a function URL or of API Gateway, or any other worker. FILE.bin: f32,
// little-endian. Exit status: 0 when every answer was that of the model in one piece, 1 when one was not, 2 when there
// was none.
#include <splitnet/aws.hpp>
#include <splitnet/splitnet.hpp>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace {

using namespace splitnet;

[[noreturn]] void refuse_input(const std::string& spec, const std::string& words) {
  throw Error(ErrorCode::invalid_argument, "--input " + spec + ": " + words);
}

/// Of "FILE:1x1x64x64".
std::vector<std::int64_t> parse_shape(const std::string& spec) {
  std::vector<std::int64_t> sizes;
  std::istringstream shape(spec.substr(spec.rfind(':') + 1));
  for (std::string text; std::getline(shape, text, 'x');) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sizes.emplace_back());
    if (error != std::errc() || end != text.data() + text.size() || sizes.back() < 1) {
      refuse_input(spec, "found the size '" + text + "', expected a positive number");
    }
  }
  return sizes;
}

Value read_input(const std::string& spec) {
  const auto colon = spec.rfind(':');
  if (colon == std::string::npos) refuse_input(spec, "expected FILE:SHAPE");
  std::ifstream file(spec.substr(0, colon), std::ios::binary);
  if (!file) refuse_input(spec, "the file can't be opened");
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  Tensor tensor = Tensor::empty(DType::f32, parse_shape(spec));
  if (bytes.size() != tensor.storage.size_bytes()) {
    refuse_input(spec, "the file has " + std::to_string(bytes.size()) + " bytes, the shape needs " +
                           std::to_string(tensor.storage.size_bytes()));
  }
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(tensor.data()));
  return tensor;
}

struct Arguments {
  std::string model;
  std::string endpoint;
  std::string input;
  std::string cut = "input";
  std::string token_file;
  int calls = 5;
  bool json = false;
};

int run(const Arguments& arguments) {
  const Value input = read_input(arguments.input);
  const auto model = Partitioner::load(arguments.model, {input});
  // Bits are the same between equal thread counts; the function has one, too.
  constexpr int threads = 1;
  const Value expected = run_stages(*model, model->split({}, {.threads = threads}), {input});

  SessionOptions options;
  options.worker = arguments.endpoint;
  if (!arguments.token_file.empty()) options.connect.token = load_token(arguments.token_file);
  add_aws_transports(options.registry);
  options.cut = arguments.cut == "input" ? Cut::at_input() : Cut::after(arguments.cut);
  options.threads = threads;
  options.finish_on_device = false;  // What the function does not answer shall be seen.
  const auto opened = std::chrono::steady_clock::now();
  const auto session = Session::open(model, options);
  const auto seconds_since = [](auto start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const double open_s = seconds_since(opened);
  std::vector<double> calls_s;
  bool same = true;
  for (int i = 0; i < arguments.calls; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    const Value result = session->run({input}).output;
    calls_s.push_back(seconds_since(begun));
    same = same && bit_identical(result, expected);
  }
  if (arguments.json) {
    std::printf("{\"open_s\": %.6f, \"same_answer\": %s, \"calls_s\": [", open_s, same ? "true" : "false");
    for (std::size_t i = 0; i < calls_s.size(); ++i) std::printf("%s%.6f", i > 0 ? ", " : "", calls_s[i]);
    std::printf("]}\n");
  } else {
    std::printf("open: %.1f ms\n", open_s * 1e3);
    for (const double call_s : calls_s) std::printf("call: %.1f ms\n", call_s * 1e3);
    std::printf("answers: %s\n", same ? "those of the model in one piece" : "NOT those of the model in one piece");
  }
  return same ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs a model split between this machine and a function.", "call_function");
  Arguments arguments;
  app.add_option("model", arguments.model, "TorchScript file")->required()->type_name("MODEL.pt");
  app.add_option("endpoint", arguments.endpoint, "lambda://NAME, a function URL, or any other worker")->required();
  app.add_option("--input", arguments.input, "f32, little-endian")->required()->type_name("FILE.bin:SHAPE");
  app.add_option("--cut", arguments.cut, "The head ends with this module or layer; \"input\": the function runs all")
      ->capture_default_str();
  app.add_option("--calls", arguments.calls)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--token-file", arguments.token_file, "Its first line is the token that a URL of a function asks for")
      ->type_name("FILE");
  app.add_flag("--json", arguments.json);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return run(arguments);
  } catch (const Error& error) {
    std::fprintf(stderr, "call_function: %s: %s\n", std::string(to_string(error.code())).c_str(), error.what());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "call_function: %s\n", error.what());
  }
  return 2;
}
