// SPDX-License-Identifier: Apache-2.0
// How fast codecs are on one core, as bytes of f32 per second in each direction, on a boundary of 1.6 MB: 128 maps of
// 56 × 56, smooth in space, after ReLU (half of the elements are 0). The headline counts both directions together, the
// lossless one is int8 with zstd; of the codec transform, learned from other such boundaries, it is the slower
// direction. Ratios and won cells beside them are those that codec_sweep and sweep found last.

#include <benchmark/benchmark.h>
#include <splitnet/codec.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "headline.hpp"
#include "run_benchmarks.hpp"
#include "transform_codec.hpp"
#include "transform_training.hpp"

namespace {

using namespace splitnet;

constexpr std::int64_t channels = 128;
constexpr std::int64_t side = 56;

Tensor boundary(unsigned seed) {
  Tensor tensor = Tensor::empty(DType::f32, {1, channels, side, side});
  auto* const items = reinterpret_cast<float*>(tensor.data());
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (std::int64_t c = 0; c < channels; ++c) {
    float* const map = items + c * side * side;
    for (std::int64_t i = 0; i < side * side; ++i) {
      const float left = i % side > 0 ? map[i - 1] : 0;
      const float above = i >= side ? map[i - side] : 0;
      map[i] = 0.48F * (left + above) + normal(random);
    }
  }
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) items[i] = std::max(items[i], 0.0F);
  return tensor;
}

using CodecPtr = std::shared_ptr<const Codec>;

/// The codec transform for such boundaries.
CodecPtr transform() {
  std::vector<detail::TransformExample> examples;
  for (unsigned seed = 2; seed < 10; ++seed) examples.push_back({boundary(seed), {}});
  return detail::make_transform_codec({detail::train_transform(examples).value()}, 0);
}

void encode(benchmark::State& state, const CodecPtr& codec) {
  const Tensor tensor = boundary(1);
  const Storage room = Storage::allocate(codec->max_coded_bytes(tensor));
  std::size_t coded = 0;
  for (auto _ : state) coded = codec->encode(tensor, {room.data(), room.size_bytes()}).bytes;
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * tensor.packed_bytes()));
  state.counters["ratio"] = static_cast<double>(tensor.packed_bytes()) / static_cast<double>(coded);
}

void decode(benchmark::State& state, const CodecPtr& codec) {
  const Tensor tensor = boundary(1);
  const Storage room = Storage::allocate(codec->max_coded_bytes(tensor));
  const std::size_t coded = codec->encode(tensor, {room.data(), room.size_bytes()}).bytes;
  Tensor decoded = Tensor::empty(DType::f32, tensor.sizes);
  for (auto _ : state) codec->decode({room.data(), coded}, decoded);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * tensor.packed_bytes()));
  state.counters["ratio"] = static_cast<double>(tensor.packed_bytes()) / static_cast<double>(coded);
}

/// Collects what the headline needs.
class Reporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Aggregate && run.aggregate_name != "median") continue;
      seconds[run.run_name.function_name] = run.GetAdjustedRealTime() * 1e-6;
    }
  }
  /// Encoded and decoded again, in bytes of f32 per second.
  [[nodiscard]] double speed_of(const std::string& name) const {
    return speed(seconds_of("encode/" + name) + seconds_of("decode/" + name));
  }
  [[nodiscard]] double slower_direction_of(const std::string& name) const {
    return speed(std::max(seconds_of("encode/" + name), seconds_of("decode/" + name)));
  }

 private:
  [[nodiscard]] double seconds_of(const std::string& name) const {
    const auto found = seconds.find(name);
    return found == seconds.end() ? 0 : found->second;
  }
  static double speed(double seconds) { return seconds > 0 ? channels * side * side * 4 / seconds : 0; }

  std::map<std::string, double> seconds;
};

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> codecs{
      "f32:lossless=lz4;shuffle=byte",
      "f32:lossless=zstd;shuffle=byte",
      "f16",
      "bf16",
      "int8",
      "int8:per=channel",
      "int4",
      "int4:per=channel",
      "int2",
      "int8:lossless=lz4",
      "int8:lossless=zstd",
      "int8:lossless=lz4;shuffle=bit",
      "int8:lossless=zstd;shuffle=bit",
      "int4:per=channel;lossless=zstd",
  };
  const auto add = [](const std::string& name, const CodecPtr& codec) {
    benchmark::RegisterBenchmark(("encode/" + name).c_str(), [codec](benchmark::State& state) {
      encode(state, codec);
    })->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(("decode/" + name).c_str(), [codec](benchmark::State& state) {
      decode(state, codec);
    })->Unit(benchmark::kMicrosecond);
  };
  const auto registry = CodecRegistry::with_defaults();
  for (const std::string& name : codecs) add(name, registry.make(name));
  add("transform", transform());
  Reporter reporter;
  if (!bench::run_benchmarks(argc, argv, &reporter)) return 1;
  char speeds[100];
  std::snprintf(speeds, sizeof speeds, "int8_GBps=%.2f lossless_MBps=%.0f transform_MBps=%.0f",
                reporter.speed_of("int8") * 1e-9, reporter.speed_of("int8:lossless=zstd") * 1e-6,
                reporter.slower_direction_of("transform") * 1e-6);
  std::string figures;
  for (const char* ratio : {"half_point", "two_points", "kl_0.002", "kl_0.01"}) {
    figures += bench::figure_of("codec_sweep", "ratio_at_" + std::string(ratio) + "_min") + " ";
  }
  bench::print_headline("codecs", figures + speeds + " " + bench::figure_of("sweep", "split_wins") + " " +
                                      bench::figure_of("sweep", "cells"));
  return 0;
}
