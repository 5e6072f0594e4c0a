// SPDX-License-Identifier: Apache-2.0
#include "policies.hpp"

#include <memory>
#include <utility>

#include "bindings.hpp"
#include "optional_is_legal.hpp"
#include "released.hpp"
#include "splitnet/adaptive_policy.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

/// An object of Python with `decide` and `learn`. What they raise goes to sys.unraisablehook, since policies must not
/// throw; the inference then runs on the device.
class PythonPolicy : public Policy {
 public:
  PythonPolicy(py::object object, std::size_t layer_count)
      : object_(kept_object(std::move(object))), layer_count_(layer_count) {}

  [[nodiscard]] Decision decide(const Situation& situation) override {
    const py::gil_scoped_acquire acquired;
    try {
      return object_->attr("decide")(situation).cast<Decision>();
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("Policy.decide");
    } catch (const py::cast_error&) {
      PyErr_SetString(PyExc_TypeError, "Policy.decide: expected it to return a Decision");
      PyErr_WriteUnraisable(object_->ptr());
    }
    return {{.head_layers = layer_count_}, Reason::fixed};
  }
  void learn(const Outcome& outcome) override {
    const py::gil_scoped_acquire acquired;
    try {
      object_->attr("learn")(outcome);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("Policy.learn");
    }
  }

 private:
  const std::shared_ptr<py::object> object_;
  const std::size_t layer_count_;
};

PolicyFactory python_factory(const py::object& factory) {
  return [factory = kept_object(factory)](const PlanningProblem& problem, const IsLegal& is_legal, Objective objective,
                                          const Constraints& constraints) -> std::unique_ptr<Policy> {
    const py::gil_scoped_acquire acquired;
    return std::make_unique<PythonPolicy>((*factory)(problem, is_legal, objective, constraints),
                                          problem.graph.layers.size());
  };
}

void register_decisions(py::module_& module) {
  using S = Situation;
  value_class<S>(module, "Situation", field("now_s", &S::now_s), field("time_left_s", &S::time_left_s),
                 field("in_flight", &S::in_flight), field("bytes_under_way", &S::bytes_under_way),
                 field("worker_answers", &S::worker_answers), field("device_may_finish", &S::device_may_finish));
  py::native_enum<Reason>(module, "Reason", "enum.Enum", doc("Reason"))
      .value("fixed", Reason::fixed, doc("Reason::fixed"))
      .value("best", Reason::best, doc("Reason::best"))
      .value("not_worth_it", Reason::not_worth_it, doc("Reason::not_worth_it"))
      .value("switched", Reason::switched, doc("Reason::switched"))
      .value("raced", Reason::raced, doc("Reason::raced"))
      .value("worker_missing", Reason::worker_missing, doc("Reason::worker_missing"))
      .value("worker_tried", Reason::worker_tried, doc("Reason::worker_tried"))
      .value("not_ready", Reason::not_ready, doc("Reason::not_ready"))
      .finalize();
  using D = Decision;
  value_class<D>(module, "Decision", field("choice", &D::choice), field("reason", &D::reason),
                 field("best_value", &D::best_value), field("hedge_after_s", &D::hedge_after_s),
                 field("probe_bytes", &D::probe_bytes));
  using O = Outcome;
  value_class<O>(module, "Outcome", field("ended_s", &O::ended_s), field("head_layers", &O::head_layers),
                 field("codec", &O::codec), field("head_s", &O::head_s), field("tail_s", &O::tail_s),
                 field("queue_s", &O::queue_s), field("transport_s", &O::transport_s), field("bytes_up", &O::bytes_up),
                 field("bytes_down", &O::bytes_down), field("hedge_s", &O::hedge_s),
                 field("is_under_way", &O::is_under_way));
}

}  // namespace

PolicyFactory policy_factory(const py::object& policy) {
  if (policy.is_none()) return {};
  if (py::isinstance<AdaptiveOptions>(policy)) return adaptive_policy(policy.cast<AdaptiveOptions>());
  if (!PyCallable_Check(policy.ptr())) {
    throw Error(ErrorCode::invalid_argument,
                "policy: found " + std::string(py::repr(policy)) +
                    ", expected None, AdaptiveOptions, or a function (problem, is_legal, objective, constraints) that "
                    "makes a Policy");
  }
  return python_factory(policy);
}

void register_policies(py::module_& module) {
  register_decisions(module);
  using O = AdaptiveOptions;
  value_class<O>(module, "AdaptiveOptions", field("link", &O::link), field("switching_gain", &O::switching_gain),
                 field("probe_after_s", &O::probe_after_s), field("longest_probe_after_s", &O::longest_probe_after_s),
                 field("probe_s", &O::probe_s), field("hedge_share", &O::hedge_share),
                 field("race_gain", &O::race_gain))
      .def("validate", &O::validate, doc("AdaptiveOptions::validate"));
  using A = AdaptivePolicy;
  py::class_<A>(module, "AdaptivePolicy", doc("AdaptivePolicy"))
      .def(py::init([](PlanningProblem problem, Objective objective, const Constraints& constraints,
                       OptionalIsLegal is_legal, const AdaptiveOptions& options) {
             return std::make_unique<A>(std::move(problem), objective, constraints, or_all(std::move(is_legal)),
                                        options);
           }),
           py::arg("problem"), py::arg("objective"), shown_default("constraints", Constraints{}),
           py::arg("is_legal") = py::none(), shown_default("options", AdaptiveOptions{}),
           doc("AdaptivePolicy::AdaptivePolicy"))
      .def("decide", &A::decide, py::arg("situation"), doc("Policy::decide"))
      .def("learn", &A::learn, py::arg("outcome"), "Takes in how an inference, or a probe, ended.")
      .def("conditions", &A::conditions, py::arg("now_s"), doc("AdaptivePolicy::conditions"));
}

}  // namespace splitnet::python
