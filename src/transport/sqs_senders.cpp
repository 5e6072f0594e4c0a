// SPDX-License-Identifier: Apache-2.0
#include "sqs_senders.hpp"

#include <utility>

#include "sqs_names.hpp"

namespace splitnet::detail {
namespace {

/// Answers to one caller that are on their way at once.
constexpr std::size_t kMostAtOnce = 4;

}  // namespace

void SqsSenders::send(const std::string& queue, const SqsMessage& message, Done done) {
  SqsBatches::Entry entry{.members = members_to_send(message), .bytes = message.size_bytes(), .done = std::move(done)};
  const auto found = queues_.find(queue);
  if (found != queues_.end()) {
    used_.splice(used_.end(), used_, found->second.place_in_line);
    return found->second.batches->add(std::move(entry));
  }
  const auto batches =
      std::make_shared<SqsBatches>(client_, "SendMessageBatch", url_beside(url_, queue),
                                   SqsBatches::Limits{.most_at_once = kMostAtOnce, .max_bytes = max_bytes_}, stop_);
  const auto place = used_.insert(used_.end(), queue);
  try {
    queues_.emplace(queue, Queue{batches, place});
  } catch (...) {
    used_.erase(place);
    throw;
  }
  batches->add(std::move(entry));
  forget_oldest();
}

void SqsSenders::forget_oldest() {
  for (auto next = used_.begin(); next != used_.end() && queues_.size() > most_queues;) {
    const auto found = queues_.find(*next);
    if (!found->second.batches->is_idle()) {
      ++next;
      continue;
    }
    queues_.erase(found);
    next = used_.erase(next);
  }
}

}  // namespace splitnet::detail
