// SPDX-License-Identifier: Apache-2.0
#include "splitnet/model.hpp"

#include <torch/script.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/partitioner.hpp"
#include "splitnet/torch_stage.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

using Released = py::call_guard<py::gil_scoped_release>;

/// Holders in Python are of types that are not const; nothing of a Model or Stage changes all the same.
std::shared_ptr<Model> held(std::shared_ptr<const Model> model) {
  return std::const_pointer_cast<Model>(std::move(model));
}

std::vector<std::shared_ptr<Stage>> held(std::vector<std::unique_ptr<Stage>> stages) {
  return {std::make_move_iterator(stages.begin()), std::make_move_iterator(stages.end())};
}

/// Frees the GIL itself: what pybind11 does with a new object needs it.
std::shared_ptr<Model> load(const std::string& path, std::vector<Value> example_inputs,
                            std::vector<std::size_t> bind_inputs) {
  const py::gil_scoped_release released;
  return held(Partitioner::load(path, std::move(example_inputs), {std::move(bind_inputs)}));
}

/// A torch.jit.ScriptModule holds the module of C++ as `_c`.
std::shared_ptr<Model> from_module(const py::object& script_module, std::vector<Value> example_inputs,
                                   std::vector<std::size_t> bind_inputs) {
  const auto module = script_module.attr("_c").cast<torch::jit::Module>();
  const py::gil_scoped_release released;
  return held(Partitioner::from_module(module, std::move(example_inputs), {std::move(bind_inputs)}));
}

void register_stage(py::module_& module) {
  value_class<StageValue>(module, "StageValue", field("id", &StageValue::id), field("type", &StageValue::type));
  using I = StageInfo;
  value_class<I>(module, "StageInfo", field("fingerprint", &I::fingerprint), field("index", &I::index),
                 field("stage_count", &I::stage_count), field("inputs", &I::inputs), field("outputs", &I::outputs),
                 field("boundary_count", &I::boundary_count), field("result_slots", &I::result_slots),
                 field("parameter_bytes", &I::parameter_bytes));
  value_class<StageOptions>(module, "StageOptions", field("threads", &StageOptions::threads));
  value_class<StageKey>(module, "StageKey", field("cuts", &StageKey::cuts), field("index", &StageKey::index));
  py::class_<Stage, std::shared_ptr<Stage>>(module, "Stage", doc("Stage"))
      .def_property_readonly("info", &Stage::info, "What it takes and gives.")
      .def("run", &Stage::run, py::arg("inputs"), Released(), doc("Stage::run"))
      .def("save", &Stage::save, py::arg("path"), Released(), doc("Stage::save"))
      .def("__repr__", [](const Stage& self) {
        const StageInfo& info = self.info();
        return "<Stage " + std::to_string(info.index + 1) + " of " + std::to_string(info.stage_count) + ", " +
               std::to_string(info.inputs.size()) + " values in, " + std::to_string(info.outputs.size()) + " out>";
      });
  module.def(
      "load_stage",
      [](const std::string& path, const StageOptions& options) {
        return std::shared_ptr<Stage>(load_stage(path, options));
      },
      py::arg("path"), shown_default("options", StageOptions{}), Released(), doc("load_stage"));
}

void register_refusal(py::module_& module) {
  py::native_enum<RefusalReason>(module, "RefusalReason", "enum.Enum", doc("RefusalReason"))
      .value("value_cannot_travel", RefusalReason::value_cannot_travel, doc("RefusalReason::value_cannot_travel"))
      .value("shared_container_written", RefusalReason::shared_container_written,
             doc("RefusalReason::shared_container_written"))
      .value("random_numbers_after_cut", RefusalReason::random_numbers_after_cut,
             doc("RefusalReason::random_numbers_after_cut"))
      .finalize();
  value_class<Refusal>(module, "Refusal", field("reason", &Refusal::reason), field("detail", &Refusal::detail));
}

void register_model_itself(py::module_& module) {
  py::class_<Model, std::shared_ptr<Model>>(module, "Model", doc("Model"))
      .def(py::init(&load), py::arg("path"), shown_default("example_inputs", std::vector<Value>{}),
           shown_default("bind_inputs", std::vector<std::size_t>{}), doc("Partitioner::load"))
      .def(py::init(&from_module), py::arg("script_module"), shown_default("example_inputs", std::vector<Value>{}),
           shown_default("bind_inputs", std::vector<std::size_t>{}), doc("Partitioner::from_module"))
      .def_property_readonly("layers", &Model::layers, "Layers, the values between them, and the order they need.")
      .def_property_readonly("fingerprint", &Model::fingerprint, doc("Model::fingerprint"))
      .def_property_readonly("framework", &Model::framework, doc("Model::framework"))
      .def_property_readonly("example_inputs", &Model::example_inputs, doc("Model::example_inputs"))
      .def("refusal", &Model::refusal, py::arg("cuts"), doc("Model::refusal"))
      .def(
          "make_stage",
          [](const Model& self, const StageKey& key, const StageOptions& options) {
            return std::shared_ptr<Stage>(self.make_stage(key, options));
          },
          py::arg("key"), shown_default("options", StageOptions{}), Released(), doc("Model::make_stage"))
      .def(
          "stages",
          [](const Model& self, const std::vector<Cut>& cuts, const StageOptions& options) {
            return held(self.split(cuts, options));
          },
          py::arg("cuts"), shown_default("options", StageOptions{}), Released(), doc("Model::split"))
      .def(
          "run_stages",
          [](const Model& self, const std::vector<Cut>& cuts, std::vector<Value> inputs, const StageOptions& options) {
            return run_stages(self, self.split(cuts, options), std::move(inputs));
          },
          py::arg("cuts"), py::arg("inputs"), shown_default("options", StageOptions{}), Released(),
          "Cuts, and runs the stages one after the other in this process: what the uncut model gives.")
      .def(
          "assemble",
          [](const Model& self, const std::vector<Value>& slots) { return self.result_shape().assemble(slots); },
          py::arg("slots"),
          "The model's result from the values that its stages gave, by result slot (StageInfo.result_slots): for those "
          "who run stages themselves. Raises Internal when a slot is missing.")
      .def("time_layers", &Model::time_layers, py::arg("inputs"), py::arg("passes"),
           shown_default("options", StageOptions{}), Released(), doc("Model::time_layers"))
      .def(
          "example_boundary",
          [](const Model& self, const StageKey& key, const StageOptions& options) {
            return example_boundary(self, key, options);
          },
          py::arg("key"), shown_default("options", StageOptions{}), Released(), doc("example_boundary"));
}

}  // namespace

void register_model(py::module_& module) {
  register_stage(module);
  register_refusal(module);
  value_class<LayerTimings>(module, "LayerTimings", field("layer_s", &LayerTimings::layer_s),
                            field("peak_bytes", &LayerTimings::peak_bytes), field("pass_s", &LayerTimings::pass_s));
  register_model_itself(module);
}

}  // namespace splitnet::python
