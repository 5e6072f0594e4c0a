// SPDX-License-Identifier: Apache-2.0
#include "aws/http_client.hpp"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <future>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "aws/thrown_error.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// As much as libcurl takes for reading; its own 16 KiB would be hundreds of reads for a tensor.
constexpr long kBufferBytes = 512L * 1024;
/// Of a connection that is kept. Load balancers close theirs after a minute; where somebody does so sooner, libcurl
/// notices, or sends again on another one.
constexpr long kLongestIdleSeconds = 50;

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

/// An end of line would begin a header of somebody else's.
void check_header(const HttpHeader& header) {
  constexpr std::string_view never("\r\n\0", 3);
  const auto& [name, value] = header;
  if (name.find_first_of(never) == std::string::npos && value.find_first_of(never) == std::string::npos) return;
  throw Error(ErrorCode::invalid_argument, "the header " + quoted(name) + " has an end of line in it");
}

List list_of(const std::vector<HttpHeader>& headers) {
  List list;
  // Without it a large body would wait for the leave to be sent.
  std::vector<std::string> lines = {"Expect:"};
  for (const HttpHeader& header : headers) {
    check_header(header);
    lines.push_back(header.first + ": " + header.second);
  }
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
  bool lacks_memory = false;
  char error_text[CURL_ERROR_SIZE] = {};
};

