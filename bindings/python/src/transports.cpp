// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "bindings.hpp"
#include "interrupt.hpp"
#include "log_sink.hpp"
#include "splitnet/access.hpp"
#include "splitnet/aws/transports.hpp"
#include "splitnet/transport/shaped.hpp"
#include "splitnet/transport_registry.hpp"
#include "value_class.hpp"

namespace splitnet::python {
namespace {

TransportRegistry registry_with_aws(const TlsOptions& tls) {
  auto registry = TransportRegistry::with_defaults(tls);
  add_aws_transports(registry);
  return registry;
}

void register_options(py::module_& module) {
  using M = MessageLimits;
  value_class<M>(module, "MessageLimits", field("max_message_bytes", &M::max_message_bytes),
                 field("max_metadata_bytes", &M::max_metadata_bytes), field("max_tensors", &M::max_tensors),
                 field("max_rank", &M::max_rank), field("max_depth", &M::max_depth),
                 field("max_values", &M::max_values));
  value_class<Reconnect>(module, "Reconnect", field("enabled", &Reconnect::enabled),
                         field("first_pause_s", &Reconnect::first_pause),
                         field("longest_pause_s", &Reconnect::longest_pause));
  using C = ConnectOptions;
  value_class<C>(module, "ConnectOptions", field("connect_timeout_s", &C::connect_timeout), field("token", &C::token),
                 field("reconnect", &C::reconnect), field("dead_peer_timeout_s", &C::dead_peer_timeout),
                 field("limits", &C::limits), field("payload_checksum", &C::payload_checksum),
                 field("max_calls_in_flight", &C::max_calls_in_flight),
                 field("max_queued_bytes", &C::max_queued_bytes));
  using L = ListenOptions;
  value_class<L>(
      module, "ListenOptions", field("limits", &L::limits), field("payload_checksum", &L::payload_checksum),
      field("token", &L::token), field("max_connections", &L::max_connections),
      field("max_calls_in_flight", &L::max_calls_in_flight), field("max_queued_bytes", &L::max_queued_bytes),
      field("max_received_bytes", &L::max_received_bytes), field("message_timeout_s", &L::message_timeout),
      field("handshake_timeout_s", &L::handshake_timeout), field("max_connects_per_s", &L::max_connects_per_s),
      field("max_requests_per_s", &L::max_requests_per_s), field("max_wrong_tokens_per_s", &L::max_wrong_tokens_per_s),
      field("dead_peer_timeout_s", &L::dead_peer_timeout), field("allow_remote", &L::allow_remote),
      field("log", &L::log));
  value_class<TlsOptions>(module, "TlsOptions", field("certificate_file", &TlsOptions::certificate_file),
                          field("private_key_file", &TlsOptions::private_key_file),
                          field("ca_file", &TlsOptions::ca_file), field("client_ca_file", &TlsOptions::client_ca_file),
                          field("server_name", &TlsOptions::server_name));
  using S = ShapedOptions;
  value_class<S>(module, "ShapedOptions", field("up_bytes_per_s", &S::up_bytes_per_s),
                 field("down_bytes_per_s", &S::down_bytes_per_s), field("up_trace", &S::up_trace),
                 field("down_trace", &S::down_trace), field("delay_s", &S::delay_s), field("jitter_s", &S::jitter_s),
                 field("loss", &S::loss), field("seed", &S::seed))
      .def("validate", &S::validate, doc("ShapedOptions::validate"))
      .def_static("parse", &parse_shaped_options, py::arg("text"), doc("parse_shaped_options"));
}

void register_registry(py::module_& module) {
  py::class_<Connection, std::shared_ptr<Connection>>(module, "Connection", doc("Connection"))
      .def("close", &Connection::close, py::call_guard<py::gil_scoped_release>(), doc("Connection::close"))
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](Connection& self, const py::args&) {
        const py::gil_scoped_release released;
        self.close();
      });
  py::class_<TransportRegistry>(module, "TransportRegistry", doc("TransportRegistry"))
      .def(py::init(&registry_with_aws), shown_default("tls", TlsOptions{}), doc("TransportRegistry::with_defaults"))
      .def_property_readonly("schemes", &TransportRegistry::schemes, "Known ones: \"tcp\", \"shm\" ….")
      .def(
          "connect",
          [](const TransportRegistry& self, const std::string& endpoint, const ConnectOptions& options) {
            return wait_interruptibly(
                [self, endpoint, options] { return std::shared_ptr<Connection>(self.connect(endpoint, options)); });
          },
          py::arg("endpoint"), shown_default("options", ConnectOptions{}), doc("TransportRegistry::connect"))
      .def("__repr__", [](const TransportRegistry&) { return "TransportRegistry()"; });
}

}  // namespace

const TransportRegistry& default_registry() {
  static const TransportRegistry registry = registry_with_aws({});
  return registry;
}

void register_transports(py::module_& module) {
  register_options(module);
  register_registry(module);
  module.def(
      "default_registry", [] { return default_registry(); },
      "The transports that are used where none are given: one for the process, so that an `inproc://` worker is found "
      "by the sessions beside it.");
  module.def("load_token", &load_token, py::arg("path"), doc("load_token"));
  module.def("token_from_environment", &token_from_environment, py::arg("variable"), doc("token_from_environment"));
}

}  // namespace splitnet::python
