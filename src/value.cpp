// SPDX-License-Identifier: Apache-2.0
#include "splitnet/value.hpp"

#include <array>
#include <cstring>

#include "splitnet/error.hpp"

namespace splitnet {
namespace {

template <class T>
const T& get_or_throw(const Value& value, std::string_view expected) {
  if (const auto* held = value.get_if<T>()) return *held;
  throw Error(ErrorCode::invalid_argument,
              "expected a value of kind " + std::string(expected) + ", found " + describe(value));
}

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

bool same_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!bit_identical(a[i], b[i])) return false;
  }
  return true;
}

bool same_contents(None, None) {
  return true;
}
bool same_contents(Uninitialized, Uninitialized) {
  return true;
}
bool same_contents(bool a, bool b) {
  return a == b;
}
bool same_contents(std::int64_t a, std::int64_t b) {
  return a == b;
}
bool same_contents(double a, double b) {
  return same_bits(a, b);
}
bool same_contents(std::complex<double> a, std::complex<double> b) {
  return same_bits(a, b);
}
bool same_contents(const std::string& a, const std::string& b) {
  return a == b;
}
bool same_contents(const Tensor& a, const Tensor& b) {
  return bit_identical(a, b);
}
bool same_contents(const List& a, const List& b) {
  return same_items(a.items, b.items);
}
bool same_contents(const Tuple& a, const Tuple& b) {
  return same_items(a.items, b.items);
}
bool same_contents(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    if (!bit_identical(a.items[i].first, b.items[i].first)) return false;
    if (!bit_identical(a.items[i].second, b.items[i].second)) return false;
  }
  return true;
}

std::string describe_tensor(const Tensor& tensor) {
  std::string text = "tensor " + std::string(to_string(tensor.dtype)) + "[";
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(tensor.sizes[i]);
  }
  return text + "]";
}

}  // namespace

const Tensor& Value::tensor() const {
  return get_or_throw<Tensor>(*this, "tensor");
}
std::int64_t Value::integer() const {
  return get_or_throw<std::int64_t>(*this, "integer");
}
const std::string& Value::string() const {
  return get_or_throw<std::string>(*this, "string");
}

std::string_view kind_name(const Value& value) noexcept {
  static constexpr std::array<std::string_view, std::variant_size_v<Value::Variant>> names = {
      "none", "uninitialized", "bool", "integer", "float", "complex", "string", "tensor", "list", "tuple", "dict"};
  return names[value.variant().index()];
}

std::string describe(const Value& value) {
  const std::string kind(kind_name(value));
  if (const auto* tensor = value.get_if<Tensor>()) return describe_tensor(*tensor);
  if (const auto* v = value.get_if<bool>()) return kind + (*v ? " true" : " false");
  if (const auto* v = value.get_if<std::int64_t>()) return kind + " " + std::to_string(*v);
  if (const auto* v = value.get_if<double>()) return kind + " " + std::to_string(*v);
  if (const auto* v = value.get_if<std::string>()) {
    return kind + " of " + std::to_string(v->size()) + " bytes";
  }
  if (const auto* v = value.get_if<List>()) return kind + " of " + std::to_string(v->items.size());
  if (const auto* v = value.get_if<Tuple>()) return kind + " of " + std::to_string(v->items.size());
  if (const auto* v = value.get_if<Dict>()) return kind + " of " + std::to_string(v->items.size());
  return kind;
}

std::size_t packed_bytes(const std::vector<Value>& values) {
  std::size_t bytes = 0;
  for (const Value& value : values) {
    for_each_tensor(value, [&](const Tensor& tensor) { bytes += tensor.packed_bytes(); });
  }
  return bytes;
}

bool bit_identical(const Value& a, const Value& b) {
  return std::visit(
      []<class A, class B>(const A& x, const B& y) {
        if constexpr (std::is_same_v<A, B>) {
          return same_contents(x, y);
        } else {
          return false;
        }
      },
      a.variant(), b.variant());
}

}  // namespace splitnet
