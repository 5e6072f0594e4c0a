// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport.hpp"

#include <semaphore>
#include <utility>

namespace splitnet {

Message call_and_wait(Connection& connection, Message request, Deadline deadline, std::stop_token stop) {
  // Shared: the completion may still be inside release() when this function has returned.
  struct Rendezvous {
    std::binary_semaphore ready{0};
    std::optional<CallResult> result;
  };
  auto meeting = std::make_shared<Rendezvous>();
  connection.call(std::move(request), deadline, std::move(stop), [meeting](CallResult result) {
    meeting->result.emplace(std::move(result));
    meeting->ready.release();
  });
  meeting->ready.acquire();
  if (const auto* error = std::get_if<Error>(&*meeting->result)) throw Error(*error);
  Message reply = std::get<Message>(std::move(*meeting->result));
  reply.throw_if_error();
  return reply;
}

}  // namespace splitnet
