// SPDX-License-Identifier: Apache-2.0
// Unix sockets, by the path of a file or by an abstract name, and who is at their other end. Private.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>

#include <string>

#include "byte_stream.hpp"

namespace splitnet::detail {

struct UnixAddress {
  std::string text;  ///< As the user wrote it, for messages.
  std::string path;  ///< Of a file; an abstract one begins with a zero byte.
  [[nodiscard]] bool is_file() const { return path.front() != '\0'; }
  [[nodiscard]] StreamEndpoint endpoint() const;
};

/// The longest path that fits, in bytes.
std::size_t longest_unix_path() noexcept;

/// Throws unavailable (gone already).
ucred credentials_of(StreamSocket& socket);
/// This user and root, who can do to this process what they like.
bool is_trusted(const ucred& peer) noexcept;

/// A listening socket, and its file, if it has one.
class UnixBinding {
 public:
  explicit UnixBinding(UnixAddress address) : address_(std::move(address)) {}
  /// A file is for its owner (mode 600); one that a dead listener left behind is replaced. Throws unavailable.
  [[nodiscard]] StreamAcceptor bind(asio::io_context& context);
  /// Removes the file, if it is still the same.
  void forget() noexcept;
  [[nodiscard]] const UnixAddress& address() const noexcept { return address_; }

 private:
  [[nodiscard]] bool is_left_behind() const;

  const UnixAddress address_;
  struct stat file_ {};
};

}  // namespace splitnet::detail
