// SPDX-License-Identifier: Apache-2.0
// Cuts every model of the zoo and compares each answer, bit by bit, with what plain torch gave in a
// process of its own (oracle.py). One line a model; see docs/cuts.md for what the columns mean.

#include <torch/csrc/jit/runtime/interpreter.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <splitnet/splitnet.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <set>

#include "cut_plan.hpp"
#include "frozen_graph.hpp"
#include "graph_analysis.hpp"
#include "zoo_values.hpp"

namespace {

using splitnet::Cut;
using splitnet::LayerSet;
using splitnet::Model;
using splitnet::Value;
namespace fs = std::filesystem;

struct Options {
  fs::path directory = "build/zoo";
  bool part = false;
  std::vector<std::string> only;
  std::size_t share = 1;   ///< From 1: which part of the models is this process's …
  std::size_t shares = 1;  ///< … of so many.
  std::size_t full_size_cuts = 20;
  std::size_t graph_cuts = 10;                   ///< Random closed sets, and as many pairs of cuts.
  std::int64_t save_all_below_bytes = 24 << 20;  ///< Larger models have 20 cuts saved and loaded again.
  std::size_t saved_cuts = 20;
};

std::vector<Value> load_values(const fs::path& path) {
  const auto values = splitnet::testing::load_zoo_values(path.string());
  return {values.begin(), values.end()};
}

void flatten(const Value& value, std::vector<Value>& leaves) {
  if (const auto* list = value.get_if<splitnet::List>()) {
    for (const auto& item : list->items) flatten(item, leaves);
  } else if (const auto* tuple = value.get_if<splitnet::Tuple>()) {
    for (const auto& item : tuple->items) flatten(item, leaves);
  } else if (const auto* dict = value.get_if<splitnet::Dict>()) {
    for (const auto& [key, item] : dict->items) flatten(item, leaves);
  } else {
    leaves.push_back(value);
  }
}

std::vector<Value> leaves_of(const std::vector<Value>& values) {
  std::vector<Value> leaves;
  for (const auto& value : values) flatten(value, leaves);
  return leaves;
}

bool same_bits(const Value& output, const std::vector<Value>& expected) {
  const auto leaves = leaves_of({output});
  return std::equal(leaves.begin(), leaves.end(), expected.begin(), expected.end(),
                    [](const Value& a, const Value& b) { return bit_identical(a, b); });
}

/// What the oracle said about one size and thread count.
struct Question {
  std::string size;
  int threads = 1;
  std::vector<Value> inputs;
  std::vector<Value> expected;
  bool fails = false;  ///< The uncut model fails on these inputs: so must the cut one.
};

struct Tally {
  std::size_t layers = 0;
  std::size_t cuts = 0;
  std::size_t legal = 0;
  std::size_t refused = 0;
  std::size_t refused_identical = 0;  ///< Refused, and identical when forced in one process.
  std::size_t identical = 0;
  std::size_t runs = 0;
  std::size_t other_sizes = 0;  ///< Identical at full and at another size.
  std::size_t graph_cuts = 0;
  std::size_t two_cuts = 0;
  std::size_t saved = 0;
  std::vector<std::string> failures;
};

/// Runs a cut that splitnet refuses, with values handed over as they are, in one process.
bool identical_if_forced(const splitnet::detail::GraphAnalysis& analysis, const LayerSet& cut,
                         const Question& question) {
  const at::NoGradGuard no_grad;
  torch::jit::Stack flowing;
  const auto graph_inputs = analysis.graph()->inputs();
  for (std::size_t i = 0; i < question.inputs.size(); ++i) {
    flowing.push_back(splitnet::to_ivalue(question.inputs[i], graph_inputs[i]->type()).deepcopy());
  }
  std::vector<Value> slots(analysis.results().size());
  try {
    for (const auto& plan : splitnet::detail::plan_stages(analysis, {cut})) {
      torch::jit::InterpreterState(torch::jit::Code(splitnet::detail::build_graph(analysis, plan), "forced"))
          .run(flowing);
      for (std::size_t i = 0; i < plan.result_slots.size(); ++i) {
        slots[plan.result_slots[i]] = splitnet::to_value(flowing[plan.boundary.size() + i]);
      }
      flowing.resize(plan.boundary.size());
    }
    return same_bits(analysis.result_shape().assemble(slots), question.expected);
  } catch (const std::exception&) {
    return false;
  }
}

/// A process of its own that loads saved stages and runs them one after the other.
class Replayer {
 public:
  Replayer(const std::string& program, const fs::path& inputs, const fs::path& expected) {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    if (pipe(to.data()) != 0 || pipe(from.data()) != 0) throw std::runtime_error("no pipe");
    child_ = fork();
    if (child_ == 0) {
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      for (const int end : {to[0], to[1], from[0], from[1]}) close(end);
      execl(program.c_str(), program.c_str(), "--replay", inputs.c_str(), expected.c_str(), nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "w");
    from_ = fdopen(from[0], "r");
  }
  ~Replayer() {
    std::fclose(to_);
    std::fclose(from_);
    waitpid(child_, nullptr, 0);
  }
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  std::string check(const fs::path& head, const fs::path& tail) {
    std::fprintf(to_, "%s %s\n", head.c_str(), tail.c_str());
    std::fflush(to_);
    std::array<char, 1024> line{};
    if (std::fgets(line.data(), line.size(), from_) == nullptr) return "the other process ended";
    std::string answer(line.data());
    return answer == "same\n" ? "" : answer.substr(0, answer.size() - 1);
  }

 private:
  pid_t child_ = 0;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
};

/// The other process's side: two stage files a line.
int replay(const fs::path& inputs_file, const fs::path& expected_file) {
  const auto inputs = load_values(inputs_file);
  const auto expected = leaves_of(load_values(expected_file));
  std::string head_file;
  std::string tail_file;
  while (std::cin >> head_file >> tail_file) {
    try {
      const auto head = splitnet::load_stage(head_file, {.threads = 1});
      const auto tail = splitnet::load_stage(tail_file, {.threads = 1});
      auto made = head->run(inputs);
      std::vector<Value> boundary(made.begin(),
                                  made.begin() + static_cast<std::ptrdiff_t>(head->info().boundary_count));
      const auto rest = tail->run(std::move(boundary));
      // Without the model, results are compared slot by slot: the oracle's leaves are the slots' leaves.
      std::vector<std::vector<Value>> slots(head->info().result_slots.size() + tail->info().result_slots.size());
      for (std::size_t i = 0; i < head->info().result_slots.size(); ++i) {
        flatten(made[head->info().boundary_count + i], slots.at(head->info().result_slots[i]));
      }
      for (std::size_t i = 0; i < tail->info().result_slots.size(); ++i)
        flatten(rest[i], slots.at(tail->info().result_slots[i]));
      std::size_t matched = 0;
      for (const auto& slot : slots) {
        for (const auto& leaf : slot) {
          matched +=
              std::any_of(expected.begin(), expected.end(), [&](const Value& e) { return bit_identical(leaf, e); });
        }
      }
      std::size_t leaves = 0;
      for (const auto& slot : slots) leaves += slot.size();
      std::cout << (matched == leaves && leaves > 0 ? "same" : "a loaded stage gave other bits") << std::endl;
    } catch (const std::exception& error) {
      std::string text = error.what();
      std::cout << text.substr(0, text.find('\n')) << std::endl;
    }
  }
  return 0;
}

class Checker {
 public:
  Checker(const Options& options, std::string program, const nlohmann::json& item, const nlohmann::json& oracle)
      : options_(options), program_(std::move(program)), item_(item) {
    for (const auto& record : oracle) {
      if (record["name"] != item["name"] || record["form"] != item["form"]) continue;
      Question question;
      question.size = record["size"];
      question.threads = record["threads"];
      question.inputs = load_values(file(item["inputs"][question.size]));
      question.fails = record["expected"].is_null();
      if (!question.fails) question.expected = leaves_of(load_values(file(record["expected"])));
      questions_.push_back(std::move(question));
    }
  }

