// SPDX-License-Identifier: Apache-2.0
#include "message_metadata.hpp"

#include <cereal/types/map.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <cmath>
#include <complex>
#include <string>
#include <utility>

#include "bounded_archive.hpp"

namespace splitnet::detail {
namespace {

/// Travels: never renumber.
enum class ValueTag : std::uint8_t {
  none = 0,
  uninitialized = 1,
  boolean = 2,
  integer = 3,
  floating = 4,
  complex = 5,
  string = 6,
  tensor = 7,
  list = 8,
  tuple = 9,
  dict = 10,
};

constexpr std::size_t kSmallestStorage = 1 + 8;  // form, bytes
constexpr std::size_t kSmallestRun = 4 + 4;      // first layer, number of layers
constexpr std::size_t kSmallestNextHop = 4 + 4;  // lengths of two strings

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "message metadata: " + what);
}

bool is_dict_key(const Value& key) {
  return key.get_if<bool>() || key.get_if<std::int64_t>() || key.get_if<double>() || key.get_if<std::string>();
}

std::uint32_t narrow(std::size_t number, const char* what) {
  const auto narrowed = static_cast<std::uint32_t>(number);
  if (narrowed == number) return narrowed;
  throw Error(ErrorCode::too_large,
              std::string("message: ") + what + " " + std::to_string(number) + " does not fit 32 bits");
}

class ValueWriter {
 public:
  ValueWriter(MetadataWriter& out, std::span<const TensorPlace> places, const MessageLimits& limits)
      : out_(out), places_(places), limits_(limits) {}

  void write(const Value& value, std::size_t depth = 0) {
    count(1);
    std::visit([&](const auto& held) { write_held(held, depth); }, value.variant());
  }

  /// Counts towards the limit on values.
  void count(std::size_t values) {
    values_ += values;
    if (values_ <= limits_.max_values) return;
    throw Error(ErrorCode::too_large, "message: more than " + std::to_string(limits_.max_values) + " values");
  }

 private:
  void tag(ValueTag tag) { out_(static_cast<std::uint8_t>(tag)); }

  void write_held(None, std::size_t) { tag(ValueTag::none); }
  void write_held(Uninitialized, std::size_t) { tag(ValueTag::uninitialized); }
  void write_held(bool v, std::size_t) {
    tag(ValueTag::boolean);
    out_(static_cast<std::uint8_t>(v));
  }
  void write_held(std::int64_t v, std::size_t) {
    tag(ValueTag::integer);
    out_(v);
  }
  void write_held(double v, std::size_t) {
    tag(ValueTag::floating);
    out_(v);
  }
  void write_held(std::complex<double> v, std::size_t) {
    tag(ValueTag::complex);
    out_(v.real(), v.imag());
  }
  void write_held(const std::string& v, std::size_t) {
    tag(ValueTag::string);
    out_(v);
  }
  void write_held(const Tensor& v, std::size_t) {
    if (v.sizes.size() > limits_.max_rank) {
      throw Error(ErrorCode::too_large, "message: a tensor of rank " + std::to_string(v.sizes.size()) + ", at most " +
                                            std::to_string(limits_.max_rank));
    }
    const auto& place = places_[tensors_++];
    tag(ValueTag::tensor);
    out_(static_cast<std::uint8_t>(v.dtype), static_cast<std::uint32_t>(v.sizes.size()));
    for (const auto size : v.sizes) out_(size);
    for (const auto stride : v.strides) out_(stride);
    out_(place.storage, place.offset_bytes);
  }
  void write_held(const List& v, std::size_t depth) { write_items(ValueTag::list, v.items, depth); }
  void write_held(const Tuple& v, std::size_t depth) { write_items(ValueTag::tuple, v.items, depth); }
  void write_held(const Dict& v, std::size_t depth) {
    enter(ValueTag::dict, v.items.size(), depth);
    for (const auto& [key, item] : v.items) {
      if (!is_dict_key(key)) {
        throw Error(ErrorCode::invalid_argument,
                    "message: a dict key is a " + describe(key) + ", expected bool, integer, float or string");
      }
      write(key, depth + 1);
      write(item, depth + 1);
    }
  }

