// SPDX-License-Identifier: Apache-2.0
#include "shm_ring.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace splitnet::detail {
namespace {

/// Whether the peer sleeps since it was last woken.
bool must_wake(const ShmControl::Word& epoch, std::uint64_t& woken) noexcept {
  const auto now = epoch.value.load();
  return std::exchange(woken, now) != now;
}

}  // namespace

std::uint64_t ShmRingWriter::read_by_peer() {
  const auto consumed = peer_->control().consumed.value.load();
  // In one comparison: neither behind what was read before, nor before what was published.
  if (consumed - consumed_ > published_ - consumed_) {
    throw Error(ErrorCode::corrupt, "shared memory of the peer: it has read to byte " + std::to_string(consumed) +
                                        ", expected " + std::to_string(consumed_) + " … " + std::to_string(published_));
  }
  consumed_ = consumed;
  return consumed;
}

std::size_t ShmRingWriter::room(std::size_t wanted) {
  const std::size_t ring_bytes = memory_->ring().size();
  if (ring_bytes - (written_ - consumed_) < wanted) (void)read_by_peer();
  return ring_bytes - (written_ - consumed_);
}

void ShmRingWriter::write(std::span<const std::byte> bytes) noexcept {
  const auto ring = memory_->ring();
  const std::size_t at = written_ & (ring.size() - 1);
  const std::size_t first = std::min(bytes.size(), ring.size() - at);
  if (first > 0) std::memcpy(ring.data() + at, bytes.data(), first);
  if (first < bytes.size()) std::memcpy(ring.data(), bytes.data() + first, bytes.size() - first);
  written_ += bytes.size();
}

bool ShmRingWriter::publish() noexcept {
  if (published_ == written_) return false;
  published_ = written_;
  memory_->control().produced.value.store(published_);
  return must_wake(peer_->control().reader_epoch, woken_epoch_);
}

bool ShmRingWriter::may_wait() {
  const auto before = consumed_;
  memory_->control().writer_epoch.value.store(++wait_epoch_);
  return read_by_peer() == before;
}

std::uint64_t ShmRingReader::look() {
  const auto produced = peer_->control().produced.value.load();
  if (produced - read_ > peer_->ring().size()) {
    throw Error(ErrorCode::corrupt, "shared memory of the peer: it has written to byte " + std::to_string(produced) +
                                        ", expected " + std::to_string(read_) + " … " +
                                        std::to_string(read_ + peer_->ring().size()));
  }
  produced_ = produced;
  return produced;
}

std::size_t ShmRingReader::read(std::span<std::byte> to) {
  if (produced_ == read_ && look() == read_) return 0;
  const auto ring = peer_->ring();
  const std::size_t bytes = std::min<std::uint64_t>(to.size(), produced_ - read_);
  const std::size_t at = read_ & (ring.size() - 1);
  const std::size_t first = std::min(bytes, ring.size() - at);
  if (first > 0) std::memcpy(to.data(), ring.data() + at, first);
  if (first < bytes) std::memcpy(to.data() + first, ring.data(), bytes - first);
  read_ += bytes;
  return bytes;
}

bool ShmRingReader::publish() noexcept {
  if (published_ == read_) return false;
  published_ = read_;
  memory_->control().consumed.value.store(published_);
  return must_wake(peer_->control().writer_epoch, woken_epoch_);
}

bool ShmRingReader::may_wait() {
  memory_->control().reader_epoch.value.store(++wait_epoch_);
  return look() == read_;
}

}  // namespace splitnet::detail
