// SPDX-License-Identifier: Apache-2.0
#include "value_class.hpp"

#include <set>

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

py::arg_v shown_default(const char* name, py::object value) {
  const py::object type = py::type::of(value);
  const std::string type_name = py::str(type.attr("__name__"));
  const std::string module = py::str(type.attr("__module__"));
  std::string text = py::repr(value);
  if (py::isinstance(value, py::module_::import("enum").attr("Enum"))) {
    text = type_name + "." + py::str(value.attr("name")).cast<std::string>();
  } else if (module != "builtins") {
    text = type_name + "()";
  } else if (text.find_first_of("<(") != std::string::npos) {
    text = "...";  // A list of such values.
  }
  // The argument refers to its text until the function is bound, and does not own it.
  static std::set<std::string> texts;
  return py::arg_v(name, std::move(value), texts.insert(std::move(text)).first->c_str());
}

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
