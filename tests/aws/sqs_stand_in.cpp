// SPDX-License-Identifier: Apache-2.0
#include "sqs_stand_in.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <ctime>
#include <set>
#include <utility>

#include "splitnet/testing/transport_tools.hpp"

namespace splitnet::testing {
namespace {

using Json = SqsStandIn::Json;
using std::chrono::seconds;

constexpr std::size_t kMaxBytes = 1'048'576;  // Of a message, and of all in a batch.
constexpr const char* kAccount = "123456789012";
constexpr auto kLook =
    std::chrono::milliseconds(20);  // How often a request that waits looks whether its peer is there.

std::string md5_hex(const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_md5(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4U];
    hex += "0123456789abcdef"[digest[i] & 15U];
  }
  return hex;
}

std::string formatted(std::time_t time, const char* format) {
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

bool is_name(const std::string& name) {
  const auto may_have = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; };
  return !name.empty() && name.size() <= 80 && std::all_of(name.begin(), name.end(), may_have);
}

std::string text_of(const Json& document, const char* member) {
  const auto found = document.find(member);
  return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// What SQS counts.
std::size_t size_of(const Json& entry) {
  std::size_t bytes = text_of(entry, "MessageBody").size();
  const Json attributes = entry.value("MessageAttributes", Json::object());
  for (const auto& [name, value] : attributes.items()) {
    bytes += name.size() + text_of(value, "DataType").size() + text_of(value, "StringValue").size() +
             text_of(value, "BinaryValue").size() / 4 * 3;
  }
  return bytes;
}

/// #x9, #xA, #xD and from #x20 on: the others can't be in XML, and so not in SQS.
bool has_only_allowed_characters(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c >= 0x20 || c == 9 || c == 10 || c == 13; });
}

bool is_asked_for(const Json& names, const std::string& name) {
  return std::any_of(names.begin(), names.end(), [&](const Json& asked) { return asked == "All" || asked == name; });
}

}  // namespace

AwsOptions SqsStandIn::options() const {
  return {.region = "eu-central-1",
          .endpoint = "http://127.0.0.1:" + std::to_string(port_),
          .credentials = fixed_aws_credentials({"AKIDEXAMPLE", "a secret that nobody shall see"})};
}

std::string SqsStandIn::url_of(const std::string& queue) const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/" + kAccount + "/" + queue;
}

std::int64_t SqsStandIn::now_ms() const {
  const auto time = std::chrono::system_clock::now() + passed_ + clock_ahead.load();
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

// ---- what a test does --------------------------------------------------------------------------

void SqsStandIn::make_queue(const std::string& name, const Json& attributes) {
  const std::lock_guard lock(mutex_);
  (void)create_queue({{"QueueName", name}, {"Attributes", attributes}});
}

void SqsStandIn::remove_queue(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (queues_.erase(name) > 0) deleted_at_[name] = now();
  changed_.notify_all();
}

std::vector<std::string> SqsStandIn::queues() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, queue] : queues_) names.push_back(name);
  return names;
}

std::vector<SqsStandIn::Message> SqsStandIn::messages(const std::string& queue) const {
  const std::lock_guard lock(mutex_);
  std::vector<Message> messages;
  const auto found = queues_.find(queue);
  if (found == queues_.end()) return messages;
  for (const Stored& stored : found->second.messages) {
    messages.push_back(stored.message);
    messages.back().is_hidden = stored.visible_at > now();
  }
  return messages;
}

void SqsStandIn::send(const std::string& queue, const std::string& body, const Json& attributes) {
  const std::lock_guard lock(mutex_);
  (void)send_message(queues_.at(queue), {{"MessageBody", body}, {"MessageAttributes", attributes}});
}

std::optional<SqsStandIn::Message> SqsStandIn::take(const std::string& queue, seconds visibility) {
  const std::lock_guard lock(mutex_);
  const auto taken = take_visible(queues_.at(queue), 1, visibility);
  if (taken.empty()) return std::nullopt;
  return taken.front()->message;
}

void SqsStandIn::remove(const std::string& queue, const std::string& id) {
  const std::lock_guard lock(mutex_);
  queues_.at(queue).messages.remove_if([&](const Stored& stored) { return stored.message.id == id; });
  changed_.notify_all();
}

