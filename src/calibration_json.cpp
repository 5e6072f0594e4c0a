// SPDX-License-Identifier: Apache-2.0
// A Calibration as a value and in a file.
#include <algorithm>
#include <cereal/external/base64.hpp>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "check_number.hpp"
#include "json_file.hpp"
#include "profile_json.hpp"
#include "splitnet/calibration.hpp"
#include "transform_codec.hpp"

namespace splitnet {
namespace {

constexpr const char* output_names[] = {"logits", "probabilities", "embedding", "numbers"};

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "calibration: " + what);
}

void check_share(const std::string& name, double found) {
  detail::check_number(found >= 0 && found <= 1, name, found, "0 … 1");
}

}  // namespace

template <class Archive>
void serialize(Archive& archive, AccuracyEffect& effect) {
  detail::json_field(archive, "exact", effect.exact);
  detail::json_field(archive, "lost", effect.lost);
  detail::json_field(archive, "lost_low", effect.lost_low);
  detail::json_field(archive, "lost_high", effect.lost_high);
}

template <class Archive>
void serialize(Archive& archive, CodecEffect& effect) {
  std::uint64_t examples = effect.examples;
  std::vector<AccuracyEffect> accuracy;
  if (effect.accuracy) accuracy.push_back(*effect.accuracy);
  detail::json_field(archive, "examples", examples);
  detail::json_field(archive, "agreement", effect.agreement);
  detail::json_field(archive, "agreement_low", effect.agreement_low);
  detail::json_field(archive, "agreement_high", effect.agreement_high);
  detail::json_field(archive, "divergence_nat", effect.divergence_nat);
  detail::json_field(archive, "largest_error", effect.largest_error);
  detail::json_field(archive, "accuracy", accuracy);
  effect.examples = examples;
  effect.accuracy = accuracy.empty() ? std::nullopt : std::optional(accuracy.front());
}

template <class Archive>
void serialize(Archive& archive, Refinement& refinement) {
  std::string output = output_names[static_cast<unsigned>(refinement.output)];
  std::uint64_t slot = refinement.output_slot;
  detail::json_field(archive, "first_codec", refinement.first_codec);
  detail::json_field(archive, "second_codec", refinement.second_codec);
  detail::json_field(archive, "min_margin_nat", refinement.min_margin_nat);
  detail::json_field(archive, "output", output);
  detail::json_field(archive, "output_slot", slot);
  const auto found = std::find(std::begin(output_names), std::end(output_names), output);
  if (found == std::end(output_names)) corrupt("output: unknown '" + output + "'");
  refinement.output = static_cast<OutputKind>(found - std::begin(output_names));
  refinement.output_slot = slot;
}

namespace {

/// Optional fields are lists of one item, or none.
struct CodecRecord {
  std::string name;
  double ratio = 1;
  double accuracy_loss = 0;
  bool only_inputs = false;
  std::vector<LayerSet> head;
  std::string tables;  ///< Their digest; empty: none.
  std::vector<Refinement> refinement;
  double refined_share = 0;
  CodecEffect effect;
  CodecSpeed speed;
  std::uint64_t kept_exact = 0;
};

struct TablesRecord {
  std::string digest;
  std::string base64;
};

struct CalibrationRecord {
  static constexpr int schema_version = Calibration::schema_version;
  std::string fingerprint;
  std::vector<CodecRecord> codecs;
  std::vector<TablesRecord> tables;
};

template <class Archive>
void serialize(Archive& archive, CodecRecord& codec) {
  detail::json_field(archive, "name", codec.name);
  detail::json_field(archive, "ratio", codec.ratio);
  detail::json_field(archive, "accuracy_loss", codec.accuracy_loss);
  detail::json_field(archive, "only_inputs", codec.only_inputs);
  detail::json_field(archive, "head", codec.head);
  detail::json_field(archive, "tables", codec.tables);
  detail::json_field(archive, "refinement", codec.refinement);
  detail::json_field(archive, "refined_share", codec.refined_share);
  detail::json_field(archive, "effect", codec.effect);
  detail::json_field(archive, "speed", codec.speed);
  detail::json_field(archive, "kept_exact", codec.kept_exact);
}

template <class Archive>
void serialize(Archive& archive, TablesRecord& tables) {
  detail::json_field(archive, "digest", tables.digest);
  detail::json_field(archive, "base64", tables.base64);
}

template <class Archive>
void serialize(Archive& archive, CalibrationRecord& record) {
  detail::json_field(archive, "fingerprint", record.fingerprint);
  detail::json_field(archive, "codecs", record.codecs);
  detail::json_field(archive, "tables", record.tables);
}

CodecRecord record_of(const CalibratedCodec& codec) {
  const CodecProfile& profile = codec.profile;
  CodecRecord record{.name = profile.name,
                     .ratio = profile.ratio,
                     .accuracy_loss = profile.accuracy_loss,
                     .only_inputs = profile.only_inputs,
                     .head = {},
                     .tables = profile.tables ? detail::digest_of_tables(*profile.tables) : "",
                     .refinement = {},
                     .refined_share = profile.refined_share,
                     .effect = codec.effect,
                     .speed = codec.speed,
                     .kept_exact = codec.kept_exact};
  if (profile.head) record.head.push_back(*profile.head);
  if (profile.refinement) record.refinement.push_back(*profile.refinement);
  return record;
}

CodecTables tables_of(const TablesRecord& record) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  if (record.base64.find_first_not_of(digits) != std::string::npos)
    corrupt("tables: " + record.digest + " is not base64");
  auto bytes = cereal::base64::decode(record.base64);
  if (const auto found = detail::digest_of_tables(bytes); found != record.digest) {
    corrupt("tables: found the digest " + found + ", expected " + record.digest);
  }
  return std::make_shared<const std::string>(std::move(bytes));
}

}  // namespace

