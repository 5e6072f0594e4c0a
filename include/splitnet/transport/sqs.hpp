// SPDX-License-Identifier: Apache-2.0
/// \file
/// `sqs://QUEUE`: workers behind a queue of Amazon SQS. Whoever is free takes the next request, workers come and go,
/// and what one of them did not finish another one does.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "splitnet/aws/options.hpp"
#include "splitnet/transport.hpp"

namespace splitnet {

struct SqsOptions {
  AwsOptions aws = {};
  /// As LambdaOptions::store: for bodies that are larger than a message of the queue may be (its MaximumMessageSize,
  /// 1 MiB at most).
  std::string store = {};

  /// How long one question for answers, or for requests, waits for some (WaitTimeSeconds). 0 to 20 s; shorter asks more
  /// often, once a second at most. A server that does not notice that who asked has gone (moto's, say) may give its
  /// next request to nobody, as long as that question waits: to be hidden for a while, and a delivery that counts.
  /// With 4 s or less that needs a worker that is killed: one that ends, or can't do what it takes, waits for its
  /// question to end, and gives back what it brings.
  std::chrono::seconds wait_time = std::chrono::seconds(20);

  // Of connections.

  /// The queue that answers come to; it has to be there, its name has to begin with "QUEUE-replies-", and one
  /// connection at a time has it. Empty: each connection makes its own, and removes it when it is closed; what a
  /// process that was killed has left there is an empty queue, which costs nothing.
  std::string reply_queue = {};

  // Of listeners.

  /// For so long a request is hidden from other workers when one has taken it, counted anew at half of it as long as it
  /// is being worked on: how late another one begins after a worker has died. 2 s to 8 h. SQS hides no request for more
  /// than 12 hours in all: what takes longer is begun a second time. Nothing is hidden while AwsOptions::credentials
  /// gets new ones: choose more than twice what that may take.
  std::chrono::seconds visibility_timeout = std::chrono::seconds(30);
  /// Requests that this worker holds at once. Those that wait here can't be taken by another worker; so little more
  /// than what it works on at once.
  std::size_t max_in_flight = 2;
  /// How often a request is tried before it goes to the dead-letter queue, whether its workers crashed or could not do
  /// it. The default bridges an outage of half a minute (pauses of 2, 4, 8 and 16 s); more for longer ones, but each
  /// request that kills its worker then kills as many.
  std::size_t max_deliveries = 5;
  /// Empty: "QUEUE-dead".
  std::string dead_letter_queue = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// Endpoints: `sqs://NAME`, a standard queue that is there. Connects and listens.
///
/// **At least once, answered once.** A request is deleted after its answer was sent, so a worker that dies leaves it to
/// the next. The answer comes to the connection's own queue; what comes a second time, or after the call has ended, is
/// dropped. A worker that gets a request again which it has answered before only deletes it.
///
/// **What a worker could not do** is tried again: an answer `overloaded` or `unavailable` goes to nobody, the request
/// goes back and comes again after a pause that doubles (2 s to 5 min, or Error::retry_after_s where that is longer).
/// The worker itself asks for nothing during a random pause that doubles too (1 s to 2 s at first, 15 s to 30 s at
/// most, from the start after an answer), so that one that can do nothing does not take what others could do. Every
/// other error is the answer. A request that was taken `max_deliveries` times without an answer (its workers crashed
/// over it, say) goes to the dead-letter queue with its `reason`, and its caller gets that reason as `internal`. What
/// is not a request of splitnet goes there at once, and where its attributes say who waits, he gets `corrupt`. Give the
/// queue no redrive policy of its own with fewer deliveries than that: it would take requests away without a reason.
///
/// **Deadlines** travel, and the time in the queue counts, by the queue's own clock; a request whose time is over is
/// deleted unseen. **Give each call one**: SQS drops what has waited for the queue's MessageRetentionPeriod, and tells
/// nobody; a call without a deadline then waits for ever. Cancelling ends the call here; the worker is not told.
///
/// Requests, answers and deletions go in batches of up to ten as soon as more than one wait. Answers and requests are
/// waited for by long polling, by a connection only while it has calls. Where a queue can't be reached, it is asked
/// again after a pause (ConnectOptions::reconnect). A request whose sending is not answered, and so may be in the
/// queue, is sent again unless reconnect is off: five times in all, with about a second of pauses between, and up to
/// 30 s each time where nobody answers. Calls end with `unavailable` then, and when what they wait for is lost: the
/// reply queue is gone. `Listener::close` gives back what it has taken and not answered; that delivery counts.
///
/// ListenOptions::log gets a `warning` for what goes to the dead-letter queue or can't get there, and for what is given
/// back because something was thrown over it (no memory) or its answer could not be sent: one a second, whose
/// `left_out` says how many others there were since the one before; also once when the queue can't be asked. `debug`
/// for what else is given back, and what is deleted because nobody waits for it any more. With `request` and
/// `deliveries`.
///
/// Who may send to the queue may use the worker: that is a matter of the queue's policy, tokens are not looked at. A
/// worker sends answers only to queues named "QUEUE-replies-…".
///
/// Errors: of `connect` and `listen` invalid_argument (no such queue in this region), unauthenticated, unavailable; of
/// calls besides overloaded (SQS throttles, too many calls), too_large, internal (dead-lettered).
std::shared_ptr<Transport> make_sqs_transport(const SqsOptions& options = {});

}  // namespace splitnet
