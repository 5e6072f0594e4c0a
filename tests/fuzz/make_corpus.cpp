// SPDX-License-Identifier: Apache-2.0
// Writes the seeds of the fuzz targets: `make_corpus tests/fuzz/corpus`.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "../message_samples.hpp"
#include "codec_targets.hpp"
#include "message_wire.hpp"
#include "transport/shm_frame.hpp"
#include "transport/shm_handshake.hpp"

namespace {

using namespace splitnet;  // NOLINT(google-build-using-namespace)

void write(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error(path.string() + " can't be written");
}

void write_messages(const std::filesystem::path& directory) {
  for (const auto& [name, message] : testing::sample_messages()) {
    write(directory / name, testing::encoded_bytes(message));
  }
}

/// Messages as shm_fuzz takes them: by themselves, and with their payload in the arena.
void write_shm_frames(const std::filesystem::path& directory) {
  const auto add = [](std::vector<std::byte>& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
  };
  for (const auto& [name, message] : testing::sample_messages()) {
    const auto bytes = testing::encoded_bytes(message);
    std::vector<std::byte> whole{std::byte{1}, std::byte{0}};
    add(whole, bytes);
    write(directory / name, whole);
    const auto header = decode_header(std::span(bytes).first<message_header_bytes>());
    const std::size_t begin = detail::aligned(header.metadata_bytes);
    if (begin >= header.body_bytes()) continue;
    const detail::ShmExtent extent{begin, header.body_bytes() - begin, 4096, 7, 0};
    std::vector<std::byte> lent{std::byte{1}, std::byte{1}};
    add(lent, std::as_bytes(std::span(&extent, 1)));
    add(lent, bytes);
    write(directory / (name + "_lent"), lent);
  }
  std::vector<std::byte> offer{std::byte{2}};
  add(offer, detail::write_offer({{}, std::nullopt}));
  write(directory / "offer", offer);
}

/// As http_fuzz takes them: requests and responses, with a length and in chunks, and some that are none.
void write_http(const std::filesystem::path& directory) {
  const auto add = [&](const std::string& name, bool is_request, const std::string& text) {
    std::string bytes(1, is_request ? '\0' : '\1');
    bytes += static_cast<char>(text.size() % 97);  // The length of pieces: some short, some long.
    bytes += text;
    write(directory / name, std::as_bytes(std::span(bytes)));
  };
  const std::string post = "POST /a HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer a-token\r\n";
  for (const auto& [name, message] : testing::sample_messages()) {
    const auto encoded = testing::encoded_bytes(message);
    const std::string body(reinterpret_cast<const char*>(encoded.data()), encoded.size());
    char half[32];
    (void)std::snprintf(half, sizeof half, "%zx\r\n", body.size() / 2);
    char rest[32];
    (void)std::snprintf(rest, sizeof rest, "%zX;a=b\r\n", body.size() - body.size() / 2);
    const std::string chunks =
        half + body.substr(0, body.size() / 2) + "\r\n" + rest + body.substr(body.size() / 2) + "\r\n0\r\nX: y\r\n\r\n";
    const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    add(name + "_request", true, post + length + body);
    add(name + "_chunked_request", true, post + "Transfer-Encoding: chunked\r\n\r\n" + chunks);
    add(name + "_response", false, "HTTP/1.1 200 OK\r\n" + length + body);
    add(name + "_chunked_response", false, "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks);
    add(name + "_response_to_the_end", false, "HTTP/1.1 100 Go\r\n\r\nHTTP/1.0 200 OK\r\n\r\n" + body);
  }
  add("get", true, "GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.0\r\n\r\n");
  add("two_framings", true, post + "Content-Length: 70\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  add("html", false, "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 13\r\n\r\n<html></html>");
}

/// As invocation_fuzz takes them: events as text, and messages that it puts into events.
void write_invocations(const std::filesystem::path& directory) {
  const auto add = [&](const std::string& name, char kind, const std::string& rest) {
    const std::string bytes = kind + rest;
    write(directory / name, std::as_bytes(std::span(bytes)));
  };
  for (const auto& [name, message] : testing::sample_messages()) {
    const auto encoded = testing::encoded_bytes(message);
    const std::string bytes(reinterpret_cast<const char*>(encoded.data()), encoded.size());
    for (const char kind : {'\1', '\2', '\3'}) add(name + "_" + std::to_string(static_cast<int>(kind)), kind, bytes);
  }
  const std::string name(32, 'a');
  add("direct", '\0', R"({"splitnet":"U1BMTg=="})");
  add("spaced", '\0', R"({ "other": [1], "splitnet" : "U1BM\u0054g==" })");
  add("request", '\0', R"({"splitnet_at":"s3://bodies/some/prefix/requests/)" + name + "\"}");
  add("reply", '\0', R"({"splitnet_at":"s3://bodies/some/prefix/replies/)" + name + "\"}");
  add("elsewhere", '\0', R"({"splitnet_at":"file:///etc/passwd"})");
  add("version_1", '\0',
      R"({"httpMethod":"POST","headers":{"Authorization":"Bearer x"},"requestContext":{"identity":{"accessKey":null,)"
      R"("sourceIp":"::1"}},"body":"U1BMTg==","isBase64Encoded":true})");
  add("version_2", '\0',
      R"({"version":"2.0","headers":{"authorization":"Bearer x"},"requestContext":{"authorizer":{"iam":{"accessKey":)"
      R"("A"}},"http":{"method":"GET","sourceIp":"::1"}},"body":"text","isBase64Encoded":false})");
  add("received", '\0',
      R"({"Messages":[{"MessageId":"1","ReceiptHandle":"AQEB","Body":"{\"splitnet\":\"U1BMTg==\"}","Attributes":)"
      R"({"SentTimestamp":"1795800000000","ApproximateReceiveCount":"2","ApproximateFirstReceiveTimestamp":)"
      R"("1795800000100"},"MessageAttributes":{"request":{"DataType":"String","StringValue":")" +
          name + R"("},"reply":{"DataType":"String","StringValue":"0123"}}}]})");
  add("queued", '\0',
      R"({"Records":[{"messageId":"1","receiptHandle":"AQEB","body":"{\"splitnet\":\"U1BMTg==\"}","attributes":)"
      R"({"ApproximateReceiveCount":"1","SentTimestamp":"1795800000000","ApproximateFirstReceiveTimestamp":)"
      R"("1795800000100"},"messageAttributes":{"request":{"stringValue":")" +
          name + R"(","dataType":"String"}},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:a:1:b"}]})");
}

