// SPDX-License-Identifier: Apache-2.0
/// \file
/// What the C++ in README and docs takes for granted.
#pragma once

#include <splitnet/aws.hpp>
#include <splitnet/splitnet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace custom {
std::shared_ptr<splitnet::Transport> make_pipe_transport();
}

extern std::shared_ptr<const splitnet::Model> model;
extern std::unique_ptr<splitnet::Session> session;
extern splitnet::SessionOptions options;
extern splitnet::TwoTierOptions planning;
extern splitnet::CalibratedCodec result;
extern std::vector<std::byte> file;
extern std::vector<std::vector<splitnet::Value>> examples;
extern std::vector<std::size_t> photo_of_each_example;
extern std::vector<splitnet::Cut> cuts;
extern std::vector<splitnet::CodecProfile> codecs;
extern std::string endpoint;
extern at::Tensor image;
extern at::Tensor photo;
