// SPDX-License-Identifier: Apache-2.0
/// \file
/// What a boundary tells about the input, measured on examples. Figures, not promises: a low one says that one attack
/// failed, never that none can succeed (docs/privacy.md).
///
/// Two measures for a cut and a codec, both of the boundary as the worker decodes it:
///
///   distance correlation  Do inputs that are far apart have boundaries that are far apart? The bias-corrected R* of
///       Székely and Rizzo, "Partial distance correlation with methods for dissimilarities" (Annals of Statistics
///       42(6), 2014, eq. 2.10): distances, U-centred, and the cosine of the two matrices. It estimates the square of
///       the distance correlation of Székely, Rizzo and Bakirov (Annals of Statistics 35(6), 2007), whose own estimate
///       goes to 1 for any few samples of many dimensions, even independent ones; R* is then about 0, or below.
///   inversion  A white-box attack: somebody who has the head looks for an input x that gives this boundary, by
///       minimising
///         mean over tensors t of the boundary ‖head(x)_t − decoded_t‖² / ‖decoded_t‖²  +  total_variation · V(x)
///       with Adam (Kingma and Ba, ICLR 2015) and a step that falls to 0 as a half cosine; V(x) is the mean of
///       √(Δ_down² + Δ_right²) over a picture's elements, in parts of the inputs' range (Rudin, Osher and Fatemi 1992;
///       for inversion Mahendran and Vedaldi, CVPR 2015), and 0 for inputs that are no pictures. What comes out is
///       compared with the true input:
///         PSNR = −10 · log10 mean(((x − x')/range)²) dB over all elements,
///         SSIM as Wang, Bovik, Sheikh and Simoncelli (IEEE Trans. Image Processing 13(4), 2004), with their Gaussian
///       window of 11 × 11 and σ = 1.5, K = (0.01, 0.03), a mean over channels.
///
/// Distances are Euclidean; several tensors count alike; tensors of i32, i64 and bool are categories (their distance
/// is √(elements that differ)), other dtypes numbers, and those of f16, bf16 and of sizes that differ between examples
/// are left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/cost_model.hpp"
#include "splitnet/cut.hpp"
#include "splitnet/model.hpp"

namespace splitnet {

/// How one run of the attack goes. The numbers are parts of the inputs' range in the examples.
struct AttackSettings {
  double learning_rate = 0.03;
  double total_variation = 1e-3;  ///< Weight beside the boundary's error.
  friend bool operator==(const AttackSettings&, const AttackSettings&) = default;
};

/// Which cuts and codecs are measured, and how hard the attack tries.
struct LeakageOptions {
  /// None: the first that can be cut, and those nearest to 10, 25, 50 and 75 % of the FLOPs.
  std::vector<Cut> cuts = {};
  /// Their name, tables and head are used. One with a head is measured on that cut alone, one for inputs only where
  /// nothing but inputs crosses.
  std::vector<CodecProfile> codecs = {CodecProfile{}};
  std::size_t attacked = 2;  ///< Examples to invert, from the first on; the attack starts at the mean of the others.
  /// The one that rebuilds an example best counts, as if the attacker had guessed right which.
  std::vector<AttackSettings> attacks = {{0.05, 1e-3}, {0.02, 0.3}};
  /// Of each run; one is a pass of the head forwards and backwards. More of them rebuild more: behind deep layers 1000
  /// gained up to 10 dB over 300.
  std::size_t steps = 1000;
  /// The attack says something about a model only where it can rebuild its inputs from the raw boundary behind the
  /// first layer that can be cut, by so many dB above the trivial guess (the mean of the other examples).
  double statement_db = 6;
  std::uint64_t seed = 1;  ///< The same one gives the same figures, on one machine and thread count.
  StageOptions stage = {};
  /// Called with passes done and passes to do, on the calling thread. Empty: silence.
  std::function<void(std::size_t done, std::size_t total)> progress = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// How near a picture, or any input, is to the true one.
struct Similarity {
  double psnr_db = 0;          ///< Infinite: bit by bit.
  std::optional<double> ssim;  ///< −1 … 1; absent for inputs that are no pictures [n, channels, ≥ 11, ≥ 11].
  friend bool operator==(const Similarity&, const Similarity&) = default;
};

/// One codec on one cut. A plain value.
struct Leakage {
  LayerSet head;
  std::string codec;
  std::size_t examples = 0;
  std::optional<double> distance_correlation;  ///< R*, −1 … 1; absent: nothing can be compared.
  bool sends_input = false;                    ///< An input itself crosses the cut: no attack is needed.
  std::size_t attacked = 0;                    ///< Examples behind the figures below.
  std::optional<Similarity> rebuilt;           ///< Means over the attacked examples; absent: no statement.
  std::optional<double> highest_psnr_db;       ///< Of the example that was rebuilt best.
  std::optional<Similarity> trivial;           ///< The same means for the trivial guess, without any boundary.
  std::string no_statement;                    ///< Why the attack says nothing; empty: it does.
  friend bool operator==(const Leakage&, const Leakage&) = default;
};

/// Runs heads on the examples (each the model's inputs), at least 4; 20 and more tell something about distances. What
/// is attacked are the inputs that are tensors of f32 and differ between examples; the attacker is taken to know the
/// others, and the range of the attacked ones. Holds the boundaries of all examples for one cut. One result for each
/// cut and codec that applies, cut by cut.
/// Throws as LeakageOptions::validate, LayerGraph::resolve, Model::make_stage, Stage::run, CodecRegistry::make;
/// invalid_argument for too few examples, or inputs whose number, kinds, dtypes or sizes differ between them,
/// inputs that are not finite.
std::vector<Leakage> measure_leakage(const Model& model, const std::vector<std::vector<Value>>& examples,
                                     const LeakageOptions& options = {});

/// For PlanningProblem::leakages: the highest PSNR of each cut and codec that the attack says something about.
std::vector<LeakageProfile> profiles_of(const std::vector<Leakage>& measured);

}  // namespace splitnet