  void write_items(ValueTag container, const std::vector<Value>& items, std::size_t depth) {
    enter(container, items.size(), depth);
    for (const auto& item : items) write(item, depth + 1);
  }
  void enter(ValueTag container, std::size_t size, std::size_t depth) {
    if (depth >= limits_.max_depth) {
      throw Error(ErrorCode::too_large, "message: values nested deeper than " + std::to_string(limits_.max_depth));
    }
    tag(container);
    out_(narrow(size, "a length"));
  }

  MetadataWriter& out_;
  std::span<const TensorPlace> places_;
  const MessageLimits& limits_;
  std::size_t values_ = 0;
  std::size_t tensors_ = 0;
};

class ValueReader {
 public:
  ValueReader(BoundedReader& in, Metadata& metadata, const MessageLimits& limits)
      : in_(in), metadata_(metadata), limits_(limits) {}

  std::vector<Value> read_items() {
    const auto count = in_.read_count(1);
    in_.expect_values(count);
    std::vector<Value> items;
    items.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) items.push_back(read());
    return items;
  }

 private:
  template <class T>
  T number() {
    T read{};
    in_(read);
    return read;
  }

  Value read() {
    const auto tag = number<std::uint8_t>();
    switch (static_cast<ValueTag>(tag)) {
      case ValueTag::none: return None{};
      case ValueTag::uninitialized: return Uninitialized{};
      case ValueTag::boolean: return read_bool();
      case ValueTag::integer: return number<std::int64_t>();
      case ValueTag::floating: return number<double>();
      case ValueTag::complex: return read_complex();
      case ValueTag::string: return read_string();
      case ValueTag::tensor: return read_tensor();
      case ValueTag::list: return List{read_nested_items()};
      case ValueTag::tuple: return Tuple{read_nested_items()};
      case ValueTag::dict: return read_dict();
    }
    throw Error(ErrorCode::incompatible, "message metadata: a value of unknown kind " + std::to_string(tag));
  }

  bool read_bool() {
    const auto read = number<std::uint8_t>();
    if (read > 1) corrupt("a bool is " + std::to_string(read) + ", expected 0 or 1");
    return read == 1;
  }
  std::complex<double> read_complex() {
    const auto real = number<double>();
    return {real, number<double>()};
  }
  std::string read_string() {
    std::string text;
    in_(text);
    return text;
  }
  std::vector<Value> read_nested_items() {
    const BoundedReader::Nesting nesting(in_);
    return read_items();
  }

  Value read_dict() {
    const BoundedReader::Nesting nesting(in_);
    const auto count = in_.read_count(2);
    in_.expect_values(2 * std::size_t{count});
    Dict dict;
    dict.items.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      Value key = read();
      if (!is_dict_key(key)) corrupt("a dict key is a " + describe(key));
      dict.items.emplace_back(std::move(key), read());
    }
    return dict;
  }

  Tensor read_tensor() {
    if (metadata_.places.size() >= limits_.max_tensors) {
      throw Error(ErrorCode::too_large, "message: more than " + std::to_string(limits_.max_tensors) + " tensors");
    }
    const auto dtype = number<std::uint8_t>();
    if (!is_dtype(dtype)) {
      throw Error(ErrorCode::incompatible, "message: a tensor of unknown dtype " + std::to_string(dtype));
    }
    const auto rank = number<std::uint32_t>();
    if (rank > limits_.max_rank) {
      throw Error(ErrorCode::too_large, "message: a tensor of rank " + std::to_string(rank) + ", at most " +
                                            std::to_string(limits_.max_rank));
    }
    Tensor tensor;
    tensor.dtype = static_cast<DType>(dtype);
    tensor.sizes = read_dimensions(rank);
    tensor.strides = read_dimensions(rank);
    TensorPlace place;
    in_(place.storage, place.offset_bytes);
    metadata_.places.push_back(place);
    return tensor;
  }

  std::vector<std::int64_t> read_dimensions(std::uint32_t rank) {
    std::vector<std::int64_t> dimensions;
    dimensions.reserve(rank);
    for (std::uint32_t i = 0; i < rank; ++i) dimensions.push_back(number<std::int64_t>());
    return dimensions;
  }

  BoundedReader& in_;
  Metadata& metadata_;
  const MessageLimits& limits_;
};

