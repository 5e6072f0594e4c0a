// SPDX-License-Identifier: Apache-2.0
/// \file
/// Makes a Model from TorchScript: finds the layers, and cuts at any of them.
#pragma once

#include <torch/script.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "splitnet/model.hpp"
#include "splitnet/torch_tensor.hpp"
#include "splitnet/value.hpp"

namespace splitnet {

struct PartitionerOptions {
  /// Inputs (by index) that are fixed to the example's value: a flag, a mode. `If`s that depend on nothing
  /// else unfold into the branch taken. A stage then accepts no other value for them.
  std::vector<std::size_t> bind_inputs;
};

/// The TorchScript front end. Stateless; the functions may be called from several threads at once.
class Partitioner {
 public:
  /// Reads a module that `torch.jit.save` or `Module::save` wrote, scripted or traced. It is put in
  /// evaluation mode, frozen and inlined. `example_inputs` are run once, to learn shapes and sizes; without
  /// them the layer graph has none, and cuts are legal or not by type alone.
  /// A model file is code: load only files that you trust.
  /// Throws invalid_argument (no such file; inputs that do not fit forward), corrupt (not a TorchScript
  /// file), unsupported_model (state that forward changes, …: which, and where), incompatible (prepared by another
  /// version of torch).
  /// Also reads what `prepare` wrote, which takes a fraction of the time; its inputs can't be bound.
  static std::shared_ptr<const Model> load(const std::string& path, std::vector<Value> example_inputs = {},
                                           const PartitionerOptions& options = {});

  /// Writes what loading makes of a module: frozen and inlined, with names and fingerprint, so that whoever loads it
  /// starts quickly and answers the same requests. For this version of torch: another one refuses to load it, with
  /// `incompatible`. A prepared model is code, like its original. The file is there when it is whole; until then, and
  /// when something is thrown, what was there before. Throws as load, unavailable (the file can't be written) and
  /// unsupported_model (something in the graph can't be written).
  static void prepare(const std::string& path, const std::string& prepared_path);

  /// The same for a module in memory, which is not changed and shares its parameters with the model.
  static std::shared_ptr<const Model> from_module(const torch::jit::Module& module,
                                                  std::vector<Value> example_inputs = {},
                                                  const PartitionerOptions& options = {});
};

}  // namespace splitnet