  Tally run() {
    model_ = splitnet::Partitioner::load(file(item_["file"]).string(), examples());
    tally_.layers = model_->layers().layers.size();
    for (const auto& question : questions_) {
      if (question.size == "small") check_all_cuts(question);
      if (question.size == "full") check_some_cuts(question, options_.full_size_cuts);
      if (question.size == "other") check_some_cuts(question, 5);
    }
    check_graph_cuts();
    check_two_cuts();
    check_saved();
    return tally_;
  }

  /// The inputs that the layer graph describes: the largest that every form takes.
  std::vector<Value> examples() const {
    for (const auto* size : {"full", "small"}) {
      for (const auto& question : questions_) {
        if (question.size == size && !question.fails) return question.inputs;
      }
    }
    const auto inputs = item_["inputs"];
    return load_values(file(inputs.contains("full") ? inputs["full"] : inputs["small"]));
  }

 private:
  fs::path file(const std::string& name) const { return options_.directory / name; }

  void fail(const std::string& what) { tally_.failures.push_back(what); }

  /// Cold, warm, and the tail twice on one boundary. True when all agree with the oracle.
  bool check(const std::vector<LayerSet>& cuts, const Question& question, const std::string& name) {
    try {
      std::vector<std::unique_ptr<splitnet::Stage>> stages;
      for (std::size_t s = 0; s <= cuts.size(); ++s) {
        stages.push_back(model_->make_stage({cuts, s}, {.threads = question.threads}));
      }
      const bool cold = same_bits(run_twice(stages, question.inputs), question.expected);
      const bool warm = same_bits(splitnet::run_stages(*model_, stages, question.inputs), question.expected);
      ++tally_.runs;
      if (question.fails) fail(name + ": the uncut model fails on these inputs, the cut one answered");
      if (!cold || !warm) fail(name + (cold ? ": warm" : ": cold") + " bits differ");
      return cold && warm;
    } catch (const splitnet::Error& error) {
      ++tally_.runs;
      if (question.fails) return true;
      fail(name + ": " + std::string(to_string(error.code())) + ": " + error.what());
      return false;
    }
  }

