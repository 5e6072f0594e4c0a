// SPDX-License-Identifier: Apache-2.0
#include "unix_socket.hpp"

#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

namespace splitnet::detail {

using LocalEndpoint = asio::local::stream_protocol::endpoint;

StreamEndpoint UnixAddress::endpoint() const {
  return LocalEndpoint(path);
}

std::size_t longest_unix_path() noexcept {
  return sizeof(sockaddr_un::sun_path) - 1;
}

ucred credentials_of(StreamSocket& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    throw Error(ErrorCode::unavailable, "unix socket: the peer is gone already");
  }
  return peer;
}

bool is_trusted(const ucred& peer) noexcept {
  return peer.uid == ::geteuid() || peer.uid == 0;
}

StreamAcceptor UnixBinding::bind(asio::io_context& context) {
  const auto endpoint = address_.endpoint();
  StreamAcceptor acceptor(context, endpoint.protocol());
  boost::system::error_code error;
  acceptor.bind(endpoint, error);
  if (error == asio::error::address_in_use && address_.is_file() && is_left_behind()) {
    ::unlink(address_.path.c_str());
    error.clear();
    acceptor.bind(endpoint, error);
  }
  if (!error && address_.is_file()) {
    // Nobody can connect before `listen`.
    if (::chmod(address_.path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::stat(address_.path.c_str(), &file_) != 0) {
      error.assign(errno, boost::system::system_category());
    }
  }
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) throw Error(ErrorCode::unavailable, "listen on '" + address_.text + "': " + error.message());
  return acceptor;
}

void UnixBinding::forget() noexcept {
  struct stat now {};
  const bool is_ours = address_.is_file() && ::stat(address_.path.c_str(), &now) == 0 && now.st_ino == file_.st_ino &&
                       now.st_dev == file_.st_dev;
  if (is_ours) ::unlink(address_.path.c_str());
}

/// A socket's file outlives its process.
bool UnixBinding::is_left_behind() const {
  struct stat found {};
  if (::lstat(address_.path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) return false;
  asio::io_context context;
  asio::local::stream_protocol::socket probe(context);
  boost::system::error_code error;
  probe.connect(LocalEndpoint(address_.path), error);
  return error == asio::error::connection_refused;
}

}  // namespace splitnet::detail