std::vector<Json> SqsStandIn::requests(const std::string& action) const {
  const std::lock_guard lock(mutex_);
  std::vector<Json> chosen;
  for (const Json& request : requests_) {
    if (action.empty() || request.at("action") == action) chosen.push_back(request);
  }
  return chosen;
}

bool SqsStandIn::wait_until(const std::function<bool()>& holds) const {
  const auto until = Clock::now() + kLongTime;
  while (!holds()) {
    if (Clock::now() > until) return false;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLook);
  }
  return true;
}

void SqsStandIn::start() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = false;
  }
  server_ = std::make_unique<ScriptedServer>(
      [this](const Request& request, const Peer& peer) { return serve(request, peer); }, port_);
  if (port_ == 0) port_ = server_->port();  // Else whoever is served already may be reading it.
}

void SqsStandIn::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (store.hangs) store.let_go();
  server_.reset();
}

void SqsStandIn::forget() {
  const std::lock_guard lock(mutex_);
  queues_.clear();
  changed_.notify_all();
}

void SqsStandIn::pass_time(std::chrono::milliseconds time) {
  const std::lock_guard lock(mutex_);
  passed_ += time;
  changed_.notify_all();
}

void SqsStandIn::fail(Fault fault, int times, const std::string& action, const std::string& queue) {
  const std::lock_guard lock(mutex_);
  faults_.push_back({fault, times, action, queue});
}

void SqsStandIn::heal() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
  changed_.notify_all();
}

// ---- requests and answers ----------------------------------------------------------------------

std::optional<SqsStandIn::Response> SqsStandIn::serve(const Request& request, const Peer& peer) {
  constexpr std::string_view prefix = "AmazonSQS.";
  const std::string target(request["x-amz-target"]);
  if (!target.starts_with(prefix)) return store.serve(request);
  auto response = serve_sqs(request, peer, target.substr(prefix.size()));
  changed_.notify_all();
  if (!response) return std::nullopt;
  const std::lock_guard lock(mutex_);
  response->set("Content-Type", "application/x-amz-json-1.0");
  response->set("Date", formatted(now_ms() / 1000, "%a, %d %b %Y %H:%M:%S GMT"));
  response->set("x-amzn-RequestId", "request-" + std::to_string(++count_));
  return response;
}

SqsStandIn::Response SqsStandIn::answer(const Json& document) const {
  return ScriptedServer::reply(200, document.dump());
}

SqsStandIn::Response SqsStandIn::refuse(const Refusal& refusal) const {
  const Json document = {{"__type", "com.amazonaws.sqs#" + refusal.type}, {"message", refusal.words}};
  auto response = ScriptedServer::reply(refusal.status, document.dump());
  response.set("x-amzn-query-error", refusal.query_code + (refusal.status < 500 ? ";Sender" : ";Receiver"));
  return response;
}

void SqsStandIn::check_signature(const Request& request) const {
  const std::string authorization(request["authorization"]);
  if (authorization.find("/eu-central-1/sqs/aws4_request") == std::string::npos) {
    throw Refusal{"InvalidSignatureException", "Credential should be scoped to correct service: 'sqs'.",
                  "InvalidSignatureException", 403};
  }
  std::tm parts{};
  const std::string date(request["x-amz-date"]);
  const bool is_date = ::strptime(date.c_str(), "%Y%m%dT%H%M%SZ", &parts) != nullptr;
  // Whoever asks can't know of the time that a test has pass.
  const auto ahead_s = timegm(&parts) - now_ms() / 1000;
  if (!is_date || ahead_s > 300 || ahead_s < -300 - std::chrono::ceil<seconds>(passed_).count()) {
    throw Refusal{"InvalidSignatureException", "Signature expired: " + date + " is not within 5 min. of this clock",
                  "InvalidSignatureException", 403};
  }
}

std::optional<SqsStandIn::Fault> SqsStandIn::fault_for(const std::string& action, const Json& document) {
  const std::string url = text_of(document, "QueueUrl");
  const std::string queue = url.substr(url.rfind('/') + 1);
  for (Armed& armed : faults_) {
    if (armed.times == 0 || (!armed.action.empty() && armed.action != action)) continue;
    if (!queue.starts_with(armed.queue)) continue;
    --armed.times;
    return armed.fault;
  }
  return std::nullopt;
}

