// SPDX-License-Identifier: Apache-2.0
#include "value_class.hpp"

namespace splitnet::python {
namespace {

std::string text_of(const py::handle& self, const std::vector<std::string>& names) {
  std::string text = py::str(py::type::of(self).attr("__name__")).cast<std::string>() + "(";
  const char* separator = "";
  for (const std::string& name : names) {
    text += separator + name + "=" + py::repr(self.attr(name.c_str())).cast<std::string>();
    separator = ", ";
  }
  return text + ")";
}

py::dict attributes_of(const py::handle& self, const std::vector<std::string>& names) {
  py::dict attributes;
  for (const std::string& name : names) attributes[name.c_str()] = self.attr(name.c_str());
  return attributes;
}

}  // namespace

const char* doc_of_field(std::string_view class_name, std::string_view field_name) {
  const auto find = [&](std::string_view member) -> const char* {
    const auto found = header_docs().find(std::string(class_name) + "::" + std::string(member));
    return found == header_docs().end() ? nullptr : found->second;
  };
  if (const char* const text = find(field_name)) return text;
  if (field_name.ends_with("_s")) {
    if (const char* const text = find(field_name.substr(0, field_name.size() - 2))) return text;
  }
  return "";
}

void add_methods_of_values(py::handle type, std::vector<std::string> field_names) {
  const auto add = [&](const char* name, auto function, auto... extra) {
    type.attr(name) = py::cpp_function(std::move(function), py::name(name), py::is_method(type), extra...);
  };
  add("__repr__", [field_names](const py::object& self) { return text_of(self, field_names); });
  add(
      "replace",
      [field_names](const py::object& self, const py::kwargs& changes) {
        py::dict attributes = attributes_of(self, field_names);
        for (const auto& [name, value] : changes) attributes[name] = value;
        return py::type::of(self)(**attributes);
      },
      py::doc("A copy in which the attributes named have other values."));
  add("__reduce__", [field_names](const py::object& self) {
    const auto partial = py::module_::import("functools").attr("partial");
    return py::make_tuple(partial(py::type::of(self), **attributes_of(self, field_names)), py::tuple());
  });
}

}  // namespace splitnet::python
