// SPDX-License-Identifier: Apache-2.0
/// \file
/// The contract of a model that can be cut. Session, worker and planner know only this and Stage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "splitnet/cut.hpp"
#include "splitnet/layer_graph.hpp"
#include "splitnet/stage.hpp"

namespace splitnet {

/// Why a cut is refused although its head is closed. A closed list, decided before anything runs.
enum class RefusalReason : unsigned char {
  value_cannot_travel,       ///< A boundary value has a type or dtype that no message can carry.
  shared_container_written,  ///< Two boundary values may share a list or dict that a later stage changes.
  random_numbers_after_cut,  ///< A later stage draws random numbers: another machine would draw others.
};
std::string_view to_string(RefusalReason reason) noexcept;

/// Why a cut is refused.
struct Refusal {
  RefusalReason reason = RefusalReason::value_cannot_travel;
  std::string detail;  ///< Names the layer and the value.
};

/// Which stage to cut: k cuts in order give k + 1 stages; `index` picks one. A plain value that travels.
struct StageKey {
  std::vector<LayerSet> cuts;  ///< Resolved; each contains the one before it.
  std::size_t index = 0;
  friend bool operator==(const StageKey&, const StageKey&) = default;
  friend auto operator<=>(const StageKey&, const StageKey&) = default;
};

/// How a stage runs.
struct StageOptions {
  /// Threads that one pass may use. 0: run on the calling thread with the host program's own setting.
  /// Otherwise the pass runs on a thread that belongs to splitnet and the host's setting stays as it is.
  int threads = 0;
  friend bool operator==(const StageOptions&, const StageOptions&) = default;
};

/// One pass of the whole model, layer by layer. A plain value.
struct LayerTimings {
  std::vector<double> layer_s;  ///< Wall time of each layer, with the glue in front of it.
  std::vector<std::int64_t>
      peak_bytes;     ///< The most tensor memory in use at once while it ran, without parameters; 0: unknown.
  double pass_s = 0;  ///< Of the whole pass.
  friend bool operator==(const LayerTimings&, const LayerTimings&) = default;
};

/// Implementations are immutable once made and safe to use from several threads at once. Stages share
/// parameters with the model and may outlive it.
class Model {
 public:
  virtual ~Model() = default;
  [[nodiscard]] virtual const LayerGraph& layers() const noexcept = 0;
  /// Hexadecimal hash of graph and parameters; the same on every machine that loaded the same file with
  /// the same version of the framework.
  [[nodiscard]] const std::string& fingerprint() const noexcept { return layers().fingerprint; }
  /// What runs the stages, with its version: "torch 2.13.0".
  [[nodiscard]] virtual std::string framework() const = 0;
  [[nodiscard]] virtual const ResultShape& result_shape() const noexcept = 0;
  [[nodiscard]] virtual std::size_t result_slot_count() const noexcept = 0;

  /// What the model was made with, to learn shapes and to time its layers; none when it was made without.
  [[nodiscard]] virtual const std::vector<Value>& example_inputs() const noexcept = 0;

  /// Why these cuts are refused, or nothing when they are legal. Throws invalid_argument when a cut
  /// does not contain the one before it.
  [[nodiscard]] virtual std::optional<Refusal> refusal(const std::vector<LayerSet>& cuts) const = 0;

  /// One stage. Throws invalid_argument (a set that is not closed, an index out of range) and
  /// unsupported_model (a refused cut, with its reason).
  [[nodiscard]] virtual std::unique_ptr<Stage> make_stage(const StageKey& key,
                                                          const StageOptions& options = {}) const = 0;

  /// Runs the whole model `passes` times on `inputs`, which stay as they are, and times each layer within the pass. The
  /// first pass is slower: it warms up and counts memory. Errors as Stage::run.
  [[nodiscard]] virtual std::vector<LayerTimings> time_layers(const std::vector<Value>& inputs, std::size_t passes,
                                                              const StageOptions& options = {}) const = 0;

  /// All stages that these cuts give, in order; none gives the whole model as one stage.
  [[nodiscard]] std::vector<std::unique_ptr<Stage>> split(const std::vector<Cut>& cuts,
                                                          const StageOptions& options = {}) const;

 protected:
  Model() = default;
  Model(const Model&) = default;
  Model& operator=(const Model&) = default;
};

/// Runs stages one after the other in this process and puts the result together: what the uncut model
/// gives. Errors as Stage::run.
Value run_stages(const Model& model, const std::vector<std::unique_ptr<Stage>>& stages, std::vector<Value> inputs);

}  // namespace splitnet