/// Until whoever asks goes, or this ends.
void SqsStandIn::wait_for_end(const Peer& peer, std::unique_lock<std::mutex>& lock) {
  while (!stopped_ && !peer.has_gone()) changed_.wait_for(lock, kLook);
}

void SqsStandIn::wait_for_heal(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [&] { return stopped_ || faults_.empty(); });
}

std::optional<SqsStandIn::Response> SqsStandIn::serve_sqs(const Request& request, const Peer& peer,
                                                          const std::string& action) {
  std::unique_lock lock(mutex_);
  if (stopped_) return std::nullopt;
  const Json document = Json::parse(request.body(), nullptr, false);
  requests_.push_back({{"action", action}, {"document", document}});
  const auto fault = fault_for(action, document);
  if (fault == Fault::dropped) return std::nullopt;
  if (fault == Fault::not_found) return ScriptedServer::reply(404, "Not Found");
  if (fault == Fault::hangs) {
    wait_for_end(peer, lock);
    return std::nullopt;
  }
  if (fault == Fault::late) wait_for_heal(lock);
  try {
    check_signature(request);
    if (!document.is_object()) throw Refusal{"SerializationException", "no JSON object"};
    if (fault == Fault::denied) throw Refusal{"AccessDeniedException", "Access is denied.", "AccessDenied", 403};
    if (fault == Fault::throttled) throw Refusal{"ThrottlingException", "Rate exceeded"};
    if (fault == Fault::rate_limited) throw Refusal{"RequestThrottled", "Rate exceeded", "RequestThrottled", 403};
    if (fault == Fault::out_of_service) throw Refusal{"ServiceUnavailable", "", "ServiceUnavailable", 503};
    auto response = answer(perform(action, document, peer, lock, fault == Fault::entries_fail));
    if (fault == Fault::answer_lost || stopped_) return std::nullopt;
    if (fault == Fault::no_json) response.body() = "<html>by a proxy</html>";
    return response;
  } catch (const Refusal& refusal) {
    return refuse(refusal);
  } catch (const Json::exception& wrong_type) {
    return refuse({"SerializationException", wrong_type.what()});
  }
}

Json SqsStandIn::perform(const std::string& action, const Json& document, const Peer& peer,
                         std::unique_lock<std::mutex>& lock, bool entries_fail) {
  if (action == "CreateQueue") {
    const auto deleted = deleted_at_.find(text_of(document, "QueueName"));
    if (deleted != deleted_at_.end() && now() < deleted->second + seconds(60)) {
      throw Refusal{"QueueDeletedRecently",
                    "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
                    "AWS.SimpleQueueService.QueueDeletedRecently"};
    }
    return create_queue(document);
  }
  if (action == "GetQueueUrl") {
    const std::string name = text_of(document, "QueueName");
    (void)queue_of({{"QueueUrl", url_of(name)}});
    return {{"QueueUrl", url_of(name)}};
  }
  if (action == "GetQueueAttributes") return attributes_of(document);
  if (action == "DeleteQueue") {
    (void)queue_of(document);
    const std::string url = text_of(document, "QueueUrl");
    const std::string name = url.substr(url.rfind('/') + 1);
    queues_.erase(name);
    deleted_at_[name] = now();
    return Json::object();
  }
  if (action == "SendMessage") return send_message(queue_of(document), document);
  if (action == "SendMessageBatch") return batch(document, entries_fail, &SqsStandIn::send_message);
  if (action == "ReceiveMessage") return receive_message(document, peer, lock);
  if (action == "DeleteMessage") return delete_message(queue_of(document), document);
  if (action == "DeleteMessageBatch") return batch(document, entries_fail, &SqsStandIn::delete_message);
  if (action == "ChangeMessageVisibility") return change_visibility(queue_of(document), document);
  if (action == "ChangeMessageVisibilityBatch") return batch(document, entries_fail, &SqsStandIn::change_visibility);
  throw Refusal{"UnknownOperationException", "", "UnknownOperationException"};
}

// ---- queues ------------------------------------------------------------------------------------

