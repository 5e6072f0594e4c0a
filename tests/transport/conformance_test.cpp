// SPDX-License-Identifier: Apache-2.0
// Every transport of the library against the one suite: a new one adds a line here.
#include "splitnet/testing/transport_conformance.hpp"

#include <unistd.h>

#ifdef SPLITNET_WITH_TLS
#include "certificates.hpp"
#endif
#include "splitnet/transport/http.hpp"
#include "splitnet/transport/inproc.hpp"
#include "splitnet/transport/shaped.hpp"
#include "splitnet/transport/shm.hpp"
#include "splitnet/transport/tcp.hpp"
#include "splitnet/transport/tls.hpp"
#include "splitnet/transport/unix.hpp"

namespace splitnet {
namespace {

using testing::TransportCase;

std::shared_ptr<Transport> tcp() {
  return make_tcp_transport();
}
std::shared_ptr<Transport> frugal_tcp() {
  SocketOptions options;
  options.listener_threads = 1;
  options.receive_pool_bytes = 0;
  return make_tcp_transport(options);
}

std::shared_ptr<Transport> unix() {
  return make_unix_transport();
}
/// Of this process: tests run side by side.
std::string socket_name(const std::string& name) {
  return "unix://@splitnet_" + name + "_" + std::to_string(::getpid());
}

std::string socket_file(const std::string& name) {
  return "unix://" + ::testing::TempDir() + "splitnet_" + name + "_" + std::to_string(::getpid());
}

std::shared_ptr<Transport> shm() {
  return make_shm_transport();
}
std::shared_ptr<Transport> shm_without_arena() {
  ShmOptions options;
  options.arena_bytes = 0;
  options.listener_threads = 1;
  return make_shm_transport(options);
}
std::shared_ptr<Transport> shm_in_a_small_arena() {
  ShmOptions options;
  options.arena_bytes = 1 << 20;
  options.kept_bytes = 1 << 16;
  return make_shm_transport(options);
}

std::shared_ptr<Transport> shaped() {
  return make_shaped_transport({{"inproc", make_inproc_transport()}, {"tcp", make_tcp_transport()}});
}

// Port 1 (tcpmux) is privileged and not in use on machines that run tests.
INSTANTIATE_TEST_SUITE_P(Inproc, TransportConformance,
                         ::testing::Values(TransportCase{make_inproc_transport, "inproc://a", "inproc://nobody",
                                                         false}));
INSTANTIATE_TEST_SUITE_P(Tcp, TransportConformance,
                         ::testing::Values(TransportCase{tcp, "tcp://127.0.0.1:0", "tcp://127.0.0.1:1"}));
INSTANTIATE_TEST_SUITE_P(FrugalTcp, TransportConformance,
                         ::testing::Values(TransportCase{frugal_tcp, "tcp://localhost:0", "tcp://localhost:1"}));
INSTANTIATE_TEST_SUITE_P(Unix, TransportConformance,
                         ::testing::Values(TransportCase{unix, socket_name("a"), socket_name("nobody")}));
INSTANTIATE_TEST_SUITE_P(UnixFile, TransportConformance,
                         ::testing::Values(TransportCase{unix, socket_file("a"), socket_file("nobody")}));
#ifdef SPLITNET_WITH_TLS
TlsOptions mutual_tls() {
  static const testing::Certificates certificates;
  static const bool issued = (certificates.issue("server"), certificates.issue("client"), true);
  (void)issued;
  TlsOptions options = certificates.server("server");
  options.ca_file = certificates.client().ca_file;
  options.client_ca_file = options.ca_file;
  return options;
}
std::shared_ptr<Transport> tls() {
  return make_tls_transport(mutual_tls());
}
INSTANTIATE_TEST_SUITE_P(Tls, TransportConformance,
                         ::testing::Values(TransportCase{tls, "tls://localhost:0", "tls://localhost:1"}));
#endif
#ifdef SPLITNET_WITH_HTTP
std::shared_ptr<Transport> http() {
  return make_http_transport();
}
/// Enough sockets for the calls that cases hold at once.
std::shared_ptr<Transport> frugal_http() {
  HttpOptions options;
  options.sockets.listener_threads = 1;
  options.sockets.receive_pool_bytes = 0;
  options.max_sockets = 10;
  return make_http_transport(options);
}
std::shared_ptr<Transport> shaped_http() {
  return make_shaped_transport({{"http", make_http_transport()}});
}
INSTANTIATE_TEST_SUITE_P(Http, TransportConformance,
                         ::testing::Values(TransportCase{http, "http://127.0.0.1:0", "http://127.0.0.1:1"}));
INSTANTIATE_TEST_SUITE_P(FrugalHttp, TransportConformance,
                         ::testing::Values(TransportCase{frugal_http, "http://localhost:0/a/path",
                                                         "http://localhost:1/a/path"}));
INSTANTIATE_TEST_SUITE_P(ShapedHttp, TransportConformance,
                         ::testing::Values(TransportCase{shaped_http, "shaped://@http://127.0.0.1:0",
                                                         "shaped://@http://127.0.0.1:1"}));
#ifdef SPLITNET_WITH_TLS
std::shared_ptr<Transport> https() {
  return make_https_transport(mutual_tls());
}
INSTANTIATE_TEST_SUITE_P(Https, TransportConformance,
                         ::testing::Values(TransportCase{https, "https://localhost:0/a", "https://localhost:1/a"}));
#endif
#endif
// Processes that run the tests at the same time have other names.
std::string shm_endpoint(const std::string& name) {
  return "shm://test-" + std::to_string(::getpid()) + "-" + name;
}
INSTANTIATE_TEST_SUITE_P(Shm, TransportConformance,
                         ::testing::Values(TransportCase{shm, shm_endpoint("a"), shm_endpoint("nobody")}));
INSTANTIATE_TEST_SUITE_P(ShmWithoutArena, TransportConformance,
                         ::testing::Values(TransportCase{shm_without_arena, shm_endpoint("a"),
                                                         shm_endpoint("nobody")}));
INSTANTIATE_TEST_SUITE_P(ShmInASmallArena, TransportConformance,
                         ::testing::Values(TransportCase{shm_in_a_small_arena, shm_endpoint("a"),
                                                         shm_endpoint("nobody")}));
INSTANTIATE_TEST_SUITE_P(ShapedInproc, TransportConformance,
                         ::testing::Values(TransportCase{shaped, "shaped://@inproc://a", "shaped://@inproc://nobody",
                                                         false}));
INSTANTIATE_TEST_SUITE_P(ShapedTcp, TransportConformance,
                         ::testing::Values(TransportCase{shaped, "shaped://@tcp://127.0.0.1:0",
                                                         "shaped://@tcp://127.0.0.1:1"}));
INSTANTIATE_TEST_SUITE_P(ShapedWithALink, TransportConformance,
                         ::testing::Values(TransportCase{shaped, "shaped://delay=1ms,up=1Gbit@inproc://a",
                                                         "shaped://delay=1ms@inproc://nobody", false}));

}  // namespace
}  // namespace splitnet
