// SPDX-License-Identifier: Apache-2.0
// What the soak asks for: a network, many inputs, and what plans for it give.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "splitnet/cut.hpp"
#include "splitnet/model.hpp"
#include "splitnet/value.hpp"

namespace splitnet::soak {

/// One that takes a picture of 64 x 64, as the worker and the device have it.
struct Network {
  std::string file;
  std::shared_ptr<const Model> model;
  std::vector<Value> pictures;
};

/// A model of the zoo with the picture in `inputs_file`, shifted by each of `count` distances. Throws as
/// Partitioner::load.
Network zoo_network(const std::string& file, const std::string& inputs_file, std::size_t count);
/// A small network without training, which is written into `folder`, and pictures that look like noise.
Network own_network(const std::string& folder, std::size_t count);

/// One thread, in the session and on the workers: else the last bits differ.
inline constexpr int threads = 1;

/// What the uncut model gives for each picture. Throws std::runtime_error: two are the same, so that their answers
/// could be mistaken for one another.
std::vector<Value> uncut_answers(const Network& network);
/// What the two stages behind and in front of `cut` give, with what `codec` makes of the boundary. Throws likewise.
std::vector<Value> coded_answers(const Network& network, const Cut& cut, const std::string& codec);
/// The first legal one behind half of the layers.
Cut middle_cut(const Model& model);

}  // namespace splitnet::soak
