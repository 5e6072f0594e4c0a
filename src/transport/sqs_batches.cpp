// SPDX-License-Identifier: Apache-2.0
#include "sqs_batches.hpp"

#include <exception>
#include <utility>

namespace splitnet::detail {
namespace {

/// SQS takes no more.
constexpr std::size_t kMostEntries = 10;

}  // namespace

void SqsBatches::add(Entry entry) {
  waiting_.push_back(std::move(entry));
  send_waiting();
}

void SqsBatches::send_waiting() {
  while (under_way_ < most_at_once_ && !waiting_.empty()) {
    auto batch = next_batch();
    if (!batch.empty()) send(std::move(batch));
  }
}

std::vector<SqsBatches::Entry> SqsBatches::next_batch() {
  std::vector<Entry> batch;
  std::size_t bytes = 0;
  while (!waiting_.empty() && batch.size() < kMostEntries) {
    Entry& first = waiting_.front();
    const bool is_wanted = !first.is_wanted || first.is_wanted();
    if (is_wanted && !batch.empty() && bytes + first.bytes > max_bytes_) break;
    if (is_wanted) {
      bytes += first.bytes;
      batch.push_back(std::move(first));
    }
    waiting_.pop_front();
  }
  return batch;
}

void SqsBatches::send(std::vector<Entry> batch) {
  std::vector<std::string> entries;
  entries.reserve(batch.size());
  for (Entry& entry : batch) entries.push_back(std::move(entry.members));
  const auto sent = std::make_shared<const std::vector<Entry>>(std::move(batch));
  ++under_way_;
  client_->batch(action_, url_, entries, {.time = time_, .stop = stop_},
                 [self = shared_from_this(), sent](const SqsResult<SqsClient::BatchResult>& result) {
                   --self->under_way_;
                   finish(*sent, result);
                   self->send_waiting();
                 });
}

void SqsBatches::finish(const std::vector<Entry>& batch, const SqsResult<SqsClient::BatchResult>& result) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (!batch[i].done) continue;
    try {
      if (const auto* const failure = std::get_if<SqsFailure>(&result)) {
        batch[i].done(*failure);
        continue;
      }
      const auto& error = std::get<SqsClient::BatchResult>(result)[i];
      batch[i].done(error ? std::optional<SqsFailure>(SqsFailure{*error}) : std::nullopt);
    } catch (const std::exception&) {  // No memory for this one: the others hear of theirs all the same.
    }
  }
}

}  // namespace splitnet::detail
