// SPDX-License-Identifier: Apache-2.0
/// \file
/// Plain values of the library as classes in Python: made with keywords, read-only, compared by what they hold.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/native_enum.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "callback.hpp"
#include "default_registry.hpp"
#include "docs.hpp"
#include "seconds.hpp"
#include "value_caster.hpp"

namespace splitnet::python {

namespace py = pybind11;

/// An attribute: its name in Python, and the member behind it.
template <class T, class Member>
struct Field {
  const char* name;
  Member T::*member;
};

template <class T, class Member>
Field<T, Member> field(const char* name, Member T::*member) {
  return {name, member};
}

/// What a member is in Python: durations are seconds, everything else is itself.
template <class Member>
struct Seen {
  using Type = Member;
  static const Member& to_python(const Member& member) { return member; }
  static Member from_python(Member&& value) { return std::move(value); }
};
template <>
struct Seen<std::chrono::nanoseconds> {
  using Type = double;
  static double to_python(std::chrono::nanoseconds member) { return to_seconds(member); }
  static std::chrono::nanoseconds from_python(double value) { return from_seconds(value); }
};
template <>
struct Seen<std::optional<std::chrono::nanoseconds>> {
  using Type = std::optional<double>;
  static Type to_python(const std::optional<std::chrono::nanoseconds>& member) {
    return member ? Type(to_seconds(*member)) : std::nullopt;
  }
  static std::optional<std::chrono::nanoseconds> from_python(Type value) { return from_seconds(value); }
};

/// Members of these classes are empty unless Python gave something.
template <class Signature>
struct Seen<std::function<Signature>> {
  using Type = std::optional<py::typing::Callable<Signature>>;
  static Type to_python(const std::function<Signature>& member) {
    const auto* const callback = member.template target<Callback<Signature>>();
    return callback == nullptr ? std::nullopt : Type(callback->object());
  }
  static std::function<Signature> from_python(Type value) {
    return value ? std::function<Signature>(Callback<Signature>(*std::move(value))) : nullptr;
  }
};

/// None stands for an object that is not there.
template <class T>
requires(!std::is_const_v<T>) struct Seen<std::shared_ptr<T>> {
  using Type = std::optional<std::shared_ptr<T>>;
  static Type to_python(const std::shared_ptr<T>& member) { return member ? Type(member) : std::nullopt; }
  static std::shared_ptr<T> from_python(Type value) { return value ? *std::move(value) : nullptr; }
};

/// What the header says of the member: `pause_s` of Python is `pause` of C++. Nothing where the name says it all.
const char* doc_of_field(std::string_view class_name, std::string_view field_name);

/// An argument with a default, which signatures show as Python writes it: `3`, `Reason.fixed`, `StageOptions()`.
py::arg_v shown_default(const char* name, py::object value);
template <class T>
py::arg_v shown_default(const char* name, T&& value) {
  return shown_default(name, py::cast(std::forward<T>(value)));
}

/// What a member has where Python says nothing.
template <class Member>
const Member& default_of(const Member& in_cpp) {
  return in_cpp;
}
inline const TransportRegistry& default_of(const TransportRegistry&) {
  return default_registry();
}

/// Equality in Python: with something of another kind it is for the other side to say.
template <class T>
py::object is_equal(const T& self, const py::object& other) {
  if (!py::isinstance<T>(other)) return py::reinterpret_borrow<py::object>(Py_NotImplemented);
  return py::bool_(self == other.cast<const T&>());
}

/// `__repr__` (a call that makes an equal one, in one line), `replace` and `__reduce__` (for copies and pickles), all
/// by the names of its attributes.
void add_methods_of_values(py::handle type, std::vector<std::string> field_names);

/// What a class is called: in C++ it may stand inside another one.
struct ClassName {
  const char* in_python;
  const char* in_cpp;
  ClassName(const char* name) : in_python(name), in_cpp(name) {}  // NOLINT(google-explicit-constructor)
  ClassName(const char* python, const char* cpp) : in_python(python), in_cpp(cpp) {}
};

/// Binds T, whose default value is what its constructor in Python gives without arguments. The attributes are
/// read-only, because those that hold lists are copies: `replace` makes a changed value.
template <class T, class... Members>
py::class_<T> value_class(py::module_& module, const ClassName& name, Field<T, Members>... fields) {
  py::class_<T> type(module, name.in_python, doc(name.in_cpp));
  const T defaults{};
  type.def(py::init([fields...](typename Seen<Members>::Type... values) {
             T result{};
             ((result.*(fields.member) = Seen<Members>::from_python(std::move(values))), ...);
             return result;
           }),
           py::kw_only(),
           shown_default(fields.name, Seen<Members>::to_python(default_of(defaults.*(fields.member))))...);
  (type.def_property_readonly(
       fields.name,
       [member = fields.member](const T& value) ->
       typename Seen<Members>::Type { return Seen<Members>::to_python(value.*member); },
       doc_of_field(name.in_cpp, fields.name)),
   ...);
  if constexpr (std::equality_comparable<T>) {
    type.def("__eq__", &is_equal<T>, py::arg("other"));
  }
  add_methods_of_values(type, {fields.name...});
  return type;
}

/// Another `__repr__`, for values too large to be shown whole: a function that gives a string.
template <class T, class Text>
void show_as(py::class_<T>& type, Text text) {
  type.attr("__repr__") = py::cpp_function(std::move(text), py::name("__repr__"), py::is_method(type));
}

}  // namespace splitnet::python
