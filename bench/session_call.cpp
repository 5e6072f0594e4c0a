// SPDX-License-Identifier: Apache-2.0
// What one call of a session takes in C++: the other side of bench/python_call.py, which starts it.
//
//   bench_session_call MODEL.pt ENDPOINT|- CALLS ELEMENTS   prints the median in microseconds
#include <splitnet/splitnet.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "quantiles.hpp"

int main(int argc, char** argv) {
  using namespace splitnet;
  if (argc != 5) {
    std::fprintf(stderr, "usage: bench_session_call MODEL.pt ENDPOINT|- CALLS ELEMENTS\n");
    return 2;
  }
  const std::string endpoint = argv[2];
  const int calls = std::atoi(argv[3]);
  const auto input = torch::ones({std::atol(argv[4])});
  const auto model = Partitioner::load(argv[1], {input});
  const auto session = Session::open(model, {.worker = endpoint == "-" ? std::string() : endpoint});
  std::vector<double> times_us;
  for (int i = 0; i < calls; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    (void)session->run({input});
    times_us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun).count());
  }
  std::printf("%.3f\n", bench::median(times_us));
}
