// SPDX-License-Identifier: Apache-2.0
#include "sqs_senders.hpp"

#include <utility>

namespace splitnet::detail {
namespace {

/// Answers to one caller that are on their way at once.
constexpr std::size_t kMostAtOnce = 4;

}  // namespace

void SqsSenders::send(const std::string& queue, const SqsMessage& message, Done done) {
  const auto [place, is_new] = queues_.try_emplace(queue);
  Queue& to = place->second;
  if (is_new) {
    to.place_in_line = used_.insert(used_.end(), queue);
  } else {
    used_.splice(used_.end(), used_, to.place_in_line);
  }
  // One that is gone may come again, elsewhere.
  auto tell = [weak = weak_from_this(), queue, done = std::move(done)](const std::optional<SqsFailure>& failure) {
    const auto self = weak.lock();
    if (self && failure && failure->is_no_queue) {
      const auto found = self->queues_.find(queue);
      if (found != self->queues_.end() && found->second.batches) {
        self->used_.erase(found->second.place_in_line);
        self->queues_.erase(found);
      }
    }
    done(failure);
  };
  SqsBatches::Entry entry{.members = members_to_send(message), .bytes = message.size_bytes(), .done = std::move(tell)};
  if (to.batches) return to.batches->add(std::move(entry));
  to.waiting.push_back(std::move(entry));
  if (!is_new) return;
  find(queue);
  forget_oldest();
}

void SqsSenders::find(const std::string& name) {
  client_->find(name, {.stop = stop_}, [self = shared_from_this(), name](const SqsResult<std::string>& result) {
    self->on_url(name, result);
  });
}

void SqsSenders::on_url(const std::string& name, const SqsResult<std::string>& result) {
  const auto found = queues_.find(name);
  if (found == queues_.end()) return;
  auto waiting = std::move(found->second.waiting);
  if (const auto* const failure = std::get_if<SqsFailure>(&result)) {
    used_.erase(found->second.place_in_line);
    queues_.erase(found);
    for (const auto& entry : waiting) entry.done(*failure);
    return;
  }
  const auto batches = std::make_shared<SqsBatches>(client_, "SendMessageBatch", std::get<std::string>(result),
                                                    kMostAtOnce, max_bytes_, stop_);
  found->second.batches = batches;
  for (auto& entry : waiting) batches->add(std::move(entry));
}

void SqsSenders::forget_oldest() {
  for (auto next = used_.begin(); next != used_.end() && queues_.size() > most_queues;) {
    const auto found = queues_.find(*next);
    const bool is_idle = found->second.batches && found->second.batches->is_idle();
    if (!is_idle) {
      ++next;
      continue;
    }
    queues_.erase(found);
    next = used_.erase(next);
  }
}

}  // namespace splitnet::detail
