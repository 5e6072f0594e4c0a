// SPDX-License-Identifier: Apache-2.0
// A plan over three tiers, run: a device that can hold little of a network, an edge server and a cloud that can't hold
// the rest, of which only the edge server reaches the cloud. Real networks, two worker processes, shaped links; the
// boundary goes from worker to worker. Every answer is compared with the uncut model's, bit by bit, and the latency
// with the plan's. Written to build/bench/three_tiers.json.
//
//   bench_three_tiers [--requests N]
#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "child_process.hpp"
#include "headline.hpp"
#include "quantiles.hpp"
#include "sweep_networks.hpp"

namespace {

using namespace splitnet;

constexpr const char* networks[] = {"mobilenet_v2", "yolov3_tiny", "resnet50"};
constexpr const char* device_to_edge = "shaped://up=200Mbit,down=200Mbit,delay=2ms@";
constexpr const char* edge_to_cloud = "shaped://up=100Mbit,down=100Mbit,delay=5ms@";

/// A worker process; `next`: the endpoint that it may forward to.
int serve(const std::vector<std::string>& next) {
  WorkerOptions options;
  options.stage.threads = 1;
  options.forward_to = next;
  const auto worker = Worker::create(options);
  for (const char* name : networks) worker->add_model(name, bench::load_model(bench::network_named(name)));
  std::printf("%s\n", worker->serve(TransportRegistry::with_defaults(), "tcp://127.0.0.1:0").c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

/// All three machines are this one; what makes them differ is what they can hold, as much as makes the best plan need
/// all of them.
Plan plan_for_three(PlanningProblem& problem, const IsLegal& is_legal) {
  Constraints constraints;
  constraints.min_head_layers = 1;  // The picture stays on the device.
  const Plan unbounded = plan_tiers(problem, Objective::latency, constraints, is_legal);
  const auto whole_bytes = static_cast<double>(unbounded.device_only->cost.stages.front().memory_bytes);
  for (double share = 0.95; share > 0; share -= 0.05) {
    problem.tiers[0].memory_bytes = static_cast<std::int64_t>(share * share * whole_bytes);
    for (const std::size_t tier : {1, 2}) {
      problem.tiers[tier].memory_bytes = static_cast<std::int64_t>(share * whole_bytes);
    }
    Plan plan = plan_tiers(problem, Objective::latency, constraints, is_legal);
    if (plan.chosen && plan.chosen->assignment.tiers.size() == 3) return plan;
  }
  throw std::runtime_error("no plan over three tiers");
}

nlohmann::json measure(const std::string& name, const std::string& edge, const std::string& cloud,
                       std::size_t requests) {
  const auto model = bench::load_model(bench::network_named(name));
  const auto registry = TransportRegistry::with_defaults();
  const std::vector<Value> inputs = model->example_inputs();
  const DeviceProfile profile = profile_device(*model, inputs, {.stage = {.threads = 1}});
  PlanningProblem problem;
  problem.graph = model->layers();
  problem.tiers = {{.name = "device", .profile = profile},
                   {.name = "edge", .profile = profile},
                   {.name = "cloud", .profile = profile}};
  // What the edge server will reach the cloud by is as far from here.
  problem.links = {{probe_link(*registry.connect(edge)), std::nullopt}, {probe_link(*registry.connect(cloud))}};
  const auto is_legal = [&](const auto& cuts) { return !model->refusal(cuts); };
  const Plan plan = plan_for_three(problem, is_legal);
  const Assignment& assignment = plan.chosen->assignment;
  SessionOptions options;
  options.workers = {edge, cloud};
  options.forward = true;
  for (const LayerSet& head : assignment.heads) options.cuts.push_back(Cut::of(head));
  options.model_name = name;
  options.threads = 1;
  options.finish_on_device = false;  // It could not hold the rest.
  const auto session = Session::open(model, options);
  const Value expected = run_stages(*model, model->split({}, {.threads = 1}), inputs);
  std::vector<double> latencies_s;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < requests; ++i) {
    const Answer answer = session->run(inputs);
    if (!bit_identical(answer.output, expected)) ++wrong;
    latencies_s.push_back(answer.times.total_s);
  }
  const double measured_s = bench::median(latencies_s);
  const double predicted_s = plan.chosen->cost.latency_s;
  const auto layer_name = [&](const LayerSet& head) { return model->layers().layers.at(head.back()).name; };
  std::printf("%-14s %-26s %-26s %10.1f %10.1f %+8.1f %% %6zu of %zu\n", name.c_str(),
              layer_name(assignment.heads[0]).c_str(), layer_name(assignment.heads[1]).c_str(), 1e3 * predicted_s,
              1e3 * measured_s, 1e2 * (predicted_s / measured_s - 1), wrong, requests);
  std::fflush(stdout);
  return {{"network", name},
          {"cuts", {layer_name(assignment.heads[0]), layer_name(assignment.heads[1])}},
          {"predicted_s", predicted_s},
          {"measured_s", measured_s},
          {"wrong", wrong},
          {"requests", requests}};
}

int run_all(std::size_t requests) {
  const bench::ChildProcess last({"--worker"});
  const std::string cloud = edge_to_cloud + last.read_line();
  const bench::ChildProcess middle({"--worker", cloud});
  const std::string edge = device_to_edge + middle.read_line();
  std::printf("%-14s %-26s %-26s %10s %10s %10s %s\n", "", "device: up to", "edge server: up to", "plan, ms",
              "median, ms", "error", "wrong");
  nlohmann::json results;
  double worst = 0;
  std::size_t wrong = 0;
  for (const char* name : networks) {
    results.push_back(measure(name, edge, cloud, requests));
    const nlohmann::json& result = results.back();
    worst = std::max(worst, std::abs(result["predicted_s"].get<double>() / result["measured_s"].get<double>() - 1));
    wrong += result["wrong"].get<std::size_t>();
  }
  std::ofstream("build/bench/three_tiers.json") << results.dump(1) << '\n';
  char figures[100];
  std::snprintf(figures, sizeof figures, "prediction_error_worst=%.3f wrong=%zu networks=%zu", worst, wrong,
                results.size());
  bench::print_headline("three_tiers", figures);
  return wrong == 0 ? 0 : 1;
}

constexpr const char* usage =
    "usage: bench_three_tiers [--requests N]\n"
    "  --requests N   inferences of each network (100)\n";

}  // namespace

int main(int argc, char** argv) try {
  if (argc >= 2 && std::strcmp(argv[1], "--worker") == 0) return serve({argv + 2, argv + argc});
  std::size_t requests = 100;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--requests" && i + 1 < argc) {
      requests = std::max(1UL, std::strtoul(argv[++i], nullptr, 10));
    } else if (argument == "--help") {
      std::fputs(usage, stdout);
      return 0;
    } else if (argument.rfind("--benchmark_", 0) != 0) {  // Those are for the other programs of scripts/bench.
      std::fputs(usage, stderr);
      return 2;
    }
  }
  return run_all(requests);
} catch (const std::exception& error) {
  std::fprintf(stderr, "three_tiers: %s\n", error.what());
  return 1;
}
