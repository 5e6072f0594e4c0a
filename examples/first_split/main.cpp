// SPDX-License-Identifier: Apache-2.0
// Cuts a picture classifier at many layers, runs the head here and the tail in another process, and checks every
// answer against the uncut model in plain TorchScript.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "splitnet/splitnet.hpp"

namespace {

using namespace splitnet;

struct Arguments {
  std::string model, picture, classes, worker;
  int threads = 1;
  int runs = 9;
  std::size_t cuts = 12;
  bool check = false;
  bool dry_run = false;
};

/// One row of the table: medians over the runs.
struct Row {
  std::string name;
  double head_ms = 0, boundary_kb = 0, transport_ms = 0, tail_ms = 0, total_ms = 0;
  bool identical = true;
};

/// The judge: the frozen model, uncut, run by libtorch and by nothing of splitnet's.
at::Tensor run_uncut(const std::string& path, const at::Tensor& picture, int threads) {
  at::set_num_threads(threads);
  torch::jit::Module module = torch::jit::load(path);
  module.eval();
  module = torch::jit::freeze(module);
  const c10::InferenceMode no_gradients;
  return module.forward({picture}).toTensor();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Field>
double median_of(const std::vector<StepTimes>& times, Field field) {
  std::vector<double> values;
  for (const StepTimes& one : times) values.push_back(field(one));
  return median(std::move(values));
}

Row measure(const std::string& name, Session& session, const Value& picture, const Value& expected, int runs) {
  Row row{.name = name};
  std::vector<StepTimes> times;
  constexpr int warm_up = 2;
  for (int i = 0; i < warm_up + runs; ++i) {
    Answer answer = session.run({picture});
    row.identical = row.identical && bit_identical(answer.output, expected);
    if (i >= warm_up) times.push_back(std::move(answer.times));
  }
  row.head_ms = 1e3 * median_of(times, [](const StepTimes& t) { return t.head_s; });
  row.transport_ms = 1e3 * median_of(times, [](const StepTimes& t) { return t.transport_s + t.queue_s; });
  row.tail_ms = 1e3 * median_of(times, [](const StepTimes& t) { return t.tail_s; });
  row.total_ms = 1e3 * median_of(times, [](const StepTimes& t) { return t.total_s; });
  row.boundary_kb = 1e-3 * static_cast<double>(times.front().boundary_bytes);
  return row;
}

/// `wanted` of the legal sequential cuts, evenly spread, from the first to the last.
std::vector<std::size_t> choose_cuts(const Model& model, std::size_t wanted) {
  std::vector<std::size_t> legal;
  for (std::size_t i = 0; i < model.layers().layers.size(); ++i) {
    if (!model.refusal({model.layers().resolve(Cut::after_index(i))})) legal.push_back(i);
  }
  if (legal.size() <= wanted) return legal;
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < wanted; ++i) chosen.push_back(legal[i * (legal.size() - 1) / (wanted - 1)]);
  return chosen;
}

/// Prints what is in the picture; true when it is a cat (ImageNet's classes 281 to 285).
bool print_label(const Value& output, const std::string& classes_path) {
  std::ifstream file(classes_path);
  std::vector<std::string> names;
  for (std::string line; std::getline(file, line);) names.push_back(line);
  const auto [probability, index] = to_torch(output.tensor()).softmax(1)[0].max(0);
  const auto best = index.item<std::int64_t>();
  const std::string name = static_cast<std::size_t>(best) < names.size() ? names[static_cast<std::size_t>(best)]
                                                                         : "class " + std::to_string(best);
  std::printf("The picture shows: %s (probability %.2f)\n\n", name.c_str(), probability.item<double>());
  return best >= 281 && best <= 285;
}

void print_heading() {
  std::printf("%-28s %9s %12s %13s %9s %9s  %s\n", "cut after layer", "head ms", "boundary KB", "transport ms",
              "tail ms", "total ms", "identical");
}

void print(const Row& row) {
  std::printf("%-28s %9.2f %12.1f %13.2f %9.2f %9.2f  %s\n", row.name.c_str(), row.head_ms, row.boundary_kb,
              row.transport_ms, row.tail_ms, row.total_ms, row.identical ? "yes" : "NO");
  std::fflush(stdout);
}

bool run(const Arguments& arguments) {
  const at::Tensor picture = torch::jit::load(arguments.picture).attr("v0").toTensor();
  const Value expected = run_uncut(arguments.model, picture, arguments.threads);
  const auto model = Partitioner::load(arguments.model, {picture});
  const auto open = [&](const std::string& worker, const Cut& cut) {
    return Session::open(model, {.worker = worker, .cut = cut, .threads = arguments.threads});
  };

  const auto cuts = choose_cuts(*model, arguments.cuts);
  const auto middle = open(arguments.worker, Cut::after_index(cuts[cuts.size() / 2]));
  const bool cat = print_label(middle->run({picture}).output, arguments.classes);

  std::printf("%zu layers, %zu cuts; head in this process, tail at %s; medians of %d runs, %d thread(s)\n",
              model->layers().layers.size(), cuts.size(), arguments.worker.c_str(), arguments.runs, arguments.threads);
  print_heading();
  bool all_identical = true;
  const auto row = [&](const std::string& name, const std::string& worker, const Cut& cut) {
    const Row result = measure(name, *open(worker, cut), picture, expected, arguments.runs);
    print(result);
    all_identical = all_identical && result.identical;
  };
  for (const std::size_t index : cuts)
    row(model->layers().layers[index].name, arguments.worker, Cut::after_index(index));
  row("(device only)", "", Cut::at_input());
  row("(worker only)", arguments.worker, Cut::at_input());
  std::printf("identical: all bits as from the uncut frozen model in plain TorchScript, in every run.\n");

  if (!all_identical) std::fprintf(stderr, "first_split: answers differ from the uncut model\n");
  if (arguments.check && !cat) std::fprintf(stderr, "first_split: the picture was not taken for a cat\n");
  return all_identical && (cat || !arguments.check);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Cuts a picture classifier at many layers and checks every answer.", "first_split");
  Arguments arguments;
  app.add_option("model", arguments.model, "TorchScript file")->required();
  app.add_option("picture", arguments.picture, "The picture, as export_model.py writes it")->required();
  app.add_option("classes", arguments.classes, "Class names, one a line")->required();
  app.add_option("--worker", arguments.worker, "Endpoint of a splitnet-worker that serves the model")->required();
  app.add_option("--threads", arguments.threads, "Threads of each pass; give the worker the same")
      ->check(CLI::PositiveNumber);
  app.add_option("--runs", arguments.runs, "Measured runs of each row")->check(CLI::Range(1, 100000));
  app.add_option("--cuts", arguments.cuts, "Cuts to show")->check(CLI::Range(2, 100000));
  app.add_flag("--check", arguments.check, "Fail unless the picture is taken for a cat");
  app.add_flag("--dry-run", arguments.dry_run, "Check the options, and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (arguments.dry_run) return 0;
  try {
    return run(arguments) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "first_split: %s\n", error.what());
    return 1;
  }
}
