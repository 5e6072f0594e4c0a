// SPDX-License-Identifier: Apache-2.0
#include "splitnet/cost_model.hpp"

#include <string>
#include <utility>

#include "bindings.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

void register_tier(py::module_& module) {
  value_class<DevicePower>(module, "DevicePower", field("compute_watt", &DevicePower::compute_watt),
                           field("transmit_watt", &DevicePower::transmit_watt),
                           field("idle_watt", &DevicePower::idle_watt));
  value_class<Price>(module, "Price", field("request_dollar", &Price::request_dollar),
                     field("gigabyte_second_dollar", &Price::gigabyte_second_dollar),
                     field("memory_gigabyte", &Price::memory_gigabyte), field("billing_unit_s", &Price::billing_unit_s),
                     field("egress_dollar_per_byte", &Price::egress_dollar_per_byte),
                     field("billed_overhead_s", &Price::billed_overhead_s),
                     field("billed_s_per_byte", &Price::billed_s_per_byte));
  value_class<Tier>(module, "Tier", field("name", &Tier::name), field("profile", &Tier::profile),
                    field("load_factor", &Tier::load_factor), field("memory_bytes", &Tier::memory_bytes),
                    field("price", &Tier::price), field("cold_start_probability", &Tier::cold_start_probability),
                    field("cold_start_s", &Tier::cold_start_s),
                    field("cold_start_billed_s", &Tier::cold_start_billed_s),
                    field("queue_wait_s", &Tier::queue_wait_s));
}

void register_problem(py::module_& module) {
  using C = CodecProfile;
  value_class<C>(module, "CodecProfile", field("name", &C::name), field("ratio", &C::ratio),
                 field("accuracy_loss", &C::accuracy_loss), field("only_inputs", &C::only_inputs),
                 field("head", &C::head), field("tables", &C::tables), field("inputs_arrive", &C::inputs_arrive),
                 field("refinement", &C::refinement), field("refined_share", &C::refined_share));
  value_class<LeakageProfile>(module, "LeakageProfile", field("head", &LeakageProfile::head),
                              field("codec", &LeakageProfile::codec), field("psnr_db", &LeakageProfile::psnr_db));
  using P = PlanningProblem;
  auto problem = value_class<P>(module, "PlanningProblem", field("graph", &P::graph), field("tiers", &P::tiers),
                                field("links", &P::links), field("codecs", &P::codecs), field("power", &P::power),
                                field("leakages", &P::leakages));
  problem
      .def_static("two_tier", &P::two_tier, py::arg("graph"), py::arg("device"), py::arg("worker"), py::arg("link"),
                  doc("PlanningProblem::two_tier"))
      .def("validate", &P::validate, doc("PlanningProblem::validate"));
  show_as(problem, [](const P& self) {
    return "<PlanningProblem of " + std::to_string(self.graph.layers.size()) + " layers, " +
           std::to_string(self.tiers.size()) + " tiers and " + std::to_string(self.codecs.size()) + " codecs>";
  });
}

void register_cost(py::module_& module) {
  using S = StageCost;
  value_class<S>(module, "StageCost", field("tier", &S::tier), field("compute_s", &S::compute_s),
                 field("memory_bytes", &S::memory_bytes), field("busy_s", &S::busy_s),
                 field("input_decode_s", &S::input_decode_s));
  using H = HopCost;
  value_class<H>(module, "HopCost", field("encode_s", &H::encode_s), field("overhead_s", &H::overhead_s),
                 field("rtt_s", &H::rtt_s), field("up_s", &H::up_s), field("decode_s", &H::decode_s),
                 field("down_s", &H::down_s), field("raw_bytes", &H::raw_bytes), field("bytes_up", &H::bytes_up),
                 field("bytes_down", &H::bytes_down));
  value_class<Cost>(module, "Cost", field("stages", &Cost::stages), field("hops", &Cost::hops),
                    field("start_s", &Cost::start_s), field("latency_s", &Cost::latency_s),
                    field("period_s", &Cost::period_s), field("energy_joule", &Cost::energy_joule),
                    field("dollars", &Cost::dollars), field("accuracy_loss", &Cost::accuracy_loss));
  value_class<Assignment>(module, "Assignment", field("tiers", &Assignment::tiers), field("heads", &Assignment::heads),
                          field("codecs", &Assignment::codecs));
  module.def("cost_of", &cost_of, py::arg("problem"), py::arg("assignment"), doc("cost_of"));
}

}  // namespace

void register_cost_model(py::module_& module) {
  register_tier(module);
  register_problem(module);
  register_cost(module);
}

}  // namespace splitnet::python
