// SPDX-License-Identifier: Apache-2.0
#include "pipes.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <splitnet/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <system_error>
#include <thread>

namespace custom {
namespace {

using splitnet::Error;
using splitnet::ErrorCode;
namespace fs = std::filesystem;

/// What a caller writes at the door: few enough bytes that the kernel keeps them together.
constexpr std::size_t name_bytes = 32;
using Name = std::array<char, name_bytes>;

Name make_name() {
  std::random_device random;
  Name name;
  for (auto& digit : name) digit = "0123456789abcdef"[random() % 16];
  return name;
}

/// It becomes part of a path.
bool is_name(const Name& name) {
  return std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

fs::path pipe_in(const fs::path& folder, const Name& name, const char* direction) {
  return folder / (std::string(name.data(), name.size()) + direction);
}

std::string reason() {
  return std::error_code(errno, std::system_category()).message();
}

Descriptor open_pipe(const fs::path& path, int mode) {
  return Descriptor(::open(path.c_str(), mode | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
}

void make_pipe(const fs::path& path) {
  if (::mkfifo(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
    throw Error(ErrorCode::unavailable, "make the pipe '" + path.string() + "': " + reason());
  }
}

void check_is_private(const fs::path& folder) {
  struct stat found {};
  if (::stat(folder.c_str(), &found) != 0) {
    throw Error(ErrorCode::unavailable, "the folder '" + folder.string() + "': " + reason());
  }
  if (found.st_uid != ::geteuid() || (found.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    throw Error(ErrorCode::unauthenticated,
                "the folder '" + folder.string() + "': others can use it; expected one of this user, mode 700");
  }
}

/// Goes with its path, not with its descriptors.
class PipeFile {
 public:
  explicit PipeFile(fs::path path) : path_(std::move(path)) { make_pipe(path_); }
  ~PipeFile() { ::unlink(path_.c_str()); }
  PipeFile(const PipeFile&) = delete;
  PipeFile& operator=(const PipeFile&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  const fs::path path_;
};

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

Door::Door(fs::path folder) : folder_(std::move(folder)), is_made_(::mkdir(folder_.c_str(), S_IRWXU) == 0) {
  check_is_private(folder_);
  const fs::path door = folder_ / "door";
  if (open_pipe(door, O_WRONLY).get() >= 0) {
    throw Error(ErrorCode::unavailable, "listen on 'pipe://" + folder_.string() + "': somebody does already");
  }
  if (errno != ENXIO) make_pipe(door);  // Else it is left over from one who is gone.
  knocks_ = open_pipe(door, O_RDWR);    // Never at its end, whoever comes and goes.
  if (knocks_.get() < 0) throw Error(ErrorCode::unavailable, "open the pipe '" + door.string() + "': " + reason());
}

Door::~Door() {
  ::unlink((folder_ / "door").c_str());
  if (is_made_) ::rmdir(folder_.c_str());  // Not when a caller has something in it.
}

std::optional<Pipes> Door::take() {
  for (Name name{}; ::read(knocks_.get(), name.data(), name.size()) == static_cast<ssize_t>(name.size());) {
    if (!is_name(name)) continue;
    // In this order: a caller who finds a reader of `up` can be sure that there is a writer of `down`.
    Descriptor out = open_pipe(pipe_in(folder_, name, ".down"), O_WRONLY);
    Descriptor in = open_pipe(pipe_in(folder_, name, ".up"), O_RDONLY);
    if (in.get() >= 0 && out.get() >= 0) return Pipes{std::move(in), std::move(out)};
  }
  return std::nullopt;
}

Pipes knock(const fs::path& folder, std::chrono::steady_clock::time_point give_up) {
  const Descriptor door = open_pipe(folder / "door", O_WRONLY);
  if (door.get() < 0) {
    throw Error(ErrorCode::unavailable,
                "connect to 'pipe://" + folder.string() + "': nobody listens there: " + reason());
  }
  check_is_private(folder);
  const Name name = make_name();
  const PipeFile up(pipe_in(folder, name, ".up"));
  const PipeFile down(pipe_in(folder, name, ".down"));
  Descriptor in = open_pipe(down.path(), O_RDONLY);
  if (::write(door.get(), name.data(), name.size()) != static_cast<ssize_t>(name.size())) {
    throw Error(ErrorCode::overloaded, "connect to 'pipe://" + folder.string() + "': too many wait at the door");
  }
  for (;;) {
    Descriptor out = open_pipe(up.path(), O_WRONLY);
    if (out.get() >= 0) return {std::move(in), std::move(out)};
    if (std::chrono::steady_clock::now() >= give_up) {
      throw Error(ErrorCode::deadline_exceeded, "connect to 'pipe://" + folder.string() + "': nobody opened the door");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace custom