/// The index of the codec, then an encoded tensor.
void write_encoded_tensors(const std::filesystem::path& directory) {
  const auto codecs = testing::fuzzed_codecs();
  for (std::size_t i = 0; i < codecs.size(); ++i) {
    const auto& [name, codec] = codecs[i];
    int count = 0;
    for (const Tensor& tensor : testing::fuzzed_tensors()) {
      const auto encoded = encode_values(*codec, {tensor}).values;
      const auto& pair = encoded.front().get_if<Tuple>()->items;
      if (!*pair[0].get_if<bool>()) continue;  // It would not be smaller.
      const Tensor& coded = pair[1].tensor();
      std::vector<std::byte> bytes{static_cast<std::byte>(i)};
      bytes.insert(bytes.end(), coded.data(), coded.data() + coded.packed_bytes());
      write(directory / (name.substr(0, name.find(':')) + "_" + std::to_string(i) + "_" + std::to_string(count++)),
            bytes);
    }
  }
}

void write_tables(const std::filesystem::path& directory) {
  const auto write_these = [&](const char* name, const std::vector<detail::TransformTables>& tables) {
    const std::string bytes = detail::to_bytes(tables);
    write(directory / name, std::as_bytes(std::span(bytes)));
  };
  write_these("none", {});
  write_these("maps", {testing::tables_for(2, 4, 3)});
  write_these("bands", {testing::tables_for(2, 6, 6)});
  write_these("two", {testing::tables_for(2, 1, 1), testing::tables_for(3, 2, 2)});
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::filesystem::path directory(argv[1]);
  std::filesystem::create_directories(directory / "http");
  std::filesystem::create_directories(directory / "invocation");
  std::filesystem::create_directories(directory / "message");
  std::filesystem::create_directories(directory / "codec");
  std::filesystem::create_directories(directory / "shm");
  std::filesystem::create_directories(directory / "tables");
  write_http(directory / "http");
  write_invocations(directory / "invocation");
  write_messages(directory / "message");
  write_encoded_tensors(directory / "codec");
  write_shm_frames(directory / "shm");
  write_tables(directory / "tables");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