/// What the reply says of its length, with room for whoever parses it.
std::size_t expected_bytes(const Call& call) {
  constexpr std::size_t room = 64;
  curl_off_t length = 0;
  curl_easy_getinfo(call.handle.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return std::min(static_cast<std::size_t>(std::max<curl_off_t>(length, 0)), call.request.max_reply_bytes) + room;
}

/// Nothing may be thrown through libcurl.
template <class Take>
std::size_t taken(Call& call, std::size_t size, Take&& take) noexcept {
  try {
    return take() ? size : 0;
  } catch (const std::exception&) {
    call.lacks_memory = true;
    return 0;
  }
}

bool take_body_of(Call& call, const char* data, std::size_t size) {
  if (call.reply.body.empty()) call.reply.body.reserve(expected_bytes(call));
  if (size > call.request.max_reply_bytes - call.reply.body.size()) {
    call.is_too_large = true;
    return false;
  }
  call.reply.body.append(data, size);
  return true;
}

std::size_t take_body(char* data, std::size_t, std::size_t size, void* user) {
  Call& call = *static_cast<Call*>(user);
  return taken(call, size, [&] { return take_body_of(call, data, size); });
}

bool take_header_of(Call& call, std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    if (line.substr(0, 5) == "HTTP/") call.reply.headers.clear();  // Of the answer, not of one that came before it.
    return true;
  }
  call.reply.headers.emplace_back(in_lower_case(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
  return true;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* user) {
  Call& call = *static_cast<Call*>(user);
  return taken(call, size, [&] { return take_header_of(call, {data, size}); });
}

/// What is not acknowledged for so long ends the connection; in silence libcurl's TCP_KEEPALIVE asks.
int set_dead_peer_timeout(void* user, curl_socket_t socket, curlsocktype) {
  const int milliseconds = static_cast<int>(*static_cast<const long*>(user));
  ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
  return CURL_SOCKOPT_OK;
}

/// In whole units that an option of libcurl can have.
template <class Unit>
long in(std::chrono::nanoseconds time) {
  return static_cast<long>(std::clamp<std::int64_t>(time / Unit(1), 1, std::int64_t{1} << 30));
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
      : options_(std::move(options)),
        dead_peer_ms_(in<std::chrono::milliseconds>(options_.dead_peer_timeout)),
        texts_(std::move(texts)) {
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
    while (!under_way_.empty()) finish(under_way_.begin()->first, [] { return closed_error(); });
  }

  /// False: it is closed.
  bool take_waiting() {
    std::vector<std::unique_ptr<Call>> taken;
    bool is_closed = false;
    {
      const std::lock_guard lock(mutex_);
      taken.swap(waiting_);
      is_closed = closed_;
    }
    for (auto& call : taken) {
      try {
        if (is_closed) throw closed_error();
        if (call->stop.stop_requested()) throw stopped_error();
        begin(call);
      } catch (const std::exception&) {
        tell(*call, caught_error());
      }
    }
    return !is_closed;
  }

  /// What it throws comes before it has taken the call.
  void begin(std::unique_ptr<Call>& call) {
    CURL* const handle = curl_easy_init();
    if (handle == nullptr) throw std::bad_alloc();
    call->handle.reset(handle);
    call->headers = list_of(call->request.headers);
    call->reply.body = texts_->take();
    call->reply.body.clear();
    set_options(*call);
    auto on_stop = std::make_unique<std::stop_callback<std::function<void()>>>(call->stop, [this] { look(); });
    UnderWay& place = under_way_[handle];
    const CURLMcode added = curl_multi_add_handle(multi_.get(), handle);
    if (added != CURLM_OK) {
      under_way_.erase(handle);
      throw Error(ErrorCode::internal, curl_multi_strerror(added));
    }
    place = {std::move(call), std::move(on_stop)};
  }

  /// In a catch clause.
  [[nodiscard]] Error caught_error() const noexcept {
    try {
      return thrown_error("HTTP request");
    } catch (const std::exception&) {
      return no_memory_error_;
    }
  }
  static Error closed_error() { return Error(ErrorCode::cancelled, "the client of HTTP requests was closed"); }
  static Error stopped_error() { return Error(ErrorCode::cancelled, "the request was cancelled"); }

  void tell(const Call& call, Result result) const noexcept {
    try {
      return call.done(std::move(result));
    } catch (const std::exception&) {
    }
    try {
      call.done(no_memory_error_);
    } catch (const std::exception&) {  // Nobody can be told.
    }
  }

  void set_options(Call& call) {
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
    if (!options_.uses_proxies) set(CURLOPT_PROXY, "");
    set(CURLOPT_MAXAGE_CONN, kLongestIdleSeconds);
    if (options_.dead_peer_timeout.count() > 0) {
      const long seconds = in<std::chrono::seconds>(options_.dead_peer_timeout);
      set(CURLOPT_TCP_KEEPALIVE, 1L);
      set(CURLOPT_TCP_KEEPIDLE, std::max(1L, seconds / 2));
      set(CURLOPT_TCP_KEEPINTVL, std::max(1L, seconds / 6));
      set(CURLOPT_SOCKOPTFUNCTION, &set_dead_peer_timeout);
      set(CURLOPT_SOCKOPTDATA, &dead_peer_ms_);
    }
    if (request.stall_timeout.count() > 0) {
      set(CURLOPT_LOW_SPEED_LIMIT, 1L);
      set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout.count()));
    }
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
      if (message->msg != CURLMSG_DONE) continue;
      CURL* const handle = message->easy_handle;
      const CURLcode code = message->data.result;
      finish(handle, [&] { return result_of(handle, code); });
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
    if (call.lacks_memory) return Error(ErrorCode::overloaded, where + "no memory for the reply");
    return Error(code_of(code), where + (call.error_text[0] != '\0' ? call.error_text : curl_easy_strerror(code)));
  }

  void finish_stopped() {
    const auto now = Clock::now();
    for (auto next = under_way_.begin(); next != under_way_.end();) {
      const auto& [handle, one] = *next++;
      if (one.call->stop.stop_requested()) {
        finish(handle, [] { return stopped_error(); });
      } else if (one.call->deadline && *one.call->deadline <= now) {
        finish(handle, [] { return Error(ErrorCode::deadline_exceeded, "the deadline of the request passed"); });
      }
    }
  }

  /// `result` gives a result, or throws.
  template <class MakeResult>
  void finish(CURL* handle, MakeResult&& result) {
    Result told = [&]() -> Result {
      try {
        return result();
      } catch (const std::exception&) {
        return caught_error();
      }
    }();
    UnderWay one = std::move(under_way_.at(handle));
    under_way_.erase(handle);
    curl_multi_remove_handle(multi_.get(), handle);
    one.on_stop.reset();
    tell(*one.call, std::move(told));
  }

  /// Until the first deadline; something that happens ends it sooner.
  [[nodiscard]] int pause_ms() const {
    auto first = Clock::now() + std::chrono::seconds(10);
    for (const auto& [handle, one] : under_way_) first = std::min(first, one.call->deadline.value_or(first));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now());
    return static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0));
  }

  const HttpClientOptions options_;
  long dead_peer_ms_;
  const std::shared_ptr<SpareTexts> texts_;
  const Error no_memory_error_{ErrorCode::overloaded, "no memory for an HTTP request"};  // There may be none for it.
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
