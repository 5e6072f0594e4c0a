// SPDX-License-Identifier: Apache-2.0
/// \file
/// The contract of a runnable slice of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "splitnet/value.hpp"

namespace splitnet {

/// A value that enters or leaves a stage. `id` is the same number on both sides of a cut.
struct StageValue {
  std::uint32_t id = 0;
  std::string type;  ///< As TorchScript writes it.
  friend bool operator==(const StageValue&, const StageValue&) = default;
};

/// What a stage takes and gives. A plain value.
struct StageInfo {
  std::string fingerprint;  ///< Of the model it was cut from.
  std::size_t index = 0;    ///< 0 is the first stage.
  std::size_t stage_count = 1;
  std::vector<StageValue> inputs;   ///< The model's inputs for stage 0, else the boundary before it.
  std::vector<StageValue> outputs;  ///< First the boundary after it, then results.
  std::size_t boundary_count = 0;   ///< How many of `outputs` are boundary.
  /// For each further output, which slot of the result it fills (see ResultShape).
  std::vector<std::uint32_t> result_slots;
  std::int64_t parameter_bytes = 0;
  friend bool operator==(const StageInfo&, const StageInfo&) = default;
};

/// What one pass gave, and how it depends on the inputs. Calls from one thread at a time.
class DifferentiablePass {
 public:
  virtual ~DifferentiablePass() = default;
  /// As Stage::run.
  [[nodiscard]] virtual const std::vector<Value>& outputs() const noexcept = 0;
  /// Gradients of Σ weights[i] · outputs()[i] by each input: tensors of f32 as those inputs; None for inputs that are
  /// no tensors of f32, or on which the sum does not depend. None as a weight is 0; others have the sizes of their
  /// output. Throws invalid_argument (count, dtype or sizes of the weights), unsupported_model (an operator that has no
  /// gradient, in its own words). May be called again.
  [[nodiscard]] virtual std::vector<Value> gradients(const std::vector<Value>& weights) const = 0;

 protected:
  DifferentiablePass() = default;
  DifferentiablePass(const DifferentiablePass&) = default;
  DifferentiablePass& operator=(const DifferentiablePass&) = default;
};

/// Runs a slice. Implementations are safe to call from several threads at once.
class Stage {
 public:
  virtual ~Stage() = default;
  [[nodiscard]] virtual const StageInfo& info() const noexcept = 0;

  /// One pass: `inputs` as `info().inputs`, the return value as `info().outputs`.
  /// Never changes what the caller can still see: an input that this stage writes into is copied first
  /// unless `inputs` holds the only handle to its bytes, which moving a decoded message in achieves.
  /// Outputs may share bytes with inputs. Throws invalid_argument (count, type, dtype or rank of an input;
  /// a shape that an operator refuses, with the operator's own words), internal.
  [[nodiscard]] virtual std::vector<Value> run(std::vector<Value> inputs) const = 0;

  /// One pass like `run` that can be differentiated; calibration of codecs needs it. Throws as run, and
  /// unsupported_model when this kind of stage has no gradients, as by default.
  [[nodiscard]] virtual std::unique_ptr<DifferentiablePass> differentiate(std::vector<Value> inputs) const;

  /// Writes the stage, with only the parameters it needs, so that a machine that never saw the model can
  /// load it. Throws unavailable when the file can't be written.
  virtual void save(const std::string& path) const = 0;

 protected:
  Stage() = default;
  Stage(const Stage&) = default;
  Stage& operator=(const Stage&) = default;
};

/// A leaf of a ResultShape.
struct ResultSlot {
  std::uint32_t index = 0;
  friend bool operator==(ResultSlot, ResultSlot) = default;
};

/// How the model's result is put together from the values that the stages returned: a tree whose leaves
/// are result slots. A plain value.
struct ResultShape {
  using Slot = ResultSlot;
  enum class Container : std::uint8_t { list, tuple, dict };
  struct Node {
    Container container = Container::tuple;
    std::vector<ResultShape> items;  ///< For a dict: key, value, key, value …
    friend bool operator==(const Node&, const Node&) = default;
  };
  std::variant<Slot, Node> tree;
  friend bool operator==(const ResultShape&, const ResultShape&) = default;

  /// The result from its slots (indexed by slot number). Throws internal when a slot is missing.
  [[nodiscard]] Value assemble(const std::vector<Value>& slots) const;
};

}  // namespace splitnet
