// SPDX-License-Identifier: Apache-2.0
/// \file
/// What the public headers say about a class, a member or a function, for docstrings.
#pragma once

#include <map>
#include <string_view>

namespace splitnet::python {

/// By `Class`, `Class::member` and `function`; make_docs.py writes it from the comments of the headers.
const std::map<std::string_view, const char*>& header_docs();

/// Throws std::logic_error when there is none, so that nothing goes without: the module can't be imported then.
const char* doc(std::string_view name);

}  // namespace splitnet::python
