// SPDX-License-Identifier: Apache-2.0
// One peer of a listener, behind a channel. Private.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "accepted_peer.hpp"
#include "admission.hpp"
#include "channel.hpp"
#include "refusal_log.hpp"
#include "served_calls.hpp"

namespace splitnet::detail {

/// What the peers of one listener have in common.
struct ServedBy {
  ListenOptions options;
  Handler handler;
  Admission admission;
  RefusalLog refusals;
  std::shared_ptr<ByteBudget> budget;

  ServedBy(Handler its_handler, const ListenOptions& its_options)
      : options(its_options),
        handler(std::move(its_handler)),
        admission(its_options),
        refusals(its_options.log),
        budget(std::make_shared<ByteBudget>(its_options.max_received_bytes)) {}
  /// Of the channels of new peers: as long as they have to show a token, little is read of them.
  [[nodiscard]] ChannelOptions channel_options() const;
};

/// An error message, encoded.
EncodedMessage encode_error(std::uint64_t id, const Error& error);

class ServedPeer : public ChannelOwner, public AcceptedPeer, public std::enable_shared_from_this<ServedPeer> {
 public:
  using Gone = std::function<void(const std::shared_ptr<ServedPeer>&)>;
  struct Address {
    std::string host;  ///< Without port: wrong tokens are counted by it.
    std::string text;  ///< For logs.
  };
  /// `gone` runs when its channel has closed.
  ServedPeer(std::shared_ptr<ServedBy> by, std::shared_ptr<Channel> channel, Address address, Gone gone)
      : by_(std::move(by)),
        channel_(std::move(channel)),
        address_(std::move(address)),
        gone_(std::move(gone)),
        requests_(by_->options.max_requests_per_s) {}

  void start() override;
  void close(const Error& reason) override { channel_->close(reason); }

  void on_open() override;
  void on_message(Message message) override;
  void on_bad_message(const MessageHeader& header, const Error& error) override;
  void on_bad_stream(const Error& error) override;
  void on_closed(const Error& reason) override;
  [[nodiscard]] bool may_read() const override { return calls_->in_flight() < by_->options.max_calls_in_flight; }

 private:
  void on_hello(const Message& message);
  void on_request(Message message);
  void send(const Message& reply);
  [[nodiscard]] EncodedMessage encode_reply(const Message& reply) const;

  const std::shared_ptr<ServedBy> by_;
  const std::shared_ptr<Channel> channel_;
  const Address address_;
  const Gone gone_;
  std::shared_ptr<ServedCalls> calls_;
  RateLimit requests_;           // The context's thread only.
  bool is_open_ = false;         // Likewise.
  bool is_established_ = false;  // Likewise.
};

}  // namespace splitnet::detail
