// SPDX-License-Identifier: Apache-2.0
#include "model_table.hpp"

#include <algorithm>
#include <utility>

#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet::detail {

namespace {

using Clock = std::chrono::steady_clock;

std::string joined_or_none(const std::vector<std::string>& names) {
  return names.empty() ? "none" : joined(names);
}

std::shared_ptr<ServedModel> served(const std::string& name, std::shared_ptr<const Model> model) {
  if (!model) throw Error(ErrorCode::invalid_argument, "no model given for the name " + quoted(name));
  auto result = std::make_shared<ServedModel>();
  result->model = std::move(model);
  return result;
}

}  // namespace

void ModelTable::add(std::string name, std::shared_ptr<const Model> model) {
  if (name.empty() || name.find_first_of("/\\:") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument,
                "a model can't have the name " + quoted(name) + ": expected a word without '/', '\\' and ':'");
  }
  auto added = served(name, std::move(model));
  const std::lock_guard lock(mutex_);
  const auto [position, is_new] = models_.try_emplace(std::move(name), std::move(added));
  if (!is_new) {
    throw Error(ErrorCode::invalid_argument, "this worker already has a model " + quoted(position->first));
  }
}

bool ModelTable::replace(const std::string& name, std::shared_ptr<const Model> model) {
  auto version = served(name, std::move(model));
  const std::string& fingerprint = version->model->fingerprint();
  const std::lock_guard lock(mutex_);
  const auto found = models_.find(name);
  if (found == models_.end()) {
    throw Error(ErrorCode::invalid_argument,
                "no model " + quoted(name) + " to replace; this worker has: " + joined_or_none(names_now()));
  }
  if (found->second->model->fingerprint() == fingerprint) return false;
  forget_old_ones();
  std::erase_if(retired_, [&](const Retired& old) {  // It is back.
    return old.version.name == name && old.version.served->model->fingerprint() == fingerprint;
  });
  retired_.push_back({{name, found->second}, Clock::now()});
  found->second = std::move(version);
  return true;
}

std::vector<std::string> ModelTable::names() const {
  const std::lock_guard lock(mutex_);
  return names_now();
}

std::vector<std::string> ModelTable::names_now() const {
  std::vector<std::string> names;
  for (const auto& [name, model] : models_) names.push_back(name);
  return names;
}

ModelTable::Found ModelTable::find(const StageRequest& asked) {
  const std::lock_guard lock(mutex_);
  const auto is_meant = [&](const std::string& name, const ServedModel& version) {
    return (asked.model.empty() || asked.model == name) && version.model->fingerprint() == asked.fingerprint;
  };
  for (const auto& [name, version] : models_) {
    if (is_meant(name, *version)) return {name, version};
  }
  forget_old_ones();
  const auto now = Clock::now();
  for (Retired& old : retired_) {
    if (!is_meant(old.version.name, *old.version.served) || now - old.last_asked >= grace_) continue;
    old.last_asked = now;
    return old.version;
  }
  if (asked.model.empty()) {
    throw Error(ErrorCode::incompatible, "no model with fingerprint " + quoted(asked.fingerprint) +
                                             " here; the models here are others: " + joined_or_none(names_now()));
  }
  const auto named = models_.find(asked.model);
  if (named == models_.end()) {
    throw Error(ErrorCode::invalid_argument,
                "unknown model " + quoted(asked.model) + "; this worker has: " + joined_or_none(names_now()));
  }
  throw Error(ErrorCode::incompatible, "model " + quoted(named->first) + " has fingerprint " +
                                           named->second->model->fingerprint() + " here, the request was made for " +
                                           quoted(asked.fingerprint));
}

void ModelTable::forget_old_ones() {
  const auto now = Clock::now();
  std::erase_if(retired_, [&](const Retired& old) {
    // Who has it got it under the lock: once nobody has, nobody will, and no stage of it is cut behind our back.
    if (now - old.last_asked < grace_ || old.version.served.use_count() > 1) return false;
    forgotten_.push_back(old.version.served);
    return true;
  });
}

std::vector<std::shared_ptr<ServedModel>> ModelTable::take_forgotten() {
  const std::lock_guard lock(mutex_);
  forget_old_ones();
  return std::exchange(forgotten_, {});
}

}  // namespace splitnet::detail