SqsStandIn::Queue& SqsStandIn::queue_of(const Json& document) {
  const std::string url = text_of(document, "QueueUrl");
  const auto found = queues_.find(url.substr(url.rfind('/') + 1));
  if (found != queues_.end() && url == url_of(found->first) && now() >= found->second.appears_at) return found->second;
  throw Refusal{"QueueDoesNotExist", "The specified queue does not exist.", "AWS.SimpleQueueService.NonExistentQueue"};
}

Json SqsStandIn::create_queue(const Json& document) {
  const std::string name = text_of(document, "QueueName");
  if (!is_name(name)) {
    throw Refusal{"InvalidParameterValue",
                  "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"};
  }
  Json attributes = {{"MaximumMessageSize", std::to_string(kMaxBytes)},
                     {"VisibilityTimeout", "30"},
                     {"ReceiveMessageWaitTimeSeconds", "0"},
                     {"MessageRetentionPeriod", "345600"},
                     {"DelaySeconds", "0"},
                     {"QueueArn", std::string("arn:aws:sqs:eu-central-1:") + kAccount + ":" + name}};
  const Json named = document.value("Attributes", Json::object());
  for (const auto& [key, value] : named.items()) {
    if (!attributes.contains(key) || key == "QueueArn") {
      throw Refusal{"InvalidAttributeName", "Unknown Attribute " + key + "."};
    }
    if (!value.is_string()) throw Refusal{"InvalidAttributeValue", "Invalid value for the parameter " + key + "."};
    attributes[key] = value;
  }
  const auto [queue, is_new] = queues_.try_emplace(name, Queue{attributes, now() + queues_appear_after.load(), {}, {}});
  if (!is_new && queue->second.attributes != attributes) {
    throw Refusal{"QueueNameExists", "A queue already exists with the same name and a different value for attributes",
                  "QueueAlreadyExists"};
  }
  changed_.notify_all();
  return {{"QueueUrl", url_of(name)}};
}

Json SqsStandIn::attributes_of(const Json& document) {
  const Queue& queue = queue_of(document);
  Json attributes = queue.attributes;
  const auto hidden = std::count_if(queue.messages.begin(), queue.messages.end(),
                                    [&](const Stored& stored) { return stored.visible_at > now(); });
  attributes["ApproximateNumberOfMessages"] = std::to_string(static_cast<long>(queue.messages.size()) - hidden);
  attributes["ApproximateNumberOfMessagesNotVisible"] = std::to_string(hidden);
  attributes["ApproximateNumberOfMessagesDelayed"] = "0";
  Json chosen = Json::object();
  for (const auto& [name, value] : attributes.items()) {
    if (is_asked_for(document.value("AttributeNames", Json::array()), name)) chosen[name] = value;
  }
  return {{"Attributes", chosen}};
}

Json SqsStandIn::batch(const Json& document, bool entries_fail, Json (SqsStandIn::*action)(Queue&, const Json&)) {
  Queue& queue = queue_of(document);
  const Json entries = document.value("Entries", Json::array());
  if (entries.empty()) {
    throw Refusal{"EmptyBatchRequest", "There should be at least one entry in the request.",
                  "AWS.SimpleQueueService.EmptyBatchRequest"};
  }
  if (entries.size() > 10) {
    throw Refusal{"TooManyEntriesInBatchRequest",
                  "Maximum number of entries per request are 10. You have sent " + std::to_string(entries.size()) + ".",
                  "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"};
  }
  std::set<std::string> ids;
  std::size_t bytes = 0;
  for (const Json& entry : entries) {
    const std::string id = text_of(entry, "Id");
    if (!is_name(id)) {
      throw Refusal{"InvalidBatchEntryId",
                    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at "
                    "most 80 letters long.",
                    "AWS.SimpleQueueService.InvalidBatchEntryId"};
    }
    if (!ids.insert(id).second) {
      throw Refusal{"BatchEntryIdsNotDistinct", "Id " + id + " repeated.",
                    "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"};
    }
    bytes += size_of(entry);
  }
  if (bytes > kMaxBytes) {
    throw Refusal{"BatchRequestTooLong",
                  "Batch requests cannot be longer than " + std::to_string(kMaxBytes) + " bytes. You have sent " +
                      std::to_string(bytes) + " bytes.",
                  "AWS.SimpleQueueService.BatchRequestTooLong"};
  }
  Json successful = Json::array();
  Json failed = Json::array();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Json& entry = entries[i];
    try {
      if (entries_fail && i % 2 == 0)
        throw Refusal{"InternalError", "We encountered an internal error.", "InternalError", 500};
      Json done = (this->*action)(queue, entry);
      done["Id"] = entry.at("Id");
      successful.push_back(std::move(done));
    } catch (const Refusal& refusal) {
      failed.push_back({{"Id", entry.at("Id")},
                        {"SenderFault", refusal.status < 500},
                        {"Code", refusal.query_code},
                        {"Message", refusal.words}});
    }
  }
  return {{"Successful", successful}, {"Failed", failed}};
}

