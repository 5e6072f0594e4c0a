// SPDX-License-Identifier: Apache-2.0
#include "aws/http_client.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <future>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "text.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// As much as libcurl takes for reading; its own 16 KiB would be hundreds of reads for a tensor.
constexpr long kBufferBytes = 512L * 1024;

struct FreesEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreesMulti {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct FreesList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, FreesEasy>;
using Multi = std::unique_ptr<CURLM, FreesMulti>;
using List = std::unique_ptr<curl_slist, FreesList>;

/// Once in a process, before any thread uses libcurl.
void set_up_libcurl() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (done != CURLE_OK) throw Error(ErrorCode::internal, "libcurl can't be set up");
}

List list_of(const std::vector<HttpHeader>& headers) {
  List list;
  // Without it a large body would wait for the leave to be sent.
  std::vector<std::string> lines = {"Expect:"};
  for (const auto& [name, value] : headers) lines.push_back(name + ": " + value);
  for (const std::string& line : lines) {
    curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    (void)list.release();
    list.reset(longer);
  }
  return list;
}

/// One request under way; belongs to the client's thread.
struct Call {
  HttpRequest request;
  Deadline deadline;
  std::stop_token stop;
  HttpClient::Done done;
  Easy handle;
  List headers;
  HttpReply reply;
  bool is_too_large = false;
  char error_text[CURL_ERROR_SIZE] = {};
};

/// What the reply says of its length, with room for whoever parses it.
std::size_t expected_bytes(const Call& call) {
  constexpr std::size_t room = 64;
  curl_off_t length = 0;
  curl_easy_getinfo(call.handle.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return std::min(static_cast<std::size_t>(std::max<curl_off_t>(length, 0)), call.request.max_reply_bytes) + room;
}

std::size_t take_body(char* data, std::size_t, std::size_t size, void* user) {
  Call& call = *static_cast<Call*>(user);
  if (call.reply.body.empty()) call.reply.body.reserve(expected_bytes(call));
  if (size > call.request.max_reply_bytes - call.reply.body.size()) {
    call.is_too_large = true;
    return 0;
  }
  call.reply.body.append(data, size);
  return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* user) {
  Call& call = *static_cast<Call*>(user);
  const std::string_view line(data, size);
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    if (line.substr(0, 5) == "HTTP/") call.reply.headers.clear();  // Of the answer, not of one that came before it.
    return size;
  }
  call.reply.headers.emplace_back(in_lower_case(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
  return size;
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return ErrorCode::invalid_argument;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM: return ErrorCode::unauthenticated;
    case CURLE_OUT_OF_MEMORY: return ErrorCode::overloaded;
    default: return ErrorCode::unavailable;
  }
}

}  // namespace

