// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, made anew in a temporary folder that goes with its object: no key lies in the repository.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "splitnet/transport/tls.hpp"

namespace splitnet::testing {

struct CertificateOptions {
  std::string issuer = {};                                  ///< Name of an earlier one; empty: signs itself.
  std::string names = "DNS:localhost,IP:127.0.0.1,IP:::1";  ///< As openssl.cnf has them.
  long from_s = -3600;                                      ///< Valid from now + from_s,
  long until_s = 3600;                                      ///< until now + until_s.
  bool is_authority = false;
};

class Certificates {
 public:
  Certificates() {
    std::string pattern = (std::filesystem::temp_directory_path() / "splitnet_tls_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
    CertificateOptions root;
    root.is_authority = true;
    make("ca", root);
  }
  ~Certificates() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  std::string path(const std::string& file) const { return (folder_ / file).string(); }
  std::string certificate(const std::string& name) const { return path(name + ".pem"); }
  std::string key(const std::string& name) const { return path(name + ".key"); }
  std::string file_with(const std::string& name, const std::string& contents) const {
    std::ofstream(path(name)) << contents;
    return path(name);
  }

  /// Writes NAME.pem and NAME.key.
  void make(const std::string& name, const CertificateOptions& options) const {
    const Key pair(need(EVP_EC_gen("P-256")), &EVP_PKEY_free);
    const Certificate made(need(X509_new()), &X509_free);
    auto* const it = made.get();
    X509_set_version(it, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(it), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(it), options.from_s);
    X509_gmtime_adj(X509_getm_notAfter(it), options.until_s);
    X509_set_pubkey(it, pair.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(it), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    sign(it, pair.get(), options);
    write(certificate(name), [it](std::FILE* file) { return PEM_write_X509(file, it); });
    write(key(name), [&pair](std::FILE* file) {
      return PEM_write_PrivateKey(file, pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  void issue(const std::string& name, CertificateOptions options = {}) const {
    if (options.issuer.empty()) options.issuer = "ca";
    make(name, options);
  }
  /// NAME_locked.key: the key of NAME behind a passphrase.
  std::string locked_key(const std::string& name) const {
    const Key pair = read_key(name);
    write(key(name + "_locked"), [&pair](std::FILE* file) {
      return PEM_write_PrivateKey(file, pair.get(), EVP_aes_128_cbc(), reinterpret_cast<const unsigned char*>("secret"),
                                  6, nullptr, nullptr);
    });
    return key(name + "_locked");
  }

  TlsOptions server(const std::string& name) const {
    TlsOptions options;
    options.certificate_file = certificate(name);
    options.private_key_file = key(name);
    return options;
  }
  TlsOptions client() const {
    TlsOptions options;
    options.ca_file = certificate("ca");
    return options;
  }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

  template <class T>
  static T* need(T* made) {
    if (made == nullptr) throw std::runtime_error("OpenSSL can't make a certificate");
    return made;
  }
  template <class Writer>
  static void write(const std::string& path, Writer&& writer) {
    const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(need(std::fopen(path.c_str(), "w")), &std::fclose);
    if (writer(file.get()) != 1) throw std::runtime_error(path + " can't be written");
  }
  Key read_key(const std::string& name) const {
    const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(need(std::fopen(key(name).c_str(), "r")),
                                                                  &std::fclose);
    return {need(PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr)), &EVP_PKEY_free};
  }
  Certificate read_certificate(const std::string& name) const {
    const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(need(std::fopen(certificate(name).c_str(), "r")),
                                                                  &std::fclose);
    return {need(PEM_read_X509(file.get(), nullptr, nullptr, nullptr)), &X509_free};
  }

  void sign(X509* it, EVP_PKEY* own, const CertificateOptions& options) const {
    Certificate issuer(nullptr, &X509_free);
    Key issuer_key(nullptr, &EVP_PKEY_free);
    if (!options.issuer.empty()) {
      issuer = read_certificate(options.issuer);
      issuer_key = read_key(options.issuer);
    }
    X509* const by = issuer ? issuer.get() : it;
    X509_set_issuer_name(it, X509_get_subject_name(by));
    X509V3_CTX context;
    X509V3_set_ctx(&context, by, it, nullptr, nullptr, 0);
    extend(it, &context, NID_basic_constraints, options.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!options.is_authority) extend(it, &context, NID_subject_alt_name, options.names);
    if (X509_sign(it, issuer_key ? issuer_key.get() : own, EVP_sha256()) == 0) {
      throw std::runtime_error("certificate can't be signed");
    }
  }
  static void extend(X509* it, X509V3_CTX* context, int kind, const std::string& value) {
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
        need(X509V3_EXT_conf_nid(nullptr, context, kind, value.c_str())), &X509_EXTENSION_free);
    X509_add_ext(it, extension.get(), -1);
  }

  std::filesystem::path folder_;
  mutable long serial_ = 0;
};

}  // namespace splitnet::testing
