// SPDX-License-Identifier: Apache-2.0
// A real nginx in front of a listener, on loopback and in a temporary folder; ended with its object, by its id.
#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "raw_peer.hpp"

extern char** environ;

namespace splitnet::testing {

/// A port that nobody listened on a moment ago.
inline std::string free_port() {
  RawAddress address("tcp://127.0.0.1:0");
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(::bind(descriptor, address.data(), *address.size()), 0);
  EXPECT_EQ(::getsockname(descriptor, address.data(), address.size()), 0);
  ::close(descriptor);
  const auto uri = address.to_uri("tcp://127.0.0.1:0");
  return uri.substr(uri.rfind(':') + 1);
}

class Nginx {
 public:
  static std::string program() {
    for (const char* path : {"/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx", "/usr/local/bin/nginx"}) {
      if (std::filesystem::exists(path)) return path;
    }
    return "";
  }

  /// Passes http://127.0.0.1:PORT/splitnet on to the root of `upstream` (host:port). The directives are those of
  /// docs/transports.md; `more` of them stand in the location.
  Nginx(const std::string& upstream, const std::string& more) {
    std::string pattern = (std::filesystem::temp_directory_path() / "splitnet_nginx_XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    port_ = free_port();
    std::ofstream(folder_ / "nginx.conf") << "daemon off;\nmaster_process off;\npid nginx.pid;\n"
                                             "error_log error.log;\nevents {}\nhttp {\n  access_log off;\n"
                                             "  client_body_temp_path body;\n  proxy_temp_path proxy;\n"
                                             "  fastcgi_temp_path fastcgi;\n  uwsgi_temp_path uwsgi;\n"
                                             "  scgi_temp_path scgi;\n"
                                             "  upstream worker {\n    server "
                                          << upstream
                                          << ";\n    keepalive 16;\n  }\n"
                                             "  server {\n    listen 127.0.0.1:"
                                          << port_
                                          << ";\n    location = /splitnet {\n      proxy_pass http://worker/;\n"
                                             "      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n"
                                             "      client_max_body_size 1g;\n      proxy_read_timeout 300s;\n"
                                          << more << "    }\n  }\n}\n";
    start();
  }
  ~Nginx() {
    if (child_ > 0) {
      ::kill(child_, SIGTERM);
      ::waitpid(child_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Nginx(const Nginx&) = delete;
  Nginx& operator=(const Nginx&) = delete;

  std::string endpoint() const { return "http://127.0.0.1:" + port_ + "/splitnet"; }
  std::string log() const {
    std::ifstream file(folder_ / "error.log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  void start() {
    std::string path = program();
    std::string prefix = folder_.string() + "/";
    std::string config = (folder_ / "nginx.conf").string();
    char prefix_option[] = "-p";
    char config_option[] = "-c";
    char log_option[] = "-e";
    std::string log = (folder_ / "error.log").string();
    char* arguments[] = {path.data(),   prefix_option, prefix.data(), config_option,
                         config.data(), log_option,    log.data(),    nullptr};
    // Sockets of the test that it inherited would stay open as long as it.
    posix_spawn_file_actions_t actions;
    ASSERT_EQ(::posix_spawn_file_actions_init(&actions), 0);
    ASSERT_EQ(::posix_spawn_file_actions_addclosefrom_np(&actions, 3), 0);
    ASSERT_EQ(::posix_spawn(&child_, path.c_str(), &actions, nullptr, arguments, environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      if (RawPeer("tcp://127.0.0.1:" + port_).is_connected()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "nginx does not listen: " << this->log();
  }

  std::filesystem::path folder_;
  std::string port_;
  pid_t child_ = -1;
};

}  // namespace splitnet::testing