std::string_view HttpReply::header(std::string_view name) const {
  const auto found = std::find_if(headers.begin(), headers.end(), [&](const auto& one) { return one.first == name; });
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

class HttpClient::Impl : public std::enable_shared_from_this<HttpClient::Impl> {
 public:
  Impl(HttpClientOptions options, std::shared_ptr<SpareTexts> texts)
      : options_(std::move(options)), texts_(std::move(texts)) {
    set_up_libcurl();
    multi_.reset(curl_multi_init());
    if (!multi_) throw Error(ErrorCode::internal, "libcurl can't be set up");
  }

  void start() {
    try {
      thread_ = std::thread([self = shared_from_this()] { self->work(); });
    } catch (const std::system_error& error) {
      throw Error(ErrorCode::internal, std::string("no thread for HTTP requests: ") + error.what());
    }
  }
  /// A completion that lets go of the client can't wait for the thread it runs on: that ends by itself.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    curl_multi_wakeup(multi_.get());
    if (thread_.get_id() == std::this_thread::get_id()) return thread_.detach();
    thread_.join();
  }

  void send(HttpRequest request, Deadline deadline, std::stop_token stop, Done done) {
    auto call = std::make_unique<Call>();
    call->request = std::move(request);
    call->deadline = deadline;
    call->stop = std::move(stop);
    call->done = std::move(done);
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(call));
    }
    curl_multi_wakeup(multi_.get());
  }
  /// From any thread: somebody has cancelled.
  void look() { curl_multi_wakeup(multi_.get()); }

 private:
  struct UnderWay {
    std::unique_ptr<Call> call;
    std::unique_ptr<std::stop_callback<std::function<void()>>> on_stop;
  };

  void work() {
    while (take_waiting()) {
      int running = 0;
      curl_multi_perform(multi_.get(), &running);
      finish_done();
      finish_stopped();
      curl_multi_poll(multi_.get(), nullptr, 0, pause_ms(), nullptr);
    }
    while (!under_way_.empty()) {
      finish(under_way_.begin()->first, Error(ErrorCode::cancelled, "the client of HTTP requests was closed"));
    }
  }

  /// False: it is closed.
  bool take_waiting() {
    std::vector<std::unique_ptr<Call>> taken;
    {
      const std::lock_guard lock(mutex_);
      taken.swap(waiting_);
      if (closed_) {
        for (auto& call : taken) call->done(Error(ErrorCode::cancelled, "the client of HTTP requests was closed"));
        return false;
      }
    }
    for (auto& call : taken) begin(std::move(call));
    return true;
  }

  void begin(std::unique_ptr<Call> call) {
    if (call->stop.stop_requested()) return call->done(Error(ErrorCode::cancelled, "the request was cancelled"));
    CURL* const handle = curl_easy_init();
    if (handle == nullptr) return call->done(Error(ErrorCode::overloaded, "no memory for an HTTP request"));
    call->handle.reset(handle);
    call->headers = list_of(call->request.headers);
    call->reply.body = texts_->take();
    call->reply.body.clear();
    set_options(*call);
    const CURLMcode added = curl_multi_add_handle(multi_.get(), handle);
    if (added != CURLM_OK) return call->done(Error(ErrorCode::internal, curl_multi_strerror(added)));
    auto on_stop = std::make_unique<std::stop_callback<std::function<void()>>>(call->stop, [this] { look(); });
    under_way_[handle] = {std::move(call), std::move(on_stop)};
  }

  void set_options(Call& call) const {
    CURL* const handle = call.handle.get();
    const HttpRequest& request = call.request;
    const auto set = [handle](CURLoption option, auto value) { curl_easy_setopt(handle, option, value); };
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_PATH_AS_IS, 1L);  // As it was signed.
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_BUFFERSIZE, kBufferBytes);
    set(CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout / std::chrono::milliseconds(1)));
    if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
    if (request.method == "POST" || request.method == "PUT") {
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body ? request.body->size() : 0));
      set(CURLOPT_POSTFIELDS, request.body ? request.body->data() : "");
    }
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(CURLOPT_HTTPHEADER, call.headers.get());
    set(CURLOPT_WRITEFUNCTION, &take_body);
    set(CURLOPT_WRITEDATA, &call);
    set(CURLOPT_HEADERFUNCTION, &take_header);
    set(CURLOPT_HEADERDATA, &call);
    set(CURLOPT_ERRORBUFFER, call.error_text);
  }

  void finish_done() {
    int left = 0;
    while (const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg == CURLMSG_DONE)
        finish(message->easy_handle, result_of(message->easy_handle, message->data.result));
    }
  }

  Result result_of(CURL* handle, CURLcode code) {
    Call& call = *under_way_.at(handle).call;
    if (code == CURLE_OK) {
      long status = 0;
      curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
      call.reply.status = static_cast<int>(status);
      return std::move(call.reply);
    }
    const std::string where = "request to " + call.request.url.substr(0, call.request.url.find('?')) + ": ";
    if (call.is_too_large) {
      return Error(ErrorCode::too_large,
                   where + "the reply has more than " + std::to_string(call.request.max_reply_bytes) + " bytes");
    }
    return Error(code_of(code), where + (call.error_text[0] != '\0' ? call.error_text : curl_easy_strerror(code)));
  }

  void finish_stopped() {
    const auto now = Clock::now();
    std::vector<std::pair<CURL*, Error>> ended;
    for (const auto& [handle, one] : under_way_) {
      if (one.call->stop.stop_requested()) {
        ended.emplace_back(handle, Error(ErrorCode::cancelled, "the request was cancelled"));
      } else if (one.call->deadline && *one.call->deadline <= now) {
        ended.emplace_back(handle, Error(ErrorCode::deadline_exceeded, "the deadline of the request passed"));
      }
    }
    for (auto& [handle, error] : ended) finish(handle, std::move(error));
  }

  void finish(CURL* handle, Result result) {
    UnderWay one = std::move(under_way_.at(handle));
    under_way_.erase(handle);
    curl_multi_remove_handle(multi_.get(), handle);
    one.on_stop.reset();
    one.call->done(std::move(result));
  }

  /// Until the first deadline; something that happens ends it sooner.
  [[nodiscard]] int pause_ms() const {
    auto first = Clock::now() + std::chrono::seconds(10);
    for (const auto& [handle, one] : under_way_) first = std::min(first, one.call->deadline.value_or(first));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now());
    return static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0));
  }

  const HttpClientOptions options_;
  const std::shared_ptr<SpareTexts> texts_;
  Multi multi_;
  std::mutex mutex_;
  bool closed_ = false;                         // Under the lock.
  std::vector<std::unique_ptr<Call>> waiting_;  // Under the lock.
  std::map<CURL*, UnderWay> under_way_;         // Of the thread.
  std::thread thread_;
};

HttpClient::HttpClient(HttpClientOptions options) : impl_(std::make_shared<Impl>(std::move(options), texts_)) {
  impl_->start();
}
HttpClient::~HttpClient() {
  impl_->close();
}

void HttpClient::send(HttpRequest request, Deadline deadline, std::stop_token stop, Done done) {
  impl_->send(std::move(request), deadline, std::move(stop), std::move(done));
}

HttpReply HttpClient::send_and_wait(HttpRequest request, Deadline deadline) {
  std::promise<Result> promise;
  auto future = promise.get_future();
  send(std::move(request), deadline, {}, [&promise](Result result) { promise.set_value(std::move(result)); });
  auto result = future.get();
  if (auto* const error = std::get_if<Error>(&result)) throw std::move(*error);
  return std::get<HttpReply>(std::move(result));
}

}  // namespace splitnet::detail