  /// Runs every stage twice on the same inputs; throws when the two answers differ.
  Value run_twice(const std::vector<std::unique_ptr<splitnet::Stage>>& stages, const std::vector<Value>& inputs) {
    std::vector<Value> slots(model_->result_slot_count());
    std::vector<Value> flowing = inputs;
    for (const auto& stage : stages) {
      const auto first = stage->run(flowing);
      auto second = stage->run(flowing);
      for (std::size_t i = 0; i < first.size(); ++i) {
        if (!bit_identical(first[i], second[i])) {
          throw splitnet::Error(splitnet::ErrorCode::internal, "a stage run twice on one boundary gave other bits");
        }
      }
      const auto& info = stage->info();
      for (std::size_t i = 0; i < info.result_slots.size(); ++i)
        slots[info.result_slots[i]] = second[info.boundary_count + i];
      second.resize(info.boundary_count);
      flowing = std::move(second);
    }
    return model_->result_shape().assemble(slots);
  }

  std::vector<LayerSet> sequential_cuts() const {
    std::vector<LayerSet> cuts{{}};
    for (std::size_t i = 0; i < tally_.layers; ++i) cuts.push_back(model_->layers().resolve(Cut::after_index(i)));
    return cuts;
  }

  const splitnet::detail::GraphAnalysis& analysis() {
    if (!analysis_) {
      auto module = torch::jit::load(file(item_["file"]).string());
      analysis_.emplace(splitnet::detail::freeze_forward(module, {}));
    }
    return *analysis_;
  }

  void check_all_cuts(const Question& question) {
    const bool count = question.threads == 1;
    for (const auto& cut : sequential_cuts()) {
      const auto name =
          "cut after " + std::to_string(cut.size()) + " layers, " + std::to_string(question.threads) + " threads";
      const auto refusal = model_->refusal({cut});
      tally_.cuts += count;
      if (refusal) {
        tally_.refused += count;
        if (count) tally_.refused_identical += identical_if_forced(analysis(), cut, question);
        if (count)
          std::cout << "  refused: " << name << ": " << to_string(refusal->reason) << ": " << refusal->detail << "\n";
        continue;
      }
      tally_.legal += count;
      const bool same = check({cut}, question, name);
      if (count) tally_.identical += same;
    }
  }

