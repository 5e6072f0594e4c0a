// SPDX-License-Identifier: Apache-2.0
// sqs: against the suite of every transport, with a queue and a store of its own for each case.
#include "aws/sqs_stand_in.hpp"  // The first: it has what is Boost's.

#include "splitnet/testing/transport_conformance.hpp"
#include "splitnet/transport/sqs.hpp"

namespace splitnet {
namespace {

using testing::SqsStandIn;
using testing::TransportCase;

std::shared_ptr<Transport> sqs() {
  const auto service = std::make_shared<SqsStandIn>();
  service->make_queue("a");
  SqsOptions options;
  options.aws = service->options();
  options.store = "s3://bodies/some/prefix";
  options.max_in_flight = 100;  // Cases hold so many at once.
  const auto transport = make_sqs_transport(options);
  return {transport.get(), [service, transport](Transport*) {}};  // The service goes with it.
}

INSTANTIATE_TEST_SUITE_P(Sqs, TransportConformance,
                         ::testing::Values(TransportCase{sqs, "sqs://a", "sqs://nobody", false, true}));

}  // namespace
}  // namespace splitnet
