// SPDX-License-Identifier: Apache-2.0
/// \file
/// Everything that may cross a cut or enter and leave a model: tensors, scalars, strings, and
/// lists, tuples and dictionaries of them.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "splitnet/tensor.hpp"

namespace splitnet {

class Value;

/// Python's None, and an optional without a value.
struct None {
  friend bool operator==(None, None) { return true; }
};
/// A variable that no path of the program has set (early returns leave such ones behind). It may
/// travel, but nothing reads it.
struct Uninitialized {
  friend bool operator==(Uninitialized, Uninitialized) { return true; }
};
/// A homogeneous list; its element type is known to whoever receives it.
struct List {
  std::vector<Value> items;
};
/// A fixed number of values.
struct Tuple {
  std::vector<Value> items;
};
/// Keys are bool, integer, float or string; insertion order is kept.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
};

/// Specialise with `static Value make(const T&)` so that a `T` converts to a Value
/// (torch_tensor.hpp does so for at::Tensor and c10::IValue).
template <class T>
struct ValueTraits;

/// A plain value. Copies share tensor bytes; containers are copied.
class Value {
 public:
  using Variant = std::variant<None, Uninitialized, bool, std::int64_t, double, std::complex<double>, std::string,
                               Tensor, List, Tuple, Dict>;

  Value() = default;
  Value(None) {}                                      // NOLINT(google-explicit-constructor)
  Value(Uninitialized v) : variant_(v) {}             // NOLINT(google-explicit-constructor)
  Value(bool v) : variant_(v) {}                      // NOLINT(google-explicit-constructor)
  Value(int v) : variant_(std::int64_t{v}) {}         // NOLINT(google-explicit-constructor)
  Value(std::int64_t v) : variant_(v) {}              // NOLINT(google-explicit-constructor)
  Value(double v) : variant_(v) {}                    // NOLINT(google-explicit-constructor)
  Value(std::complex<double> v) : variant_(v) {}      // NOLINT(google-explicit-constructor)
  Value(std::string v) : variant_(std::move(v)) {}    // NOLINT(google-explicit-constructor)
  Value(const char* v) : variant_(std::string(v)) {}  // NOLINT(google-explicit-constructor)
  Value(Tensor v) : variant_(std::move(v)) {}         // NOLINT(google-explicit-constructor)
  Value(List v) : variant_(std::move(v)) {}           // NOLINT(google-explicit-constructor)
  Value(Tuple v) : variant_(std::move(v)) {}          // NOLINT(google-explicit-constructor)
  Value(Dict v) : variant_(std::move(v)) {}           // NOLINT(google-explicit-constructor)
  template <class T>
  requires requires(const T& t) { ValueTraits<T>::make(t); }
  Value(const T& v) : Value(ValueTraits<T>::make(v)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] const Variant& variant() const noexcept { return variant_; }
  [[nodiscard]] Variant& variant() noexcept { return variant_; }
  /// The held T, or null.
  template <class T>
  [[nodiscard]] const T* get_if() const noexcept {
    return std::get_if<T>(&variant_);
  }
  /// The held T. Throws invalid_argument that names what is held instead.
  [[nodiscard]] const Tensor& tensor() const;
  [[nodiscard]] std::int64_t integer() const;
  [[nodiscard]] const std::string& string() const;

 private:
  Variant variant_;
};

/// "tensor", "list", …: the word used in messages.
std::string_view kind_name(const Value& value) noexcept;

/// A short description for messages, for example "tensor f32[1, 3, 224, 224]" or "list of 3".
std::string describe(const Value& value);

/// Calls `visit(const Tensor&)` for every tensor inside `value`, containers included, in order.
template <class Visitor>
void for_each_tensor(const Value& value, Visitor&& visit) {
  if (const auto* tensor = value.get_if<Tensor>()) {
    visit(*tensor);
  } else if (const auto* list = value.get_if<List>()) {
    for (const auto& item : list->items) for_each_tensor(item, visit);
  } else if (const auto* tuple = value.get_if<Tuple>()) {
    for (const auto& item : tuple->items) for_each_tensor(item, visit);
  } else if (const auto* dict = value.get_if<Dict>()) {
    for (const auto& [key, item] : dict->items) for_each_tensor(item, visit);
  }
}

/// Of all tensors inside, as Tensor::packed_bytes: what they take when each is sent by itself.
std::size_t packed_bytes(const std::vector<Value>& values);

/// Same structure, scalars bit by bit (NaN equals NaN) and tensors as `bit_identical` for tensors.
bool bit_identical(const Value& a, const Value& b);

}  // namespace splitnet
