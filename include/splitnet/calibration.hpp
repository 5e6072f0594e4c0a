// SPDX-License-Identifier: Apache-2.0
/// \file
/// What codecs do to a model's answers, measured on examples of its inputs; and the tables of the codec transform,
/// learned from them.
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
#include "splitnet/device_profile.hpp"
#include "splitnet/encoded_picture.hpp"
#include "splitnet/model.hpp"
#include "splitnet/refinement.hpp"

namespace splitnet {

/// What to try on which cuts, and how effects are measured.
struct CalibrationOptions {
  OutputKind output = OutputKind::logits;
  /// Which of the results, in the order of ResultShape's slots; numbers are measured over all of them together.
  std::vector<std::size_t> output_slots = {0};
  /// Where to cut. None: near 25, 50 and 75 % of the FLOPs (at most 10 % of them away) the legal sequential cut with
  /// the fewest bytes.
  std::vector<Cut> cuts = {};
  /// To try on every cut; those for inputs only where nothing but inputs crosses.
  std::vector<std::string> codecs = {"f16", "int8", "int8:per=channel;lossless=zstd", "int4:per=channel;lossless=zstd"};
  /// Of the codec transform, each a profile of its own, where it takes the boundary; none: it is not tried.
  std::vector<int> coarsenesses = {-16, -8, -4, 0, 4, 8};
  /// Shares of answers that may change: for each the two codecs are looked for, among all that are tried, that reach it
  /// with the fewest bytes when answers that are close are asked for once more (refinement.hpp). Of logits or
  /// probabilities in one output slot. Empty: none. In (0, 1).
  std::vector<double> refined_losses = {0.005};
  /// Share of the examples, the last ones, on which effects are measured; the tables come from the others. In (0, 1).
  double held_out = 0.5;
  /// A number for each example, the same for those that belong together, as crops of one photo do: they stay on the
  /// same side of that split, and intervals count groups and not examples. Empty: each example for itself.
  std::vector<std::size_t> groups = {};
  /// The right class of each example, where it is known: codecs are then also judged by right answers. Each example has
  /// one row of output then. Empty: they are not known.
  std::vector<std::size_t> labels = {};
  /// What the model's pictures are made with, as of the codec u8: "mean=M,…;std=S,…". Then codecs for pictures are
  /// tried where inputs go to the worker whole, the baseline that a split has to beat: u8, and jpeg (with
  /// subsampling=420) and webp in every quality, as far as this build has them. Empty: they are not tried.
  std::string pixels = {};
  std::vector<int> qualities = {95, 85, 70, 50, 30};  ///< 1 … 100.
  std::size_t gradients = 8;                          ///< Of each example, with answers drawn from the model.
  std::uint64_t seed = 1;
  StageOptions stage = {};
  /// Called with passes done and passes to do, on the calling thread. Empty: silence.
  std::function<void(std::size_t done, std::size_t total)> progress = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// Of answers whose labels are known.
struct AccuracyEffect {
  double exact = 0;     ///< Share of right answers without a codec.
  double lost = 0;      ///< That share minus the codec's; below 0 when the codec happens to do better.
  double lost_low = 0;  ///< Two standard errors, between groups where there are any.
  double lost_high = 0;
  friend bool operator==(const AccuracyEffect&, const AccuracyEffect&) = default;
};

/// What a codec does to the answers to the held-out examples. A plain value.
struct CodecEffect {
  std::size_t examples = 0;
  /// Share of answers (rows of the output) whose class stays the same; of embeddings the mean cosine, of numbers 1 −
  /// the mean relative error |difference| / |output| (Euclidean norms), each at least 0.
  double agreement = 1;
  double agreement_low = 1;  ///< Wilson's interval of 95 % for shares; for means two standard errors.
  double agreement_high = 1;
  double divergence_nat = 0;  ///< Mean Kullback–Leibler divergence from the exact answers; 0 for other than classes.
  double largest_error = 0;   ///< Of any element of the output.
  std::optional<AccuracyEffect> accuracy = {};  ///< With CalibrationOptions::labels.
  friend bool operator==(const CodecEffect&, const CodecEffect&) = default;
};

/// One codec on one cut.
struct CalibratedCodec {
  CodecProfile profile;  ///< With `head`, ratio, and accuracy_loss: with labels what is lost, else 1 − agreement.
  CodecEffect effect;
  CodecSpeed speed;            ///< Of this machine, on the held-out boundaries.
  std::size_t kept_exact = 0;  ///< Held-out examples in which a tensor could not be encoded with loss.
  friend bool operator==(const CalibratedCodec&, const CalibratedCodec&) = default;
};

/// All that is known about codecs for a model. A plain value, saved as JSON.
struct Calibration {
  static constexpr int schema_version = 1;
  std::string fingerprint;  ///< Of the model.
  std::vector<CalibratedCodec> codecs;

  /// For TwoTierOptions::codecs: those that lose at most so much, and raw.
  [[nodiscard]] std::vector<CodecProfile> profiles(double max_accuracy_loss = 1) const;
  /// Throws invalid_argument: numbers that are not finite or out of range.
  void validate() const;
  /// Throws incompatible for another model.
  void check_fits(const LayerGraph& graph) const;
  friend bool operator==(const Calibration&, const Calibration&) = default;
};

/// Readable JSON with its schema version; the tables are in it once each, in base64. Throws as Calibration::validate.
std::string to_json(const Calibration& calibration);
/// Throws corrupt (naming the field), incompatible (another schema version), invalid_argument (as
/// Calibration::validate).
Calibration calibration_from_json(const std::string& json);

/// Throws unavailable when the file can't be written.
void save(const Calibration& calibration, const std::string& path);
/// Throws unavailable (no such file) and as calibration_from_json, naming the file.
Calibration load_calibration(const std::string& path);

/// Runs heads and tails on the examples (each the model's inputs). At least 4 of them; few examples give wide
/// intervals. Throws as CalibrationOptions::validate, Model::make_stage, Stage::run; invalid_argument (too few
/// examples, an output that is no tensor of f32, unknown codecs, pixels that no input is made of). A cut whose stage
/// can't be differentiated is calibrated without gradients: all directions of an error then count alike.
Calibration calibrate(const Model& model, const std::vector<std::vector<Value>>& examples,
                      const CalibrationOptions& options = {});

/// Of the codecs for inputs the one with the fewest bytes that loses at most so much: CodecProfile::accuracy_loss, 1 −
/// agreement. So the quality at which pictures keep what another codec keeps. Nothing when all lose more.
std::optional<CalibratedCodec> smallest_picture(const std::vector<CalibratedCodec>& calibrated,
                                                double max_accuracy_loss);

/// For inputs that come as picture files (CodecProfile::inputs_arrive), of the mean size of these. Nothing is lost: the
/// files are what answers are right for. Throws invalid_argument: no files, files for several codecs, a model without
/// an example input of their size.
CodecProfile profile_of_files(const Model& model, const std::vector<EncodedPicture>& typical);

}  // namespace splitnet
