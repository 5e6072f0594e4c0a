// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "splitnet/codec.hpp"
#include "splitnet/encoded_picture.hpp"
#include "splitnet/refinement.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

EncodedPicture picture_of(const py::bytes& file, const std::string& pixels) {
  const std::string_view text = file;
  return EncodedPicture::of(std::as_bytes(std::span(text.data(), text.size())), pixels);
}

void register_pictures(py::module_& module) {
  py::class_<EncodedPicture>(module, "EncodedPicture", doc("EncodedPicture"))
      .def(py::init(&picture_of), py::arg("file"), py::arg("pixels"), doc("EncodedPicture::of"))
      .def_readonly("codec", &EncodedPicture::codec, doc("EncodedPicture::codec"))
      .def_readonly("width", &EncodedPicture::width, "In pixels, as the file's header has it.")
      .def_readonly("height", &EncodedPicture::height, "In pixels, as the file's header has it.")
      .def_readonly("channels", &EncodedPicture::channels, doc("EncodedPicture::channels"))
      .def_property_readonly(
          "file",
          [](const EncodedPicture& self) {
            return py::bytes(reinterpret_cast<const char*>(self.file.data()), self.file.packed_bytes());
          },
          doc("EncodedPicture::file"))
      .def_property_readonly(
          "file_bytes", [](const EncodedPicture& self) { return self.file.packed_bytes(); }, "Of the file.")
      .def("decode", &EncodedPicture::decode, py::arg("wanted_channels"), py::call_guard<py::gil_scoped_release>(),
           doc("EncodedPicture::decode"));
}

void register_registry(py::module_& module) {
  py::class_<Codec, std::shared_ptr<Codec>>(module, "Codec", doc("Codec"))
      .def_property_readonly("only_inputs", &Codec::only_inputs, doc("Codec::only_inputs"))
      .def("takes", &Codec::takes, py::arg("tensor"), doc("Codec::takes"))
      .def("max_coded_bytes", &Codec::max_coded_bytes, py::arg("tensor"), doc("Codec::max_coded_bytes"));
  py::class_<CodecRegistry>(module, "CodecRegistry", doc("CodecRegistry"))
      .def(py::init(&CodecRegistry::with_defaults), doc("CodecRegistry::with_defaults"))
      .def("names", &CodecRegistry::names, doc("CodecRegistry::names"))
      .def(
          "make",
          [](const CodecRegistry& self, const std::string& name, const CodecTables& tables) {
            return Seen<std::shared_ptr<Codec>>::to_python(std::const_pointer_cast<Codec>(self.make(name, tables)));
          },
          py::arg("name"), py::arg("tables") = py::none(), doc("CodecRegistry::make"))
      .def("__repr__", [](const CodecRegistry&) { return "CodecRegistry()"; });
  value_class<EncodedValues>(module, "EncodedValues", field("values", &EncodedValues::values),
                             field("kept_exact", &EncodedValues::kept_exact));
  module.def(
      "encode_values",
      [](const Codec& codec, std::vector<Value> values) { return encode_values(codec, std::move(values)); },
      py::arg("codec"), py::arg("values"), py::call_guard<py::gil_scoped_release>(), doc("encode_values"));
  module.def(
      "decode_values",
      [](const Codec& codec, std::vector<Value> values, std::size_t max_bytes) {
        return decode_values(codec, std::move(values), max_bytes);
      },
      py::arg("codec"), py::arg("values"), py::arg("max_bytes") = std::size_t{1} << 30,
      py::call_guard<py::gil_scoped_release>(), doc("decode_values"));
}

}  // namespace

void register_codecs(py::module_& module) {
  register_pictures(module);
  register_registry(module);
  py::native_enum<OutputKind>(module, "OutputKind", "enum.Enum", doc("OutputKind"))
      .value("logits", OutputKind::logits, doc("OutputKind::logits"))
      .value("probabilities", OutputKind::probabilities, doc("OutputKind::probabilities"))
      .value("embedding", OutputKind::embedding, doc("OutputKind::embedding"))
      .value("numbers", OutputKind::numbers, doc("OutputKind::numbers"))
      .finalize();
  value_class<Refinement>(module, "Refinement", field("first_codec", &Refinement::first_codec),
                          field("second_codec", &Refinement::second_codec),
                          field("min_margin_nat", &Refinement::min_margin_nat), field("output", &Refinement::output),
                          field("output_slot", &Refinement::output_slot))
      .def_property_readonly("name", &Refinement::name, doc("Refinement::name"))
      .def("validate", &Refinement::validate, doc("Refinement::validate"));
  module.def("margin_nat", &margin_nat, py::arg("output"), py::arg("kind"), doc("margin_nat"));
}

}  // namespace splitnet::python