  static std::vector<LayerSet> spread(const std::vector<LayerSet>& all, std::size_t wanted) {
    std::vector<LayerSet> some;
    for (std::size_t i = 0; i < wanted && wanted > 1; ++i) some.push_back(all[i * (all.size() - 1) / (wanted - 1)]);
    some.erase(std::unique(some.begin(), some.end()), some.end());
    return some;
  }

  void check_some_cuts(const Question& question, std::size_t wanted) {
    for (const auto& cut : spread(sequential_cuts(), wanted)) {
      if (model_->refusal({cut})) continue;
      tally_.other_sizes += check({cut}, question,
                                  question.size + " size, cut after " + std::to_string(cut.size()) + " layers, " +
                                      std::to_string(question.threads) + " threads");
    }
  }

  const Question* small_question() const {
    for (const auto& question : questions_) {
      if (question.size == "small" && question.threads == 1 && !question.fails) return &question;
    }
    return nullptr;
  }

  /// A set of layers that is closed: a random one, with everything it needs.
  LayerSet random_closed_set() {
    std::set<std::size_t> chosen;
    std::vector<std::size_t> open{random_() % tally_.layers, random_() % tally_.layers};
    while (!open.empty()) {
      const auto layer = open.back();
      open.pop_back();
      if (!chosen.insert(layer).second) continue;
      for (const auto before : model_->layers().predecessors(layer)) open.push_back(before);
    }
    return {chosen.begin(), chosen.end()};
  }

  void check_graph_cuts() {
    const auto* question = small_question();
    for (std::size_t i = 0; question != nullptr && i < options_.graph_cuts; ++i) {
      const auto cut = random_closed_set();
      if (model_->refusal({cut})) continue;
      tally_.graph_cuts += check({cut}, *question, "graph cut with " + std::to_string(cut.size()) + " layers");
    }
  }

  void check_two_cuts() {
    const auto* question = small_question();
    const auto all = sequential_cuts();
    for (std::size_t i = 0; question != nullptr && i < options_.graph_cuts; ++i) {
      auto first = random_() % all.size();
      auto second = random_() % all.size();
      if (first > second) std::swap(first, second);
      if (model_->refusal({all[first], all[second]})) continue;
      tally_.two_cuts +=
          check({all[first], all[second]}, *question,
                "two cuts, after " + std::to_string(first) + " and " + std::to_string(second) + " layers");
    }
  }

  void check_saved() {
    const auto* question = small_question();
    if (question == nullptr) return;
    auto cuts = sequential_cuts();
    if (model_->make_stage({{}, 0})->info().parameter_bytes > options_.save_all_below_bytes)
      cuts = spread(cuts, options_.saved_cuts);
    const std::string stem = item_["name"].get<std::string>() + "." + item_["form"].get<std::string>();
    const auto head_file = file(stem + ".head.stage");
    const auto tail_file = file(stem + ".tail.stage");
    Replayer replayer(program_, file(item_["inputs"]["small"]), file(stem + ".small.t1.expected.pt"));
    for (const auto& cut : cuts) {
      if (model_->refusal({cut})) continue;
      try {
        model_->make_stage({{cut}, 0})->save(head_file);
        model_->make_stage({{cut}, 1})->save(tail_file);
        const auto problem = replayer.check(head_file, tail_file);
        if (problem.empty()) {
          ++tally_.saved;
        } else {
          fail("saved, cut after " + std::to_string(cut.size()) + " layers: " + problem);
        }
      } catch (const splitnet::Error& error) {
        fail("saved, cut after " + std::to_string(cut.size()) + " layers: " + error.what());
      }
    }
    fs::remove(head_file);
    fs::remove(tail_file);
  }