// ---- Requests. A cut is written as runs of layers: most are one run, however many layers they have.

struct LayerRun {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

std::vector<LayerRun> runs_of(const LayerSet& layers) {
  std::vector<LayerRun> runs;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (i > 0 && layers[i] <= layers[i - 1]) {
      throw Error(ErrorCode::invalid_argument,
                  "message: the layers of a cut are not in ascending order (resolve it first)");
    }
    if (i > 0 && layers[i] == layers[i - 1] + 1) {
      ++runs.back().count;
    } else {
      runs.push_back({narrow(layers[i], "layer"), 1});
    }
  }
  return runs;
}

/// Version 1 knows two operations and no codecs.
bool needs_version_2(const StageRequest& request) {
  return request.operation > Operation::prepare || request.codec != "raw";
}

/// Nor do versions 2 and 3 know of what follows.
bool needs_version_4(const Message& message) {
  if (message.kind == MessageKind::error) return message.retry_after_s.has_value();
  return message.kind == MessageKind::request && (!message.request.next.empty() || message.trace != TraceContext{});
}

void write_request(MetadataWriter& out, const Message& message, ValueWriter& values) {
  const StageRequest& request = message.request;
  out(request.model, request.fingerprint, narrow(request.stage.cuts.size(), "a length"));
  for (const auto& cut : request.stage.cuts) {
    values.count(1 + cut.size());
    const auto runs = runs_of(cut);
    out(narrow(runs.size(), "a length"));
    for (const auto& run : runs) out(run.first, run.count);
  }
  out(narrow(request.stage.index, "a stage"), static_cast<std::uint8_t>(request.operation));
  if (needs_version_2(request) || needs_version_4(message)) out(request.codec);
  if (!needs_version_4(message)) return;
  out(message.trace.traceparent, message.trace.tracestate, narrow(request.next.size(), "a length"));
  for (const NextHop& hop : request.next) out(hop.endpoint, hop.codec);
}

/// Layers count as values, so that a run of a few bytes can't take much memory.
LayerSet read_cut(BoundedReader& in) {
  LayerSet layers;
  std::size_t next = 0;  // The lowest layer that the next run may begin with.
  const auto runs = in.read_count(kSmallestRun);
  for (std::uint32_t i = 0; i < runs; ++i) {
    LayerRun run;
    in(run.first, run.count);
    if (run.count == 0 || run.first < next) corrupt("the layers of a cut are out of order");
    if (run.count > ~run.first) corrupt("a cut has layers beyond 32 bits");
    in.expect_values(run.count);
    for (std::size_t layer = 0; layer < run.count; ++layer) layers.push_back(run.first + layer);
    next = std::size_t{run.first} + run.count + 1;
  }
  return layers;
}

void read_request(BoundedReader& in, std::uint16_t version, Message& message) {
  StageRequest& request = message.request;
  in(request.model, request.fingerprint);
  const auto cuts = in.read_count(sizeof(std::uint32_t));
  in.expect_values(cuts);
  for (std::uint32_t i = 0; i < cuts; ++i) request.stage.cuts.push_back(read_cut(in));
  std::uint32_t index = 0;
  std::uint8_t operation = 0;
  in(index, operation);
  const auto last = version == 1 ? Operation::prepare : Operation::profile;
  if (operation > static_cast<std::uint8_t>(last)) {
    throw Error(ErrorCode::incompatible, "message: unknown operation " + std::to_string(operation) + " of version " +
                                             std::to_string(version) + ", expected 0 … " +
                                             std::to_string(static_cast<int>(last)));
  }
  request.stage.index = index;
  request.operation = static_cast<Operation>(operation);
  if (version > 1) in(request.codec);
  if (version < 4) return;
  in(message.trace.traceparent, message.trace.tracestate);
  request.next.resize(in.read_count(kSmallestNextHop));
  for (NextHop& hop : request.next) in(hop.endpoint, hop.codec);
}

