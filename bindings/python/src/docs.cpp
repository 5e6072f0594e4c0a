// SPDX-License-Identifier: Apache-2.0
#include "docs.hpp"

#include <stdexcept>
#include <string>

namespace splitnet::python {

const char* doc(std::string_view name) {
  const auto found = header_docs().find(name);
  if (found == header_docs().end()) throw std::logic_error("no header says what " + std::string(name) + " is for");
  return found->second;
}

}  // namespace splitnet::python
