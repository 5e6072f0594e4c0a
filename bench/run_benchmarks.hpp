// SPDX-License-Identifier: Apache-2.0
// What every program with Google Benchmark does once its benchmarks are registered.
#pragma once

#include <benchmark/benchmark.h>

namespace splitnet::bench {

/// Takes Google Benchmark's options out of the arguments, and runs. `reporter`: in place of the usual one on the
/// console. False, with a message, when arguments are left over.
inline bool run_benchmarks(int argc, char** argv, benchmark::BenchmarkReporter* reporter = nullptr) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return false;
  benchmark::RunSpecifiedBenchmarks(reporter);
  benchmark::Shutdown();
  return true;
}

}  // namespace splitnet::bench
