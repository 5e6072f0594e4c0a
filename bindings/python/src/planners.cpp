// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "optional_is_legal.hpp"
#include "splitnet/planner.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

using Released = py::call_guard<py::gil_scoped_release>;

void register_plan(py::module_& module) {
  py::native_enum<Objective>(module, "Objective", "enum.Enum", doc("Objective"))
      .value("latency", Objective::latency, doc("Objective::latency"))
      .value("throughput", Objective::throughput, doc("Objective::throughput"))
      .value("energy", Objective::energy, doc("Objective::energy"))
      .value("dollars", Objective::dollars, doc("Objective::dollars"))
      .finalize();
  module.def("value_of", &value_of, py::arg("cost"), py::arg("objective"), doc("value_of"));
  using C = Constraints;
  value_class<C>(module, "Constraints", field("max_latency_s", &C::max_latency_s),
                 field("max_period_s", &C::max_period_s), field("max_energy_joule", &C::max_energy_joule),
                 field("max_dollars", &C::max_dollars), field("max_accuracy_loss", &C::max_accuracy_loss),
                 field("min_head_layers", &C::min_head_layers), field("max_leakage_psnr_db", &C::max_leakage_psnr_db))
      .def("validate", &C::validate, doc("Constraints::validate"));
  value_class<Candidate>(module, "Candidate", field("assignment", &Candidate::assignment),
                         field("cost", &Candidate::cost), field("violates", &Candidate::violates));
  auto plan = value_class<Plan>(module, "Plan", field("objective", &Plan::objective), field("chosen", &Plan::chosen),
                                field("infeasible", &Plan::infeasible), field("candidates", &Plan::candidates),
                                field("gap", &Plan::gap), field("device_only", &Plan::device_only),
                                field("worker_only", &Plan::worker_only),
                                field("worker_only_compressed", &Plan::worker_only_compressed));
  plan.def("explain", &Plan::explain, py::arg("problem"), py::arg("rows") = 20, doc("Plan::explain"));
  show_as(plan, [](const Plan& self) {
    return "<Plan for " + std::string(to_string(self.objective)) + ", chosen of " +
           std::to_string(self.candidates.size()) + " candidates>";
  });
}

void register_sequential_planner(py::module_& module) {
  using P = SequentialPlanner;
  value_class<P::Conditions>(module, {"Conditions", "SequentialPlanner::Conditions"},
                             field("link", &P::Conditions::link),
                             field("device_load_factor", &P::Conditions::device_load_factor),
                             field("worker_load_factor", &P::Conditions::worker_load_factor));
  value_class<P::Choice>(module, {"Choice", "SequentialPlanner::Choice"}, field("head_layers", &P::Choice::head_layers),
                         field("codec", &P::Choice::codec), field("value", &P::Choice::value));
  value_class<P::Computing>(module, {"Computing", "SequentialPlanner::Computing"},
                            field("head_s", &P::Computing::head_s), field("tail_s", &P::Computing::tail_s));
  py::class_<P>(module, "SequentialPlanner", doc("SequentialPlanner"))
      .def(py::init([](PlanningProblem problem, OptionalIsLegal is_legal) {
             return P(std::move(problem), or_all(std::move(is_legal)));
           }),
           py::arg("problem"), py::arg("is_legal") = py::none(), doc("SequentialPlanner::SequentialPlanner"))
      .def("choose", &P::choose, py::arg("objective"), py::arg("constraints"), py::arg("conditions"),
           doc("SequentialPlanner::choose"))
      .def("value", &P::value, py::arg("head_layers"), py::arg("codec"), py::arg("objective"), py::arg("conditions"),
           doc("SequentialPlanner::value"))
      .def("keeps_to", &P::keeps_to, py::arg("head_layers"), py::arg("codec"), py::arg("constraints"),
           py::arg("conditions"), doc("SequentialPlanner::keeps_to"))
      .def("computing_s", &P::computing_s, py::arg("head_layers"), doc("SequentialPlanner::Computing"))
      .def("plan", &P::plan, py::arg("objective"), shown_default("constraints", Constraints{}), Released(),
           doc("SequentialPlanner::plan"));
}

}  // namespace

void register_planners(py::module_& module) {
  register_plan(module);
  register_sequential_planner(module);
  value_class<DagOptions>(module, "DagOptions", field("exact_layers", &DagOptions::exact_layers),
                          field("relaxation_steps", &DagOptions::relaxation_steps));
  const auto constraints = [] { return shown_default("constraints", Constraints{}); };
  module.def(
      "plan_dag",
      [](const PlanningProblem& problem, Objective objective, const Constraints& bounds, OptionalIsLegal is_legal,
         const DagOptions& options) {
        return plan_dag(problem, objective, bounds, or_all(std::move(is_legal)), options);
      },
      py::arg("problem"), py::arg("objective"), constraints(), py::arg("is_legal") = py::none(),
      shown_default("options", DagOptions{}), Released(), doc("plan_dag"));
  module.def(
      "plan_tiers",
      [](const PlanningProblem& problem, Objective objective, const Constraints& bounds, OptionalIsLegal is_legal) {
        return plan_tiers(problem, objective, bounds, or_all(std::move(is_legal)));
      },
      py::arg("problem"), py::arg("objective"), constraints(), py::arg("is_legal") = py::none(), Released(),
      doc("plan_tiers"));
  module.def(
      "pareto_front",
      [](const PlanningProblem& problem, const std::vector<Objective>& objectives, const Constraints& bounds,
         OptionalIsLegal is_legal) { return pareto_front(problem, objectives, bounds, or_all(std::move(is_legal))); },
      py::arg("problem"), py::arg("objectives"), constraints(), py::arg("is_legal") = py::none(), Released(),
      doc("pareto_front"));
}

}  // namespace splitnet::python
