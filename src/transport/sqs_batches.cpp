// SPDX-License-Identifier: Apache-2.0
#include "sqs_batches.hpp"

#include <exception>
#include <utility>
#include <vector>

#include "aws/thrown_error.hpp"
#include "on_context.hpp"

namespace splitnet::detail {
namespace {

/// SQS takes no more.
constexpr std::size_t kMostEntries = 10;

std::optional<SqsFailure> failure_of(const SqsResult<SqsClient::BatchResult>& result, std::size_t entry) {
  if (const auto* const failure = std::get_if<SqsFailure>(&result)) return *failure;
  const auto& error = std::get<SqsClient::BatchResult>(result)[entry];
  return error ? std::optional<SqsFailure>(SqsFailure{.error = *error, .is_of_entry = true}) : std::nullopt;
}

}  // namespace

void SqsBatches::add(Entry entry) {
  waiting_.push_back(std::move(entry));
  send_waiting();
}

void SqsBatches::send_waiting() {
  while (!is_pausing_ && under_way_ < limits_.most_at_once && !waiting_.empty()) {
    std::shared_ptr<Batch> batch;
    try {
      batch = next_batch();
    } catch (const std::exception&) {
      fail_first(thrown_error(action_, no_memory_));
      continue;
    }
    if (!batch->empty()) send(batch);
  }
}

void SqsBatches::fail_first(const Error& error) {
  const Entry first = std::move(waiting_.front());
  waiting_.pop_front();
  tell(first, SqsFailure{error});
}

/// What throws leaves those that wait as they are.
std::shared_ptr<SqsBatches::Batch> SqsBatches::next_batch() {
  auto made = std::make_shared<Batch>();
  Batch& batch = *made;
  std::size_t bytes = 0;
  while (!waiting_.empty() && batch.size() < kMostEntries) {
    const Entry& first = waiting_.front();
    if (first.is_wanted && !first.is_wanted()) {
      waiting_.pop_front();
      continue;
    }
    if (!batch.empty() && bytes + first.bytes > limits_.max_bytes) break;
    bytes += first.bytes;
    batch.splice(batch.end(), waiting_, waiting_.begin());
  }
  return made;
}

void SqsBatches::send(const std::shared_ptr<Batch>& sent) {
  ++under_way_;
  try {
    std::vector<std::string> entries;
    entries.reserve(sent->size());
    for (Entry& entry : *sent) entries.push_back(entry.tries > 1 ? entry.members : std::move(entry.members));
    client_->batch(action_, url_, entries, {.time = limits_.time, .stop = stop_},
                   [self = shared_from_this(), sent](const SqsResult<SqsClient::BatchResult>& result) {
                     self->on_result(*sent, result);
                   });
  } catch (const std::exception&) {  // Nothing was sent.
    on_result(*sent, SqsFailure{thrown_error(action_, no_memory_)});
  }
}

void SqsBatches::on_result(Batch& batch, const SqsResult<SqsClient::BatchResult>& result) {
  --under_way_;
  if (std::holds_alternative<SqsClient::BatchResult>(result)) back_off_.reset();
  for (std::size_t i = 0; !batch.empty(); ++i) {
    const auto failure = failure_of(result, i);
    if (goes_again(batch.front(), failure)) {
      --batch.front().tries;
      waiting_.splice(waiting_.end(), batch, batch.begin());
      run_guarded([&] { pause(); });  // Without memory for that it goes at once.
    } else {
      const Entry first = std::move(batch.front());
      batch.pop_front();
      tell(first, failure);
    }
  }
  send_waiting();
}

/// What its `done` throws is no matter of the others.
void SqsBatches::tell(const Entry& entry, const std::optional<SqsFailure>& failure) {
  if (entry.done) run_guarded(entry.done, failure);
}

bool SqsBatches::goes_again(const Entry& entry, const std::optional<SqsFailure>& failure) const {
  return entry.tries > 1 && failure && !failure->is_no_queue && failure->error.code() == ErrorCode::unavailable &&
         !stop_.stop_requested();
}

void SqsBatches::pause() {
  if (is_pausing_) return;
  again_.expires_after(back_off_.next());
  again_.async_wait(guarded([self = shared_from_this()](const auto&) {
    self->is_pausing_ = false;
    self->send_waiting();
  }));
  is_pausing_ = true;
}

}  // namespace splitnet::detail
