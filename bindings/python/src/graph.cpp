// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "bindings.hpp"
#include "splitnet/cut.hpp"
#include "splitnet/layer_graph.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

using CutSource = std::variant<std::size_t, std::string, std::vector<std::size_t>>;

struct CutFrom {
  Cut operator()(std::size_t index) const { return Cut::after_index(index); }
  Cut operator()(const std::string& name) const { return Cut::after(name); }
  Cut operator()(const std::vector<std::size_t>& layers) const { return Cut::of(layers); }
};

void register_cut(py::module_& module) {
  py::class_<Cut> cut(module, "Cut", doc("Cut"));
  cut.def(py::init([](const CutSource& source) { return std::visit(CutFrom{}, source); }), py::arg("after"),
          "After the layers of a module path or a layer's name (`str`), after the layer of this number (`int`), or "
          "after "
          "exactly these layers (`list[int]`). Where a cut is expected, these can stand without `Cut`.")
      .def_static("after", &Cut::after, py::arg("name"), doc("Cut::after"))
      .def_static("after_index", &Cut::after_index, py::arg("index"), doc("Cut::after_index"))
      .def_static("of", &Cut::of, py::arg("layers"), doc("Cut::of"))
      .def_static("at_input", &Cut::at_input, doc("Cut::at_input"))
      .def("__eq__", &is_equal<Cut>, py::arg("other"))
      .def("__str__", [](const Cut& self) { return to_string(self); })
      .def("__repr__", [](const Cut& self) { return "<Cut " + to_string(self) + ">"; });
  py::implicitly_convertible<py::int_, Cut>();
  py::implicitly_convertible<py::str, Cut>();
  py::implicitly_convertible<py::list, Cut>();
}

}  // namespace

void register_graph(py::module_& module) {
  register_cut(module);
  value_class<Layer>(module, "Layer", field("name", &Layer::name), field("module_path", &Layer::module_path),
                     field("operator_name", &Layer::operator_name), field("control_flow", &Layer::control_flow),
                     field("parameter_bytes", &Layer::parameter_bytes), field("flops", &Layer::flops));
  value_class<GraphValue>(module, "GraphValue", field("producer", &GraphValue::producer),
                          field("consumers", &GraphValue::consumers), field("is_output", &GraphValue::is_output),
                          field("type", &GraphValue::type), field("dtype", &GraphValue::dtype),
                          field("sizes", &GraphValue::sizes), field("bytes", &GraphValue::bytes));
  value_class<OrderEdge>(module, "OrderEdge", field("from_layer", &OrderEdge::from), field("to_layer", &OrderEdge::to));
  auto graph = value_class<LayerGraph>(module, "LayerGraph", field("fingerprint", &LayerGraph::fingerprint),
                                       field("layers", &LayerGraph::layers), field("values", &LayerGraph::values),
                                       field("order_edges", &LayerGraph::order_edges));
  graph.def("resolve", &LayerGraph::resolve, py::arg("cut"), doc("LayerGraph::resolve"))
      .def("predecessors", &LayerGraph::predecessors, py::arg("layer"), doc("LayerGraph::predecessors"));
  show_as(graph, [](const LayerGraph& self) {
    return "<LayerGraph of " + std::to_string(self.layers.size()) + " layers, fingerprint " + self.fingerprint + ">";
  });
}

}  // namespace splitnet::python