// ---- messages ----------------------------------------------------------------------------------

Json SqsStandIn::send_message(Queue& queue, const Json& entry) {
  const std::string body = text_of(entry, "MessageBody");
  if (body.empty()) throw Refusal{"MissingParameter", "The request must contain the parameter MessageBody."};
  const auto most = std::stoul(queue.attributes.at("MaximumMessageSize").get<std::string>());
  if (size_of(entry) > most) {
    throw Refusal{"InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than " +
                                               std::to_string(most) + " bytes."};
  }
  const Json attributes = entry.value("MessageAttributes", Json::object());
  if (attributes.size() > 10) throw Refusal{"InvalidParameterValue", "Number of message attributes exceeds 10."};
  bool is_good = has_only_allowed_characters(body);
  for (const auto& [name, value] : attributes.items()) {
    const std::string text = text_of(value, "StringValue") + text_of(value, "BinaryValue");
    if (text.empty()) {
      throw Refusal{"InvalidParameterValue", "The message attribute '" + name + "' must contain non-empty value."};
    }
    is_good = is_good && has_only_allowed_characters(text);
  }
  if (!is_good) throw Refusal{"InvalidMessageContents", "Invalid characters found."};
  Stored stored;
  stored.message = {"00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + ++count_), body, attributes, 0,
                    false};
  stored.message.sent_ms = now_ms();
  stored.visible_at = now() + seconds(entry.value("DelaySeconds", 0));
  stored.stays_visible = stored.survives_deletion = delivers_again;
  queue.messages.push_back(stored);
  changed_.notify_all();
  return {{"MessageId", stored.message.id}, {"MD5OfMessageBody", md5_hex(body)}};
}

std::vector<SqsStandIn::Stored*> SqsStandIn::take_visible(Queue& queue, std::size_t count, seconds visibility) {
  std::vector<Stored*> visible;
  for (Stored& stored : queue.messages) {
    if (stored.visible_at <= now()) visible.push_back(&stored);
  }
  if (delivers_backwards) std::reverse(visible.begin(), visible.end());
  visible.resize(std::min(visible.size(), count));
  for (Stored* const taken : visible) {
    ++taken->message.deliveries;
    if (taken->message.first_received_ms == 0) taken->message.first_received_ms = now_ms();
    if (!std::exchange(taken->stays_visible, false)) taken->visible_at = now() + visibility;
    taken->received_at = now();
    taken->handle = "AQEB" + std::to_string(++count_) + "/receipt+handle==";
    queue.handles.emplace(taken->handle, taken->message.id);
  }
  return visible;
}