std::vector<CodecProfile> Calibration::profiles(double max_accuracy_loss) const {
  std::vector<CodecProfile> result{CodecProfile{}};
  for (const CalibratedCodec& codec : codecs) {
    if (codec.profile.accuracy_loss <= max_accuracy_loss) result.push_back(codec.profile);
  }
  return result;
}

void Calibration::validate() const {
  for (const CalibratedCodec& codec : codecs) {
    const std::string name = "calibration: codec " + codec.profile.name + ": ";
    detail::check_positive(name + "ratio", codec.profile.ratio);
    check_share(name + "accuracy_loss", codec.profile.accuracy_loss);
    check_share(name + "refined_share", codec.profile.refined_share);
    check_share(name + "agreement", codec.effect.agreement);
    check_share(name + "agreement_low", codec.effect.agreement_low);
    check_share(name + "agreement_high", codec.effect.agreement_high);
    detail::check_number(std::isfinite(codec.effect.divergence_nat), name + "divergence_nat",
                         codec.effect.divergence_nat, "a finite number");
    detail::check_not_negative(name + "largest_error", codec.effect.largest_error);
    detail::check_positive(name + "encode_bytes_per_s", codec.speed.encode_bytes_per_s);
    detail::check_positive(name + "decode_bytes_per_s", codec.speed.decode_bytes_per_s);
    if (codec.profile.refinement) codec.profile.refinement->validate();
  }
}

void Calibration::check_fits(const LayerGraph& graph) const {
  if (fingerprint == graph.fingerprint) return;
  throw Error(ErrorCode::incompatible,
              "calibration of model " + fingerprint + ", expected one of " + graph.fingerprint);
}

std::string to_json(const Calibration& calibration) {
  calibration.validate();
  CalibrationRecord record{calibration.fingerprint, {}, {}};
  std::map<std::string, CodecTables> tables;
  for (const CalibratedCodec& codec : calibration.codecs) {
    record.codecs.push_back(record_of(codec));
    if (codec.profile.tables) tables[record.codecs.back().tables] = codec.profile.tables;
  }
  for (const auto& [digest, bytes] : tables) {
    const auto* const data = reinterpret_cast<const unsigned char*>(bytes->data());
    record.tables.push_back({digest, cereal::base64::encode(data, bytes->size())});
  }
  return detail::write_json(record);
}

Calibration calibration_from_json(const std::string& json) {
  auto record = detail::read_json<CalibrationRecord>(json, "calibration");
  std::map<std::string, CodecTables> tables;
  for (const TablesRecord& one : record.tables) tables[one.digest] = tables_of(one);
  Calibration calibration{std::move(record.fingerprint), {}};
  for (CodecRecord& from : record.codecs) {
    CalibratedCodec codec;
    codec.profile = {.name = std::move(from.name),
                     .ratio = from.ratio,
                     .accuracy_loss = from.accuracy_loss,
                     .only_inputs = from.only_inputs};
    if (!from.head.empty()) codec.profile.head = std::move(from.head.front());
    if (!from.tables.empty()) {
      const auto found = tables.find(from.tables);
      if (found == tables.end())
        corrupt("codec " + codec.profile.name + ": the tables " + from.tables + " are missing");
      codec.profile.tables = found->second;
    }
    if (!from.refinement.empty()) codec.profile.refinement = std::move(from.refinement.front());
    codec.profile.refined_share = from.refined_share;
    codec.effect = from.effect;
    codec.speed = std::move(from.speed);
    codec.kept_exact = from.kept_exact;
    calibration.codecs.push_back(std::move(codec));
  }
  calibration.validate();
  return calibration;
}

void save(const Calibration& calibration, const std::string& path) {
  detail::save_text(to_json(calibration), "calibration", path);
}

Calibration load_calibration(const std::string& path) {
  return detail::load_json("calibration", path, calibration_from_json);
}

}  // namespace splitnet