// ---- Errors.

/// Not in the middle of a UTF-8 character.
std::string shortened(const std::string& text) {
  if (text.size() <= max_error_text_bytes) return text;
  std::size_t end = max_error_text_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

void read_error(BoundedReader& in, std::uint16_t version, Message& message) {
  std::uint8_t code = 0;
  in(code, message.error_message);
  if (version >= 4) {
    in(message.retry_after_s.emplace());
    if (!std::isfinite(*message.retry_after_s) || *message.retry_after_s < 0) {
      corrupt("an error is to be retried after " + std::to_string(*message.retry_after_s) + " s");
    }
  }
  message.error_message = shortened(message.error_message);
  if (!is_error_code(code)) {
    throw Error(ErrorCode::incompatible,
                "message: an error of unknown code " + std::to_string(code) + " that says: " + message.error_message);
  }
  message.error = static_cast<ErrorCode>(code);
}

// ---- Values.

std::vector<WireStorage> read_storages(BoundedReader& in) {
  std::vector<WireStorage> storages(in.read_count(kSmallestStorage));
  for (auto& storage : storages) {
    std::uint8_t form = 0;
    in(form, storage.bytes);
    if (form > static_cast<std::uint8_t>(StorageForm::packed)) {
      throw Error(ErrorCode::incompatible, "message: a storage of unknown form " + std::to_string(form));
    }
    storage.form = static_cast<StorageForm>(form);
  }
  return storages;
}

}  // namespace

std::uint16_t version_for(const Message& message) noexcept {
  if (needs_version_4(message)) return 4;
  if (message.kind == MessageKind::hello) return 3;
  return message.kind == MessageKind::request && needs_version_2(message.request) ? 2 : 1;
}

std::vector<std::byte> write_metadata(const Message& message, std::span<const WireStorage> storages,
                                      std::span<const TensorPlace> places, const MessageLimits& limits) {
  MetadataWriter out;
  ValueWriter values(out, places, limits);
  if (message.kind == MessageKind::request) write_request(out, message, values);
  if (message.kind == MessageKind::reply) out(message.times_s);
  if (message.kind == MessageKind::error) {
    out(static_cast<std::uint8_t>(message.error), shortened(message.error_message));
    if (message.retry_after_s) out(*message.retry_after_s);
  }
  if (has_values(message.kind)) {
    out(narrow(storages.size(), "a length"));
    for (const auto& storage : storages) out(static_cast<std::uint8_t>(storage.form), storage.bytes);
    out(narrow(message.values.size(), "a length"));
    for (const auto& value : message.values) values.write(value);
  }
  return out.take();
}

Metadata read_metadata(std::uint16_t version, MessageKind kind, std::span<const std::byte> bytes,
                       const MessageLimits& limits) {
  BoundedReader in(bytes, limits.max_depth, limits.max_values);
  Metadata metadata;
  auto& message = metadata.message;
  message.kind = kind;
  if (kind == MessageKind::request) read_request(in, version, message);
  if (kind == MessageKind::reply) in(message.times_s);
  if (kind == MessageKind::error) read_error(in, version, message);
  if (has_values(kind)) {
    metadata.storages = read_storages(in);
    message.values = ValueReader(in, metadata, limits).read_items();
  }
  if (in.remaining() > 0) corrupt(std::to_string(in.remaining()) + " bytes are left over");
  return metadata;
}

}  // namespace splitnet::detail
