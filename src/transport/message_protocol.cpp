// SPDX-License-Identifier: Apache-2.0
#include "message_protocol.hpp"

#include <utility>

#include "stream_channel.hpp"

namespace splitnet::detail {
namespace {

class TurnedAway : public ChannelOwner, public AcceptedPeer, public std::enable_shared_from_this<TurnedAway> {
 public:
  TurnedAway(std::shared_ptr<Channel> channel, const Error& reason, Gone gone)
      : channel_(std::move(channel)), reason_(reason), gone_(std::move(gone)) {}

  void start() override { channel_->start(shared_from_this()); }
  void close(const Error& reason) override { channel_->close(reason); }

  void on_open() override { channel_->close_after(encode_error(0, reason_), reason_); }
  void on_message(Message) override {}
  void on_bad_message(const MessageHeader&, const Error&) override {}
  void on_bad_stream(const Error& error) override { channel_->close(error); }
  void on_closed(const Error&) override { gone_(this); }

 private:
  const std::shared_ptr<Channel> channel_;
  const Error reason_;
  const Gone gone_;
};

class MessageProtocol : public StreamProtocol {
 public:
  MessageProtocol(std::shared_ptr<ServedBy> by, std::shared_ptr<BufferPool> pool)
      : by_(std::move(by)), pool_(std::move(pool)) {}

  std::shared_ptr<AcceptedPeer> serve(AcceptedStream accepted, AcceptedPeer::Gone gone) override {
    auto channel = std::make_shared<StreamChannel>(std::move(accepted.context), std::move(accepted.stream), pool_,
                                                   by_->channel_options(), accepted.address.text);
    return std::make_shared<ServedPeer>(
        by_, std::move(channel), std::move(accepted.address),
        [gone = std::move(gone)](const std::shared_ptr<ServedPeer>& peer) { gone(peer.get()); });
  }
  std::shared_ptr<AcceptedPeer> turn_away(AcceptedStream accepted, const Error& reason,
                                          AcceptedPeer::Gone gone) override {
    const ChannelOptions options{{}, 64 * 1024, std::chrono::seconds(1), {}, {}};
    auto channel = std::make_shared<StreamChannel>(std::move(accepted.context), std::move(accepted.stream), pool_,
                                                   options, "a peer that is turned away");
    return std::make_shared<TurnedAway>(std::move(channel), reason, std::move(gone));
  }

 private:
  const std::shared_ptr<ServedBy> by_;
  const std::shared_ptr<BufferPool> pool_;
};

}  // namespace

std::shared_ptr<StreamProtocol> make_message_protocol(std::shared_ptr<ServedBy> by, std::shared_ptr<BufferPool> pool) {
  return std::make_shared<MessageProtocol>(std::move(by), std::move(pool));
}

}  // namespace splitnet::detail
