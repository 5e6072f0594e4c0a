// SPDX-License-Identifier: Apache-2.0
// The promises of splitnet/transport.hpp, kept by this transport as by those of the library.
#include <splitnet/testing/transport_conformance.hpp>

#include <unistd.h>

#include "pipe_transport.hpp"

namespace {

std::string folder(const std::string& name) {
  return "pipe://" + ::testing::TempDir() + "splitnet_pipe_" + name + "_" + std::to_string(::getpid());
}

// No tokens, no rates, no way back: what is asked of transports that leave the process is left to others.
INSTANTIATE_TEST_SUITE_P(Pipe, TransportConformance,
                         ::testing::Values(splitnet::testing::TransportCase{custom::make_pipe_transport, folder("a"),
                                                                            folder("nobody"), false}));

}  // namespace