  const Options& options_;
  std::string program_;
  const nlohmann::json& item_;
  std::vector<Question> questions_;
  std::shared_ptr<const Model> model_;
  std::optional<splitnet::detail::GraphAnalysis> analysis_;
  Tally tally_;
  std::mt19937 random_{20261121};
};

/// A model that must be refused: as a whole, or for every cut that leaves its random numbers to the tail.
std::string check_refused(Checker& checker, const fs::path& file) {
  try {
    const auto model = splitnet::Partitioner::load(file.string(), checker.examples());
    const auto refusal = model->refusal({{}});
    return refusal ? "" : "it must be refused, and is not";
  } catch (const splitnet::Error& error) {
    std::cout << "  refused: " << error.what() << "\n";
    return error.code() == splitnet::ErrorCode::unsupported_model ? "" : "refused with another code";
  }
}

int check_zoo(const Options& options, const std::string& program) {
  const auto manifest = nlohmann::json::parse(std::ifstream(options.directory / "manifest.json"));
  const auto oracle = nlohmann::json::parse(std::ifstream(options.directory / "oracle.json"));
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t found = 0;
  if (options.share == 1) {
    std::printf("%-36s %6s %6s %6s %7s %6s %9s %6s %6s %8s %6s %7s\n", "model", "layers", "cuts", "legal", "refused",
                "forced", "identical", "sizes", "graph", "two-cut", "saved", "s");
    std::fflush(stdout);
  }
  for (const auto& item : manifest) {
    const std::string name = item["name"].get<std::string>() + "." + item["form"].get<std::string>();
    if (options.part && !item["part"].get<bool>()) continue;
    if (!options.only.empty() &&
        std::find(options.only.begin(), options.only.end(), item["name"]) == options.only.end() &&
        std::find(options.only.begin(), options.only.end(), name) == options.only.end()) {
      continue;
    }
    if (found++ % options.shares != options.share - 1) continue;
    const auto start = std::chrono::steady_clock::now();
    Checker checker(options, program, item, oracle);
    Tally tally;
    if (item["expect"] == "refused") {
      const auto problem = check_refused(checker, options.directory / item["file"].get<std::string>());
      if (!problem.empty()) tally.failures.push_back(problem);
      std::printf("%-36s must be refused: %s\n", name.c_str(), problem.empty() ? "yes" : "NO");
    } else {
      try {
        tally = checker.run();
      } catch (const std::exception& error) {
        tally.failures.push_back(error.what());
      }
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      std::printf("%-36s %6zu %6zu %6zu %7zu %6zu %9zu %6zu %6zu %8zu %6zu %7.1f\n", name.c_str(), tally.layers,
                  tally.cuts, tally.legal, tally.refused, tally.refused_identical, tally.identical, tally.other_sizes,
                  tally.graph_cuts, tally.two_cuts, tally.saved, seconds.count());
    }
    for (std::size_t i = 0; i < std::min<std::size_t>(tally.failures.size(), 5); ++i) {
      std::printf("  FAILED: %s\n", tally.failures[i].c_str());
    }
    if (tally.failures.size() > 5) std::printf("  and %zu more\n", tally.failures.size() - 5);
    std::fflush(stdout);
    ++(tally.failures.empty() ? passed : failed);
  }
  std::printf("%zu passed, %zu failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a replaying process that ends early is a failure of one cut
  Options options;
  std::vector<std::string> replay_files;
  CLI::App app("Checks every cut of every model of the zoo against plain torch.");
  app.add_option("--dir", options.directory, "where build_zoo.py and oracle.py wrote")->capture_default_str();
  app.add_flag("--part", options.part, "only the quick part");
  app.add_option("--only", options.only, "only these models (NAME or NAME.form)");
  app.add_option("--shares", options.shares, "so many processes check the zoo together")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--share", options.share, "which of them this one is, from 1")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--full-size-cuts", options.full_size_cuts, "cuts tried at full size")->capture_default_str();
  app.add_option("--replay", replay_files, "internal: inputs and expected outputs; stage files come on stdin")
      ->expected(2);
  CLI11_PARSE(app, argc, argv);
  if (!replay_files.empty()) return replay(replay_files[0], replay_files[1]);
  if (options.share > options.shares) {
    std::fprintf(stderr, "--share %zu: there are %zu shares\n", options.share, options.shares);
    return 2;
  }
  // All that one model has to say at once: other shares write to the same place.
  std::setvbuf(stdout, nullptr, _IOFBF, 1 << 20);
  return check_zoo(options, fs::absolute(argv[0]).string());
}
