// SPDX-License-Identifier: Apache-2.0
// The last line of a program, NAME: key=value key=value …, kept in build/bench/NAME.headline for headlines that take
// figures of several programs.
#pragma once

#include <cstdio>
#include <fstream>
#include <string>

namespace splitnet::bench {

/// Prints "NAME: FIGURES" and keeps it.
inline void print_headline(const std::string& name, const std::string& figures) {
  std::printf("\n%s: %s\n", name.c_str(), figures.c_str());
  std::ofstream("build/bench/" + name + ".headline") << figures << '\n';
}

/// "key=value" of the headline that `name` printed last; the value is "unmeasured" where it has not been run.
inline std::string figure_of(const std::string& name, const std::string& key) {
  std::ifstream file("build/bench/" + name + ".headline");
  for (std::string figure; file >> figure;) {
    if (figure.rfind(key + "=", 0) == 0) return figure;
  }
  return key + "=unmeasured";
}

}  // namespace splitnet::bench
