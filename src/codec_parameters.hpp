// SPDX-License-Identifier: Apache-2.0
// `KEY=VALUE;KEY=VALUE` behind the name of a codec. Private.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace splitnet::detail {

class CodecParameters {
 public:
  /// `codec` is its name, for messages. Throws invalid_argument: no '=', an empty key or value, a key twice.
  CodecParameters(std::string codec, const std::string& text);

  // Each throws invalid_argument for a value that is not as said, and for a key that is missing without a fallback.
  /// One of `choices`.
  std::string word(const std::string& key, const std::vector<std::string>& choices, const std::string& fallback);
  /// Any; without a fallback.
  std::string text(const std::string& key);
  int integer(const std::string& key, int least, int most, int fallback);
  /// Finite numbers with ',' between them, whatever the locale. At least one.
  std::vector<float> numbers(const std::string& key);
  /// What nobody asked for yet, as `KEY=VALUE;…`.
  [[nodiscard]] std::string rest() const;
  /// Throws invalid_argument for a key that nobody asked for, naming those that were.
  void finish() const;

  /// Throws invalid_argument that names the codec.
  [[noreturn]] void wrong(const std::string& what) const;

 private:
  /// Empty when it is missing.
  std::string take(const std::string& key);

  std::string codec_;
  std::map<std::string, std::string> values_;
  std::vector<std::string> known_;
};

}  // namespace splitnet::detail
