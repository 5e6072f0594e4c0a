// SPDX-License-Identifier: Apache-2.0
#include "codec_parameters.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <system_error>
#include <utility>

#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet::detail {

CodecParameters::CodecParameters(std::string codec, const std::string& text) : codec_(std::move(codec)) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto end = rest.find(';');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    const auto middle = pair.find('=');
    if (middle == std::string_view::npos || middle == 0 || middle + 1 == pair.size()) {
      wrong("found '" + std::string(pair.substr(0, 40)) + "', expected KEY=VALUE with ';' between them");
    }
    const std::string key(pair.substr(0, middle));
    if (!values_.emplace(key, pair.substr(middle + 1)).second) wrong(key + " is there twice");
  }
}

void CodecParameters::wrong(const std::string& what) const {
  throw Error(ErrorCode::invalid_argument, "codec " + codec_ + ": " + what);
}

std::string CodecParameters::take(const std::string& key) {
  known_.push_back(key);
  auto found = values_.extract(key);
  return found ? std::move(found.mapped()) : std::string();
}

std::string CodecParameters::word(const std::string& key, const std::vector<std::string>& choices,
                                  const std::string& fallback) {
  const std::string found = take(key);
  if (found.empty()) return fallback;
  if (std::find(choices.begin(), choices.end(), found) != choices.end()) return found;
  wrong(key + " is '" + found.substr(0, 40) + "', expected one of: " + joined(choices));
}

std::string CodecParameters::text(const std::string& key) {
  std::string found = take(key);
  if (found.empty()) wrong("found no " + key + "=");
  return found;
}

int CodecParameters::integer(const std::string& key, int least, int most, int fallback) {
  const std::string found = take(key);
  if (found.empty()) return fallback;
  int number = 0;
  const auto [end, error] = std::from_chars(found.data(), found.data() + found.size(), number);
  if (error == std::errc() && end == found.data() + found.size() && number >= least && number <= most) return number;
  wrong(key + " is '" + found.substr(0, 40) + "', expected a whole number from " + std::to_string(least) + " to " +
        std::to_string(most));
}

std::vector<float> CodecParameters::numbers(const std::string& key) {
  const std::string found = take(key);
  if (found.empty()) wrong("found no " + key + "=, expected numbers with ',' between them");
  std::string_view rest = found;
  std::vector<float> numbers;
  for (;;) {
    float number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || !std::isfinite(number)) wrong(key + " has something that is no finite number");
    numbers.push_back(number);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (rest.empty()) return numbers;
    if (rest.front() != ',') wrong(key + " has something else than ',' between its numbers");
    rest.remove_prefix(1);
  }
}

std::string CodecParameters::rest() const {
  std::string text;
  for (const auto& [key, value] : values_) text += (text.empty() ? "" : ";") + key + "=" + value;
  return text;
}

void CodecParameters::finish() const {
  if (values_.empty()) return;
  wrong("unknown parameter " + values_.begin()->first.substr(0, 40) +
        (known_.empty() ? "; it takes none" : "; expected one of: " + joined(known_)));
}

}  // namespace splitnet::detail
