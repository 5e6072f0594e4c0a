// SPDX-License-Identifier: Apache-2.0
// The entry point of the image: becomes the worker, beside which a process of its own reads what the worker will read.
//   bootstrap PROGRAM [ARGUMENT ...]
// Lambda fetches an image piece by piece, when it is read. The loader, libtorch's initialisers and the model read some
// three hundred pieces one after the other, each when the one before is there; read beforehand by many threads they
// come side by side. The list, /bootstrap.pages, is made with the image: lines of an offset, a length (in bytes) and a
// path. Without a list, or where a file can't be read, the worker starts all the same. Linked statically: fetching
// itself takes one piece.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr const char* kList = "/bootstrap.pages";
constexpr int kThreads = 32;
constexpr off_t kPieceBytes = 128 * 1024;

struct Piece {
  int file;
  off_t offset;
  off_t length;
};

/// The order of the list is kept: it is the order in which the worker needs the files.
std::vector<Piece> listed_pieces() {
  std::vector<Piece> pieces;
  std::FILE* list = std::fopen(kList, "re");
  if (list == nullptr) return pieces;
  std::map<std::string, int> files;
  char path[1024];
  long long offset = 0;
  long long length = 0;
  while (std::fscanf(list, "%lld %lld %1023s", &offset, &length, path) == 3) {
    const auto [file, is_new] = files.try_emplace(path, -1);
    if (is_new) file->second = open(path, O_RDONLY | O_CLOEXEC);
    for (off_t at = offset; at < offset + length; at += kPieceBytes) {
      pieces.push_back({file->second, at, std::min<off_t>(kPieceBytes, offset + length - at)});
    }
  }
  std::fclose(list);
  return pieces;
}

/// The first byte waits until its piece is there; the kernel reads the rest without a copy.
void read_pieces() {
  const auto pieces = listed_pieces();
  std::atomic<std::size_t> next = 0;
  const auto read_some = [&] {
    for (std::size_t i = next++; i < pieces.size(); i = next++) {
      const auto [file, offset, length] = pieces[i];
      char byte = 0;
      if (pread(file, &byte, 1, offset) == 1) posix_fadvise(file, offset, length, POSIX_FADV_WILLNEED);
    }
  };
  std::vector<std::jthread> threads;
  try {
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(read_some);
  } catch (const std::system_error&) {  // As many as the system has; this one does what is left.
    read_some();
  }
}

/// Forked twice: the reader is no child of the worker, which would have to wait for it.
void read_beside() {
  const pid_t child = fork();
  if (child == 0) {
    if (fork() == 0) read_pieces();
    _exit(0);
  }
  if (child > 0) waitpid(child, nullptr, 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("bootstrap: expected PROGRAM [ARGUMENT ...], found nothing\n", stderr);
    return 2;
  }
  read_beside();
  execv(argv[1], argv + 1);
  std::fprintf(stderr, "bootstrap: can't run %s: %s\n", argv[1], std::strerror(errno));
  return 1;
}
