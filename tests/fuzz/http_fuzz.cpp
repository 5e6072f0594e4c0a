// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: whatever an HTTP peer sends, to a listener or as an answer, in pieces of any size, gives heads and
// messages or an Error. The first byte: 0 requests, else responses; the second one: how long the pieces are.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "fuzz_checks.hpp"
#include "message_wire.hpp"
#include "transport/http_reader.hpp"
#include "transport/http_status.hpp"

namespace {

using splitnet::testing::require;
using splitnet::testing::small_limits;
using namespace splitnet;  // NOLINT(google-build-using-namespace)
using detail::HttpReader;
using Bytes = std::span<const std::byte>;

void require_promised(const Error& error) {
  require(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::too_large ||
              error.code() == ErrorCode::incompatible || error.code() == ErrorCode::overloaded,
          "refused with a code that is not promised");
}

/// What a peer or a line does with what it reads; how many messages came.
class Consumer {
 public:
  explicit Consumer(HttpReader::Reads reads) : reader_(reads, pool_, budget_), reads_(reads) {}

  /// False: the stream can't be followed.
  bool take(Bytes piece, bool is_direct) {
    try {
      while (!piece.empty()) {
        const auto space = reader_.space();
        require(!space.empty(), "no space though nothing was left to take");
        const auto part = std::min({space.size(), piece.size(), std::size_t{512}});
        if (is_direct) {
          std::memcpy(space.data(), piece.data(), part);
          reader_.filled(part);
        } else {
          reader_.put(piece.first(part));
        }
        piece = piece.subspan(part);
        while (take_one()) {
        }
      }
      return true;
    } catch (const Error& error) {
      require_promised(error);
      return false;
    }
  }
  [[nodiscard]] int messages() const { return messages_; }

 private:
  bool take_one() {
    if (!head_) {
      head_ = reader_.next_head();
      if (!head_) return false;
      check_head();
    }
    if (reads_ == HttpReader::Reads::requests && !head_->is_chunked && !head_->length) {
      head_.reset();  // A GET.
      return true;
    }
    auto frame = reader_.next_body(small_limits());
    if (!frame) return false;
    head_.reset();
    ++messages_;
    try {
      (void)frame->decode(small_limits());
    } catch (const Error& error) {
      require_promised(error);
    }
    return true;
  }

  void check_head() const {
    const bool is_request = reads_ == HttpReader::Reads::requests;
    require(is_request || head_->status >= 200, "an interim response is no response");
    require(!is_request || !head_->method.empty(), "a request without a method");
    require(head_->target.size() < HttpReader::max_head_bytes, "a head over its limit");
    (void)detail::code_of_status(head_->status);
  }

  const std::shared_ptr<detail::BufferPool> pool_ = std::make_shared<detail::BufferPool>(1 << 20);
  const std::shared_ptr<detail::ByteBudget> budget_ = std::make_shared<detail::ByteBudget>(1 << 20);
  HttpReader reader_;
  const HttpReader::Reads reads_;
  std::optional<detail::HttpHead> head_;
  int messages_ = 0;
};

int count_messages(Bytes bytes, HttpReader::Reads reads, std::size_t piece, bool is_direct) {
  Consumer consumer(reads);
  while (!bytes.empty()) {
    const auto part = std::min(bytes.size(), piece);
    if (!consumer.take(bytes.first(part), is_direct)) break;
    bytes = bytes.subspan(part);
  }
  return consumer.messages();
}

/// The same bytes with fitting checksums in the message behind the first head: they would stop nearly everything.
std::vector<std::byte> with_checksums(Bytes bytes) {
  std::vector<std::byte> repaired(bytes.begin(), bytes.end());
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto at = text.find("SPLN");
  if (at == std::string_view::npos || bytes.size() - at < message_header_bytes) return repaired;
  std::vector<std::byte> message(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end());
  detail::repair_header(message);
  std::copy(message.begin(), message.end(), repaired.begin() + static_cast<std::ptrdiff_t>(at));
  return repaired;
}

void check(Bytes bytes, HttpReader::Reads reads, std::size_t piece) {
  const int at_once = count_messages(bytes, reads, bytes.size(), true);
  require(count_messages(bytes, reads, piece, true) == at_once, "pieces gave other messages");
  require(count_messages(bytes, reads, piece, false) == at_once, "pieces put aside gave other messages");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const auto reads = data[0] == 0 ? HttpReader::Reads::requests : HttpReader::Reads::responses;
  const std::size_t piece = std::size_t{1} + data[1];
  const Bytes bytes(reinterpret_cast<const std::byte*>(data) + 2, size - 2);
  check(bytes, reads, piece);
  check(with_checksums(bytes), reads, piece);
  return 0;
}
