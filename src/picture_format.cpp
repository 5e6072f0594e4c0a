// SPDX-License-Identifier: Apache-2.0
#include "picture_format.hpp"

#ifdef SPLITNET_WITH_JPEG
#include <turbojpeg.h>
#endif
#ifdef SPLITNET_WITH_WEBP
#include <webp/decode.h>
#include <webp/encode.h>
#endif

#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

[[noreturn, maybe_unused]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, what);
}
[[maybe_unused]] std::string text_of(const PictureSize& size) {
  return std::to_string(size.width) + "×" + std::to_string(size.height) + " in " + std::to_string(size.channels) +
         " channels";
}
/// Throws corrupt unless a picture of this size can be had from a file with this header; a grey one also in colour.
[[maybe_unused]] void check_header(const char* format, const PictureHeader& header, const PictureSize& expected) {
  if (!header.unsupported.empty()) corrupt(std::string(format) + ": found " + header.unsupported);
  PictureSize found = header.size;
  found.channels = expected.channels;
  if (found == expected) return;
  corrupt(std::string(format) + ": found a picture of " + text_of(found) + ", expected " + text_of(expected));
}

#ifdef SPLITNET_WITH_JPEG
/// Of one picture: tables of a damaged one stay in a handle and spoil those that follow.
class JpegHandle {
 public:
  explicit JpegHandle(tjhandle handle) : handle_(handle) {
    if (handle_ == nullptr) throw std::bad_alloc();
  }
  ~JpegHandle() { tjDestroy(handle_); }
  JpegHandle(const JpegHandle&) = delete;
  JpegHandle& operator=(const JpegHandle&) = delete;
  operator tjhandle() const { return handle_; }  // NOLINT(google-explicit-constructor)

 private:
  const tjhandle handle_;
};

class Jpeg final : public PictureFormat {
 public:
  Jpeg(int quality, int subsampling) : quality_(quality), subsampling_(subsampling) {}

  bool has(const PictureSize& size) const noexcept override {
    constexpr std::size_t most = 65500;  // JPEG_MAX_DIMENSION of the library.
    return size.width > 0 && size.height > 0 && size.width <= most && size.height <= most &&
           (size.channels == 1 || size.channels == 3);
  }
  std::size_t max_compressed_bytes(const PictureSize& size) const override {
    return tjBufSize(static_cast<int>(size.width), static_cast<int>(size.height), subsampling_of(size));
  }

  std::size_t compress(std::span<const std::byte> pixels, const PictureSize& size,
                       std::span<std::byte> to) const override {
    const JpegHandle handle(tjInitCompress());
    auto* bytes = reinterpret_cast<unsigned char*>(to.data());
    unsigned long count = to.size();  // NOLINT(google-runtime-int): as the library has it.
    const int failed =
        tjCompress2(handle, reinterpret_cast<const unsigned char*>(pixels.data()), static_cast<int>(size.width), 0,
                    static_cast<int>(size.height), format_of(size), &bytes, &count, subsampling_of(size), quality_,
                    TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT);
    if (failed != 0) throw Error(ErrorCode::internal, std::string("jpeg: ") + tjGetErrorStr2(handle));
    return count;
  }

  PictureHeader header_of(std::span<const std::byte> from) const override {
    return read_header(JpegHandle(tjInitDecompress()), from);
  }

  void decompress(std::span<const std::byte> from, const PictureSize& size,
                  std::span<std::byte> pixels) const override {
    const JpegHandle handle(tjInitDecompress());
    check_header("jpeg", read_header(handle, from), size);
    if (tjDecompress2(handle, reinterpret_cast<const unsigned char*>(from.data()), from.size(),
                      reinterpret_cast<unsigned char*>(pixels.data()), static_cast<int>(size.width), 0,
                      static_cast<int>(size.height), format_of(size), TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
      fail(handle);
    }
  }

 private:
  static PictureHeader read_header(const JpegHandle& handle, std::span<const std::byte> from) {
    int width = 0;
    int height = 0;
    int subsampling = 0;
    int colours = 0;
    if (tjDecompressHeader3(handle, reinterpret_cast<const unsigned char*>(from.data()), from.size(), &width, &height,
                            &subsampling, &colours) != 0) {
      fail(handle);
    }
    if (width < 1 || height < 1) corrupt("jpeg: found no picture");  // Tables alone are no error to the library.
    const std::size_t channels = colours == TJCS_GRAY ? 1 : 3;
    const bool is_print = colours == TJCS_CMYK || colours == TJCS_YCCK;
    return {{static_cast<std::size_t>(width), static_cast<std::size_t>(height), channels},
            is_print ? "CMYK colours" : ""};
  }
  [[noreturn]] static void fail(tjhandle handle) { corrupt(std::string("jpeg: ") + tjGetErrorStr2(handle)); }
  static int format_of(const PictureSize& size) { return size.channels == 1 ? TJPF_GRAY : TJPF_RGB; }
  [[nodiscard]] int subsampling_of(const PictureSize& size) const {
    return size.channels == 1 ? static_cast<int>(TJSAMP_GRAY) : subsampling_;
  }

  const int quality_;
  const int subsampling_;
};
#endif

#ifdef SPLITNET_WITH_WEBP
class WebP final : public PictureFormat {
 public:
  explicit WebP(int quality) : quality_(quality) {}

