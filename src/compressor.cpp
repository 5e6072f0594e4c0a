// SPDX-License-Identifier: Apache-2.0
#include "compressor.hpp"

#ifdef SPLITNET_WITH_LZ4
#include <lz4.h>
#endif
#ifdef SPLITNET_WITH_ZSTD
#include <zstd.h>
#endif

#include <algorithm>
#include <climits>
#include <new>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

[[noreturn, maybe_unused]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "lossless stage: " + what);
}

#ifdef SPLITNET_WITH_LZ4
class Lz4 final : public Compressor {
 public:
  std::size_t max_compressed_bytes(std::size_t bytes) const override {
    return bytes > LZ4_MAX_INPUT_SIZE ? 0 : static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(bytes)));
  }
  std::size_t compress(std::span<const std::byte> from, std::span<std::byte> to) const override {
    if (from.size() > LZ4_MAX_INPUT_SIZE) return 0;
    const int room = static_cast<int>(std::min<std::size_t>(to.size(), INT_MAX));
    return static_cast<std::size_t>(LZ4_compress_default(reinterpret_cast<const char*>(from.data()),
                                                         reinterpret_cast<char*>(to.data()),
                                                         static_cast<int>(from.size()), room));
  }
  std::size_t decompress(std::span<const std::byte> from, std::span<std::byte> to) const override {
    if (from.size() > INT_MAX) corrupt("lz4 has at most 2^31 − 1 bytes");
    const int room = static_cast<int>(std::min<std::size_t>(to.size(), INT_MAX));
    const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(from.data()), reinterpret_cast<char*>(to.data()),
                                         static_cast<int>(from.size()), room);
    if (size < 0) corrupt("lz4 says that the bytes are damaged, or more than expected");
    return static_cast<std::size_t>(size);
  }
};
#endif

#ifdef SPLITNET_WITH_ZSTD
template <class Context, Context* (*create)(), std::size_t (*destroy)(Context*)>
Context* context_of_thread() {
  struct Destroy {
    void operator()(Context* context) const { destroy(context); }
  };
  thread_local const std::unique_ptr<Context, Destroy> context(create());
  if (!context) throw std::bad_alloc();
  return context.get();
}

class Zstd final : public Compressor {
 public:
  explicit Zstd(int level) : level_(level) {}
  std::size_t max_compressed_bytes(std::size_t bytes) const override { return ZSTD_compressBound(bytes); }
  std::size_t compress(std::span<const std::byte> from, std::span<std::byte> to) const override {
    auto* const context = context_of_thread<ZSTD_CCtx, ZSTD_createCCtx, ZSTD_freeCCtx>();
    const std::size_t size = ZSTD_compressCCtx(context, to.data(), to.size(), from.data(), from.size(), level_);
    return ZSTD_isError(size) != 0 ? 0 : size;
  }
  std::size_t decompress(std::span<const std::byte> from, std::span<std::byte> to) const override {
    auto* const context = context_of_thread<ZSTD_DCtx, ZSTD_createDCtx, ZSTD_freeDCtx>();
    const std::size_t size = ZSTD_decompressDCtx(context, to.data(), to.size(), from.data(), from.size());
    if (ZSTD_isError(size) != 0) corrupt(std::string("zstd says: ") + ZSTD_getErrorName(size));
    return size;
  }

 private:
  const int level_;
};
#endif

}  // namespace

std::vector<std::string> compressor_names() {
  return {
#ifdef SPLITNET_WITH_LZ4
      "lz4",
#endif
#ifdef SPLITNET_WITH_ZSTD
      "zstd",
#endif
  };
}

std::unique_ptr<const Compressor> make_compressor(const std::string& name, [[maybe_unused]] int level) {
#ifdef SPLITNET_WITH_LZ4
  if (name == "lz4") return std::make_unique<Lz4>();
#endif
#ifdef SPLITNET_WITH_ZSTD
  if (name == "zstd") return std::make_unique<Zstd>(level);
#endif
  throw Error(ErrorCode::internal, "no compressor " + name);
}

}  // namespace splitnet::detail