Json SqsStandIn::receive_message(const Json& document, const Peer& peer, std::unique_lock<std::mutex>& lock) {
  const int count = document.value("MaxNumberOfMessages", 1);
  if (count < 1 || count > 10) {
    throw Refusal{"InvalidParameterValue", "Value " + std::to_string(count) +
                                               " for parameter MaxNumberOfMessages is invalid. Reason: Must be between "
                                               "1 and 10, if provided."};
  }
  const int wait_s = document.value("WaitTimeSeconds", 0);
  if (wait_s < 0 || wait_s > 20) {
    throw Refusal{"InvalidParameterValue", "Value " + std::to_string(wait_s) +
                                               " for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= "
                                               "20, if provided."};
  }
  const auto until = Clock::now() + seconds(wait_s);
  std::vector<Stored*> taken;
  for (;;) {
    Queue& queue = queue_of(document);
    const int usual_s = std::stoi(queue.attributes.at("VisibilityTimeout").get<std::string>());
    taken = take_visible(queue, static_cast<std::size_t>(count), seconds(document.value("VisibilityTimeout", usual_s)));
    if (!taken.empty() || stopped_ || Clock::now() >= until) break;
    changed_.wait_for(lock, kLook);
    if (peer.has_gone()) return Json::object();
  }
  Json messages = Json::array();
  for (const Stored* const one : taken) {
    Json message = {{"MessageId", one->message.id},
                    {"ReceiptHandle", one->handle},
                    {"MD5OfBody", md5_hex(one->message.body)},
                    {"Body", one->message.body}};
    const Json all = {{"SenderId", "AIDAIT2UOQQY3AUEKVGXU"},
                      {"SentTimestamp", std::to_string(one->message.sent_ms)},
                      {"ApproximateReceiveCount", std::to_string(one->message.deliveries)},
                      {"ApproximateFirstReceiveTimestamp", std::to_string(one->message.first_received_ms)}};
    Json names = document.value("MessageSystemAttributeNames", Json::array());
    for (const Json& name : document.value("AttributeNames", Json::array())) names.push_back(name);  // The old name.
    for (const auto& [name, value] : all.items()) {
      if (is_asked_for(names, name)) message["Attributes"][name] = value;
    }
    for (const auto& [name, value] : one->message.attributes.items()) {
      if (is_asked_for(document.value("MessageAttributeNames", Json::array()), name)) {
        message["MessageAttributes"][name] = value;
      }
    }
    messages.push_back(std::move(message));
  }
  if (messages.empty()) return Json::object();
  return {{"Messages", std::move(messages)}};
}

/// Nothing: it was deleted, or delivered anew. Throws what is said of a text that is no handle.
SqsStandIn::Stored* SqsStandIn::find(Queue& queue, const std::string& handle) {
  const auto given = queue.handles.find(handle);
  if (given == queue.handles.end()) {
    throw Refusal{"ReceiptHandleIsInvalid",
                  "The input receipt handle \"" + handle + "\" is not a valid receipt handle."};
  }
  const auto found = std::find_if(queue.messages.begin(), queue.messages.end(), [&](const Stored& stored) {
    return stored.message.id == given->second && (old_handles_work || stored.handle == handle);
  });
  return found == queue.messages.end() ? nullptr : &*found;
}

Json SqsStandIn::delete_message(Queue& queue, const Json& entry) {
  Stored* const stored = find(queue, text_of(entry, "ReceiptHandle"));
  if (stored == nullptr) return Json::object();
  if (std::exchange(stored->survives_deletion, false)) {
    stored->visible_at = now();
  } else {
    queue.messages.remove_if([&](const Stored& other) { return &other == stored; });
  }
  changed_.notify_all();
  return Json::object();
}

Json SqsStandIn::change_visibility(Queue& queue, const Json& entry) {
  const int timeout_s = entry.value("VisibilityTimeout", -1);
  if (timeout_s < 0 || timeout_s > 43'200) {
    throw Refusal{"InvalidParameterValue", "Value " + std::to_string(timeout_s) +
                                               " for parameter VisibilityTimeout is invalid. Reason: Must be between 0 "
                                               "and 43200, if provided."};
  }
  const std::string handle = text_of(entry, "ReceiptHandle");
  Stored* const stored = find(queue, handle);
  if (stored == nullptr) {
    throw Refusal{"InvalidParameterValue",
                  "Value " + handle +
                      " for parameter ReceiptHandle is invalid. Reason: Message does not exist "
                      "or is not available for visibility timeout change."};
  }
  if (stored->visible_at <= now()) {
    throw Refusal{"MessageNotInflight", "The specified message isn't in flight.",
                  "AWS.SimpleQueueService.MessageNotInflight"};
  }
  if (now() + seconds(timeout_s) > stored->received_at + std::chrono::hours(12)) {
    throw Refusal{"InvalidParameterValue",
                  "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"};
  }
  stored->visible_at = now() + seconds(timeout_s);
  changed_.notify_all();
  return Json::object();
}

}  // namespace splitnet::testing