  bool has(const PictureSize& size) const noexcept override {
    return size.width > 0 && size.height > 0 && size.width <= WEBP_MAX_DIMENSION && size.height <= WEBP_MAX_DIMENSION &&
           size.channels == 3;
  }
  /// The format bounds nothing; a partition has at most 2^24 bytes, and real pictures stay below their pixels.
  std::size_t max_compressed_bytes(const PictureSize& size) const override { return 2 * size.bytes() + 1024; }

  std::size_t compress(std::span<const std::byte> pixels, const PictureSize& size,
                       std::span<std::byte> to) const override {
    WebPConfig config;
    Picture picture;
    if (WebPConfigPreset(&config, WEBP_PRESET_PHOTO, static_cast<float>(quality_)) == 0) throw std::bad_alloc();
    picture.value.use_argb = 0;
    picture.value.width = static_cast<int>(size.width);
    picture.value.height = static_cast<int>(size.height);
    Room room{to, 0};
    picture.value.writer = &Room::write;
    picture.value.custom_ptr = &room;
    const int row_bytes = 3 * static_cast<int>(size.width);
    if (WebPPictureImportRGB(&picture.value, reinterpret_cast<const std::uint8_t*>(pixels.data()), row_bytes) == 0) {
      throw std::bad_alloc();
    }
    if (WebPEncode(&config, &picture.value) == 0) {
      throw Error(ErrorCode::internal, "webp: error " + std::to_string(static_cast<int>(picture.value.error_code)));
    }
    return room.written;
  }

  PictureHeader header_of(std::span<const std::byte> from) const override {
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(reinterpret_cast<const std::uint8_t*>(from.data()), from.size(), &features) != VP8_STATUS_OK) {
      corrupt("webp: found no picture");
    }
    return {{static_cast<std::size_t>(features.width), static_cast<std::size_t>(features.height), 3},
            features.has_animation != 0 ? "an animation" : ""};
  }

  void decompress(std::span<const std::byte> from, const PictureSize& size,
                  std::span<std::byte> pixels) const override {
    check_header("webp", header_of(from), size);
    if (WebPDecodeRGBInto(reinterpret_cast<const std::uint8_t*>(from.data()), from.size(),
                          reinterpret_cast<std::uint8_t*>(pixels.data()), pixels.size(),
                          3 * static_cast<int>(size.width)) == nullptr) {
      corrupt("webp: the picture is damaged");
    }
  }

 private:
  struct Picture {
    Picture() {
      if (WebPPictureInit(&value) == 0) throw std::bad_alloc();
    }
    ~Picture() { WebPPictureFree(&value); }
    Picture(const Picture&) = delete;
    Picture& operator=(const Picture&) = delete;
    WebPPicture value;
  };
  struct Room {
    std::span<std::byte> bytes;
    std::size_t written;
    static int write(const std::uint8_t* data, std::size_t size, const WebPPicture* picture) {
      auto& room = *static_cast<Room*>(picture->custom_ptr);
      if (size > room.bytes.size() - room.written) return 0;
      std::memcpy(room.bytes.data() + room.written, data, size);
      room.written += size;
      return 1;
    }
  };

  const int quality_;
};
#endif

}  // namespace

std::vector<std::string> picture_format_names() {
  return {
#ifdef SPLITNET_WITH_JPEG
      "jpeg",
#endif
#ifdef SPLITNET_WITH_WEBP
      "webp",
#endif
  };
}

std::string picture_format_of(std::span<const std::byte> file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  if (bytes.starts_with("\xff\xd8\xff")) return "jpeg";
  if (bytes.size() >= 12 && bytes.starts_with("RIFF") && bytes.substr(8, 4) == "WEBP") return "webp";
  return {};
}

std::unique_ptr<const PictureFormat> make_picture_format(const std::string& name,
                                                         [[maybe_unused]] CodecParameters& parameters) {
#ifdef SPLITNET_WITH_JPEG
  if (name == "jpeg") {
    const int quality = parameters.integer("quality", 1, 100, 85);
    const std::string subsampling = parameters.word("subsampling", {"444", "422", "420"}, "444");
    return std::make_unique<Jpeg>(quality, subsampling == "444"   ? TJSAMP_444
                                           : subsampling == "422" ? TJSAMP_422
                                                                  : TJSAMP_420);
  }
#endif
#ifdef SPLITNET_WITH_WEBP
  if (name == "webp") return std::make_unique<WebP>(parameters.integer("quality", 0, 100, 85));
#endif
  throw Error(ErrorCode::internal, "no picture format " + name);
}

}  // namespace splitnet::detail
