// SPDX-License-Identifier: Apache-2.0
#include "aws/since_start.hpp"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

namespace splitnet::detail {

double since_process_start_s() {
  std::string text;
  std::getline(std::ifstream("/proc/self/stat"), text);
  // proc(5): the second field is a name in parentheses, which may hold anything; the 22nd is the start in clock ticks
  // since the machine's own.
  const auto behind_name = text.rfind(')');
  if (behind_name == std::string::npos) return 0;
  std::istringstream fields(text.substr(behind_name + 1));
  std::string field;
  for (int i = 3; i <= 21; ++i) fields >> field;
  double start_ticks = 0;
  if (!(fields >> start_ticks)) return 0;
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const double now_s = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  return now_s - start_ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace splitnet::detail
