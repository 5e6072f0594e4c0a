// SPDX-License-Identifier: Apache-2.0
#include "stream_dialer.hpp"

#include <utility>

#include "stream_channel.hpp"

namespace splitnet::detail {
namespace {

class StreamDialer : public Dialer, public std::enable_shared_from_this<StreamDialer> {
 public:
  StreamDialer(std::shared_ptr<asio::io_context> context, const StreamRoad& road, const ConnectOptions& options,
               std::shared_ptr<BufferPool> pool)
      : context_(std::move(context)),
        endpoint_(road.endpoint),
        options_{options.limits, options.max_queued_bytes, {}, {}, {}},
        pool_(std::move(pool)),
        opener_(std::make_shared<StreamOpener>(context_, road)) {}

  void dial(std::chrono::steady_clock::time_point until, Done done) override {
    opener_->open(until, [self = shared_from_this(), done = std::move(done)](StreamOpener::Outcome outcome) {
      if (auto* const error = std::get_if<Error>(&outcome)) return done(*error);
      auto& stream = std::get<std::unique_ptr<ByteStream>>(outcome);
      done(std::make_shared<StreamChannel>(self->context_, std::move(stream), self->pool_, self->options_,
                                           self->endpoint_));
    });
  }

  void cancel() override { opener_->cancel(); }

 private:
  const std::shared_ptr<asio::io_context> context_;
  const std::string endpoint_;
  const ChannelOptions options_;
  const std::shared_ptr<BufferPool> pool_;
  const std::shared_ptr<StreamOpener> opener_;
};

}  // namespace

MakeDialer make_stream_dialer(StreamRoad road, const ConnectOptions& options, std::shared_ptr<BufferPool> pool) {
  return [road = std::move(road), options, pool = std::move(pool)](const std::shared_ptr<asio::io_context>& context) {
    return std::make_shared<StreamDialer>(context, road, options, pool);
  };
}

}  // namespace splitnet::detail
