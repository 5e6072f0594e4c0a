// SPDX-License-Identifier: Apache-2.0
#include "shm_memory.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>

namespace splitnet::detail {
namespace {

// The size can't change any more, nor which seals there are. Not F_SEAL_WRITE or F_SEAL_FUTURE_WRITE: they would keep
// the owner from giving pages back.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

[[noreturn]] void fail(const char* what) {
  const int cause = errno;
  throw Error(ErrorCode::unavailable,
              std::string("shared memory: ") + what + ": " + std::strerror(cause));  // NOLINT(concurrency-mt-unsafe)
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::corrupt, "shared memory of the peer: " + what);
}

/// The same file, opened anew to read only: the descriptor made by memfd_create could be mapped to write.
Descriptor reopen_to_read(const Descriptor& file) {
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  Descriptor reopened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reopened) fail("opening it to read");
  return reopened;
}

}  // namespace

const int PeerShmMemory::read_only = PROT_READ;

ShmMapping::ShmMapping(int descriptor, std::size_t bytes, int protection) : bytes_(bytes) {
  void* const data = ::mmap(nullptr, bytes, protection, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (data == MAP_FAILED) fail("mapping it");
  data_ = static_cast<std::byte*>(data);
}

ShmMapping::~ShmMapping() {
  ::munmap(data_, bytes_);
}

Descriptor OwnShmMemory::make_file(const ShmLayout& layout) {
  Descriptor file(::memfd_create("splitnet", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) fail("memfd_create");
  if (::ftruncate(file.get(), static_cast<off_t>(layout.total_bytes())) != 0) fail("setting its size");
  if (::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) fail("sealing it");
  return file;
}

OwnShmMemory::OwnShmMemory(const ShmLayout& layout, const Descriptor& file)
    : layout_(layout),
      for_peer_(reopen_to_read(file)),
      mapping_(file.get(), layout.total_bytes(), PROT_READ | PROT_WRITE) {
  // Another user who gets the descriptor can't open the file once more to write.
  if (::fchmod(file.get(), 0) != 0) fail("changing its mode");
  new (mapping_.data()) ShmControl();
}

void OwnShmMemory::drop(std::size_t arena_offset, std::size_t bytes) const noexcept {
  // What fails here costs memory and nothing else.
  (void)::madvise(arena().data() + arena_offset, bytes, MADV_REMOVE);
}

int PeerShmMemory::checked(const Descriptor& descriptor, const ShmLayout& layout) {
  // Only these have seals that hold: of huge pages there may be none left to read from, and a page that is not there
  // ends the process.
  struct statfs system {};
  if (::fstatfs(descriptor.get(), &system) != 0) fail("looking at the peer's");
  if (system.f_type != TMPFS_MAGIC) refuse("not a memory file");
  const int seals = ::fcntl(descriptor.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    refuse("seals " + std::to_string(seals) + ", expected at least " + std::to_string(kSeals));
  }
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail("looking at the peer's");
  if (status.st_size < 0 || static_cast<std::uint64_t>(status.st_size) != layout.total_bytes()) {
    refuse(std::to_string(status.st_size) + " bytes, expected " + std::to_string(layout.total_bytes()));
  }
  return descriptor.get();
}

}  // namespace splitnet::detail
