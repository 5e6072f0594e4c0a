// SPDX-License-Identifier: Apache-2.0
// Values that container.py has saved: inputs and expected outputs of the zoo's models.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <string>
#include <vector>

namespace splitnet::testing {

inline std::vector<c10::IValue> load_zoo_values(const std::string& path) {
  const auto holder = torch::jit::load(path);
  std::vector<c10::IValue> values;
  for (std::int64_t i = 0; i < holder.attr("n").toInt(); ++i) values.push_back(holder.attr("v" + std::to_string(i)));
  return values;
}

}  // namespace splitnet::testing
