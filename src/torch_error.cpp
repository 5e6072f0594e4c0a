// SPDX-License-Identifier: Apache-2.0
#include "torch_error.hpp"

#include <algorithm>
#include <string_view>

namespace splitnet::detail {

std::string torch_words(const std::exception& error) {
  std::string text = error.what();
  const std::string_view end_of_traceback = "RuntimeError: ";
  const auto words = text.find(end_of_traceback);
  if (words != std::string::npos) text.erase(0, words + end_of_traceback.size());
  for (const std::string_view rest : {"\n", " This is an internal miniz error"})
    text.resize(std::min(text.find(rest), text.size()));
  return text;
}

}  // namespace splitnet::detail
