// SPDX-License-Identifier: Apache-2.0
/// \file
/// Everything that does without libtorch.
#pragma once

#include "splitnet/cost_model.hpp"
#include "splitnet/cut.hpp"
#include "splitnet/device_profile.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/error.hpp"
#include "splitnet/layer_graph.hpp"
#include "splitnet/layer_time_predictor.hpp"
#include "splitnet/link_profile.hpp"
#include "splitnet/message.hpp"
#include "splitnet/model.hpp"
#include "splitnet/planner.hpp"
#include "splitnet/session.hpp"
#include "splitnet/stage.hpp"
#include "splitnet/stage_cache.hpp"
#include "splitnet/tensor.hpp"
#include "splitnet/transport.hpp"
#include "splitnet/transport/inproc.hpp"
#include "splitnet/transport/shaped.hpp"
#include "splitnet/transport/tcp.hpp"
#include "splitnet/transport_registry.hpp"
#include "splitnet/value.hpp"
#include "splitnet/worker.hpp"
