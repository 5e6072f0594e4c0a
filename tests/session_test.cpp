// SPDX-License-Identifier: Apache-2.0
#include "splitnet/session.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "picture_samples.hpp"
#include "served_model.hpp"
#include "splitnet/calibration.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/encoded_picture.hpp"
#include "splitnet/error.hpp"
#include "splitnet/worker.hpp"
#include "transport/roads.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::Hooks;
using testing::thrown_code;
using testing::throws;
using ModelPtr = std::shared_ptr<const Model>;

ModelPtr hooked(Hooks hooks) {
  return std::make_shared<testing::HookedModel>(testing::chain_model(), std::move(hooks));
}

/// Workers on endpoints like the parameter.
class SessionTest : public ::testing::TestWithParam<std::string> {
 protected:
  /// Serves `model` on a new worker and returns its address.
  std::string serve(ModelPtr model, WorkerOptions options = {}) {
    const bool is_chosen_for_us = GetParam().ends_with(":0");
    const std::string suffix = is_chosen_for_us ? "" : "-" + std::to_string(workers_.size() + 1);
    return serve_at(GetParam() + suffix, std::move(model), std::move(options));
  }
  std::string serve_at(const std::string& endpoint, ModelPtr model, WorkerOptions options = {}) {
    workers_.push_back(Worker::create(std::move(options)));
    workers_.back()->add_model("net", std::move(model));
    return workers_.back()->serve(registry_, endpoint);
  }
  /// What happens when a worker fails is session_fault_test's.
  SessionOptions options(std::string worker, Cut cut) {
    SessionOptions result;
    result.finish_on_device = false;
    result.max_retries = 0;
    result.worker = std::move(worker);
    result.cut = std::move(cut);
    result.registry = registry_;
    return result;
  }
  static void expect_right(const Model& model, int seed, const Answer& answer) {
    EXPECT_TRUE(bit_identical(answer.output, testing::uncut(model, seed))) << "of input " << seed;
  }
  static void expect_right(const Model& model, int seed, Session& session) {
    expect_right(model, seed, session.run(testing::inputs_of(seed)));
  }

  TransportRegistry registry_ = testing::all_transports();
  Gate gate_;  // Outlives the workers, whose passes may still stand in it.
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_P(SessionTest, GivesTheSameBitsAtEveryCut) {
  for (const ModelPtr& model : testing::all_models()) {
    const std::string address = serve(model);
    for (std::size_t i = 0; i < model->layers().layers.size(); ++i) {
      SCOPED_TRACE("cut after layer " + std::to_string(i));
      const auto session = Session::open(model, options(address, Cut::after_index(i)));
      expect_right(*model, 1, *session);
      expect_right(*model, 2, *session);
    }
    expect_right(*model, 3, *Session::open(model, options(address, Cut::at_input())));
  }
}

TEST_P(SessionTest, GivesTheSameBitsAtACutThatIsNotSequential) {
  const ModelPtr model = testing::branch_model();
  const LayerSet head = testing::one_branch();
  const auto session = Session::open(model, options(serve(model), Cut::of(head)));
  for (int seed = 0; seed < 5; ++seed) expect_right(*model, seed, *session);
}

// Tensors large enough to be read where the other side wrote them, where there is such a road.
TEST_P(SessionTest, WritesOnlyIntoWhatIsItsOwn) {
  testing::ArithmeticOptions large;
  large.in_place = true;
  large.sizes = {64, 1024};
  const ModelPtr model = testing::ArithmeticModel::make(large);
  const std::string address = serve(model);
  const std::vector<Value> inputs{testing::arithmetic_input(large.sizes)};
  const Value expected = run_stages(*model, model->split({}), inputs);
  for (const std::size_t last : {std::size_t{0}, std::size_t{2}, model->layers().layers.size() - 1}) {
    const auto session = Session::open(model, options(address, Cut::after_index(last)));
    for (int round = 0; round < 2; ++round) {
      const auto answer = session->run(inputs);
      EXPECT_TRUE(bit_identical(answer.output, expected)) << "cut after layer " << last;
      for_each_tensor(answer.output, [](const Tensor& tensor) {
        EXPECT_FALSE(tensor.storage.is_foreign());
        std::memset(tensor.data(), 0, tensor.packed_bytes());  // Results are the caller's.
      });
    }
  }
}

TEST_P(SessionTest, RunsThreeStagesWithTwoWorkers) {
  for (const ModelPtr& model : testing::all_models()) {
    const std::size_t layers = model->layers().layers.size();
    SessionOptions three;
    three.workers = {serve(model), serve(model)};
    three.registry = registry_;
    for (std::size_t first = 0; first < layers; ++first) {
      for (std::size_t second = first; second < layers; ++second) {
        SCOPED_TRACE(std::to_string(first) + " and " + std::to_string(second));
        three.cuts = {Cut::after_index(first), Cut::after_index(second)};
        expect_right(*model, 1, *Session::open(model, three));
      }
    }
    EXPECT_GT(workers_.end()[-1]->stats().stages_run, 0U);
    EXPECT_GT(workers_.end()[-2]->stats().stages_run, 0U);
  }
}

TEST_P(SessionTest, GoesOnWhenItsWorkerIsStartedAnew) {
  if (GetParam().starts_with("inproc")) return;  // What never leaves the process does not connect again.
  const ModelPtr model = testing::branch_model();
  const std::string address = serve(model);
  const auto session = Session::open(model, options(address, Cut::after_index(0)));
  expect_right(*model, 1, *session);
  workers_.clear();
  EXPECT_EQ(thrown_code([&] { session->run(testing::inputs_of(2)); }), ErrorCode::unavailable);
  ASSERT_EQ(serve_at(address, model), address);
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (const auto error = testing::error_of([&] { session->run(testing::inputs_of(3)); })) {
    ASSERT_EQ(error->code(), ErrorCode::unavailable) << error->what();
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::sleep_for(5ms);
  }
  expect_right(*model, 4, *session);
}

TEST_P(SessionTest, RunsEverythingHereWithoutAWorker) {
  const ModelPtr model = testing::branch_model();
  const auto session = Session::open(model);
  const Answer answer = session->run(testing::inputs_of(1));
  expect_right(*model, 1, answer);
  EXPECT_TRUE(answer.times.hops.empty());
  EXPECT_EQ(answer.times.boundary_bytes, 0);
}

TEST_P(SessionTest, AsksNoWorkerWhenTheHeadIsTheWholeModel) {
  const ModelPtr model = testing::chain_model();
  const auto session = Session::open(model, options(serve(model), Cut::after_index(model->layers().layers.size() - 1)));
  expect_right(*model, 1, *session);
  EXPECT_EQ(workers_[0]->stats().stages_run, 0U);
}

TEST_P(SessionTest, TellsWhereTheTimeWent) {
  const ModelPtr model =
      hooked({.on_run = [](const StageInfo& info) { std::this_thread::sleep_for(info.index == 0 ? 5ms : 10ms); }});
  const auto session = Session::open(model, options(serve(model), Cut::after_index(0)));
  const StepTimes times = session->run(testing::inputs_of(1)).times;
  EXPECT_GE(times.head_s, 0.005);
  EXPECT_GE(times.tail_s, 0.010);
  EXPECT_GT(times.transport_s, 0);
  EXPECT_GE(times.queue_s, 0);
  EXPECT_GE(times.total_s, times.wait_s + times.head_s + times.transport_s + times.queue_s + times.tail_s - 1e-9);
  ASSERT_EQ(times.hops.size(), 1U);
  EXPECT_EQ(times.boundary_bytes, times.hops[0].request_bytes);
  EXPECT_GT(times.boundary_bytes, 0);
  EXPECT_GT(times.hops[0].reply_bytes, 0);
}

TEST_P(SessionTest, EncodesTheBoundary) {
  const ModelPtr model = testing::branch_model();
  const std::string address = serve(model);
  const auto raw = Session::open(model, options(address, Cut::after_index(4)));
  auto coded_options = options(address, Cut::after_index(4));
  coded_options.codec = "f16";
  const auto coded = Session::open(model, coded_options);
  const Answer exact = raw->run(testing::inputs_of(1));
  const Answer rounded = coded->run(testing::inputs_of(1));
  EXPECT_LT(rounded.times.boundary_bytes, exact.times.boundary_bytes);
  EXPECT_EQ(rounded.kept_exact, 0U);
  EXPECT_GT(rounded.times.encode_s, 0);
  EXPECT_GT(rounded.times.decode_s, 0);
  EXPECT_EQ(exact.times.encode_s + exact.times.decode_s, 0);
  const auto items = [](const Answer& answer) {
    return testing::arithmetic::items_of(answer.output.get_if<Tuple>()->items[0].tensor());
  };
  for (std::size_t i = 0; i < items(exact).size(); ++i) {
    EXPECT_NEAR(items(rounded)[i], items(exact)[i], 0.01 * (1 + std::abs(items(exact)[i])));
  }
  EXPECT_FALSE(bit_identical(rounded.output, exact.output));
}

TEST_P(SessionTest, AsksOnceMoreWhereTheAnswerIsClose) {
  const ModelPtr model = testing::branch_model();
  const std::string address = serve(model);
  const auto inputs = std::vector<Value>{testing::arithmetic_input({1, 24})};
  const auto open_with = [&](const std::string& codec) {
    auto plain = options(address, Cut::after_index(4));
    plain.codec = codec;
    return Session::open(model, plain);
  };
  const Answer coarse = open_with("int2")->run(inputs);
  const Answer fine = open_with("int8")->run(inputs);
  ASSERT_FALSE(bit_identical(coarse.output, fine.output));
  const double margin = margin_nat(coarse.output.get_if<Tuple>()->items[0].tensor(), OutputKind::logits);

  auto refined = options(address, Cut::after_index(4));
  refined.refinement = Refinement{"int2", "int8", margin + 0.01};
  const auto session = Session::open(model, refined);
  Answer answer = session->run(inputs);
  EXPECT_TRUE(answer.refined);
  EXPECT_TRUE(bit_identical(answer.output, fine.output));
  ASSERT_EQ(answer.times.hops.size(), 2U);
  EXPECT_LT(answer.times.hops[0].request_bytes, answer.times.hops[1].request_bytes);
  std::vector<std::future<Answer>> pipelined;
  for (int i = 0; i < 20; ++i) pipelined.push_back(session->submit(inputs));
  for (auto& future : pipelined) EXPECT_TRUE(bit_identical(future.get().output, fine.output));

  refined.refinement->min_margin_nat = margin;
  answer = Session::open(model, refined)->run(inputs);
  EXPECT_FALSE(answer.refined) << "clear enough";
  EXPECT_TRUE(bit_identical(answer.output, coarse.output));
  EXPECT_EQ(answer.times.hops.size(), 1U);

  refined.refinement->output_slot = 7;
  const auto without_output = Session::open(model, refined);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "output_slot 7 of 2 results is no tensor",
                     [&] { (void)without_output->run(inputs); }));
  refined.codec = "int4";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "either a codec or a refinement",
                     [&] { (void)Session::open(model, refined); }));
  refined.codec = refined.refinement->name();
  refined.refinement.reset();
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "is the name of a refinement", [&] { (void)Session::open(model, refined); }));
  refined.refinement.emplace();
  refined.codec = "raw";
  refined.worker.clear();
  refined.cut = Cut::at_input();
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "one device and one worker", [&] { (void)Session::open(model, refined); }));
}

/// A codec transform for the boundary behind layer 4, learned from inputs from `seed` on.
CodecProfile calibrated_codec(const Model& model, std::size_t seed = 1) {
  std::vector<std::vector<Value>> examples;
  for (std::size_t i = 0; i < 40; ++i) examples.push_back({testing::arithmetic_input({16, 24}, i + seed)});
  CalibrationOptions calibration;
  calibration.output = OutputKind::numbers;
  calibration.cuts = {Cut::after_index(4)};
  calibration.codecs = {};
  calibration.coarsenesses = {-16};
  return calibrate(model, examples, calibration).codecs.at(0).profile;
}

/// The tables travel when the stage is prepared; each run names them only.
TEST_P(SessionTest, GivesTheWorkerTheTablesOfACalibratedCodec) {
  const ModelPtr model = testing::branch_model();
  const std::string address = serve(model);
  const CodecProfile calibrated = calibrated_codec(*model);
  const std::vector<Value> inputs{testing::arithmetic_input({16, 24}, 1)};
  auto coded = options(address, Cut::after_index(4));
  coded.codec = calibrated.name;
  EXPECT_TRUE(throws(ErrorCode::incompatible, "are not here", [&] { (void)Session::open(model, coded); }));
  coded.codec_tables = calibrated.tables;
  const auto session = Session::open(model, coded);
  const Answer answer = session->run(inputs);
  EXPECT_LT(answer.times.boundary_bytes, 16 * 24 * 4);
  EXPECT_GT(answer.times.decode_s, 0);
  const auto exact = Session::open(model, options(address, Cut::after_index(4)))->run(inputs);
  const auto items = [](const Answer& given) {
    return testing::arithmetic::items_of(given.output.get_if<Tuple>()->items[0].tensor());
  };
  for (std::size_t i = 0; i < items(exact).size(); ++i) {
    EXPECT_NEAR(items(answer)[i], items(exact)[i], 0.2 * (1 + std::abs(items(exact)[i])));
  }
}

TEST_P(SessionTest, GivesTheTablesAgainToAWorkerThatForgotThem) {
  const ModelPtr model = testing::branch_model();
  const CodecProfile of_one = calibrated_codec(*model, 1);
  const CodecProfile of_another = calibrated_codec(*model, 100);
  ASSERT_NE(of_one.name, of_another.name);
  WorkerOptions forgetful;  // Has room for one of them.
  forgetful.max_codec_table_bytes = std::max(of_one.tables->size(), of_another.tables->size());
  const std::string address = serve(model, forgetful);
  const auto open_with = [&](const CodecProfile& codec) {
    auto coded = options(address, Cut::after_index(4));
    coded.codec = codec.name;
    coded.codec_tables = codec.tables;
    return Session::open(model, coded);
  };
  const std::vector<Value> inputs{testing::arithmetic_input({16, 24}, 1)};
  const auto one = open_with(of_one);
  const Answer expected = one->run(inputs);
  const auto another = open_with(of_another);
  for (int i = 0; i < 3; ++i) {
    EXPECT_GT(another->run(inputs).times.decode_s, 0);
    EXPECT_TRUE(bit_identical(one->run(inputs).output, expected.output));
    EXPECT_GT(one->run(inputs).times.decode_s, 0) << "they are there again";
  }
}

TEST_P(SessionTest, RefusesCodecsThatItOrTheWorkerDoesNotKnow) {
  const ModelPtr model = testing::branch_model();
  WorkerOptions without_codecs;
  without_codecs.codecs = {};
  const std::string address = serve(model, without_codecs);
  auto coded = options(address, Cut::after_index(4));
  coded.codec = "f16";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, address, [&] { (void)Session::open(model, coded); }));
  coded.codec = "zip";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "unknown codec 'zip'", [&] { (void)Session::open(model, coded); }));
}

// ---- Inputs that come as picture files.

/// Takes a colour picture of 40 × 24.
ModelPtr picture_model() {
  return testing::ArithmeticModel::make({.seed = 3, .sizes = {1, 3, 24, 40}});
}

/// Of another quality than the codec's own, so that a second encoding would show.
EncodedPicture some_picture(int seed, const std::string& format = "jpeg") {
  return EncodedPicture::of(testing::file_of(format + ":quality=30", testing::smooth_picture(3, 24, 40, seed)),
                            "mean=0.5;std=0.25");
}

void expect_same(const Model& model, const EncodedPicture& picture, const Answer& answer) {
  EXPECT_TRUE(bit_identical(answer.output, run_stages(model, model.split({}), {picture.decode(3)})));
}

TEST_P(SessionTest, SendsPictureFilesAsTheyAre) {
  const ModelPtr model = picture_model();
  auto whole = options(serve(model), Cut::at_input());
  for (const char* codec : {"raw", "int4", "u8:mean=0;std=1", "jpeg:mean=0;std=1"}) {
    SCOPED_TRACE(codec);
    whole.codec = codec;
    const auto session = Session::open(model, whole);
    for (const char* format : {"jpeg", "webp"}) {
      const auto picture = some_picture(1, format);
      const Answer answer = session->run({picture});
      expect_same(*model, picture, answer);
      const auto file_bytes = static_cast<std::int64_t>(picture.file.packed_bytes());
      EXPECT_GE(answer.times.boundary_bytes, file_bytes);
      EXPECT_LE(answer.times.boundary_bytes, file_bytes + 16);
      EXPECT_EQ(answer.times.encode_s + answer.times.input_decode_s + answer.times.head_s, 0);
      EXPECT_GT(answer.times.decode_s, 0);
    }
  }
}

TEST_P(SessionTest, DecodesPictureFilesForAHead) {
  const ModelPtr model = picture_model();
  const auto picture = some_picture(1);
  const auto split = Session::open(model, options(serve(model), Cut::after_index(3)));
  const auto device = Session::open(model);
  for (Session* session : {split.get(), device.get()}) {
    const Answer answer = session->run({picture});
    expect_same(*model, picture, answer);
    EXPECT_GT(answer.times.input_decode_s, 0);
    EXPECT_EQ(answer.times.decode_s, 0);
    EXPECT_GE(answer.times.total_s, answer.times.input_decode_s + answer.times.head_s);
  }
}

TEST_P(SessionTest, PipelinesPictureFilesAmongTensors) {
  const ModelPtr model = picture_model();
  SessionOptions three;
  three.workers = {serve(model), serve(model)};
  three.cuts = {Cut::at_input(), Cut::after_index(4)};
  three.registry = registry_;
  const auto session = Session::open(model, three);
  std::vector<std::future<Answer>> answers;
  for (int seed = 0; seed < 20; ++seed) {
    const auto picture = some_picture(seed, seed % 3 == 0 ? "webp" : "jpeg");
    answers.push_back(session->submit({seed % 2 == 0 ? Value(picture) : Value(picture.decode(3))}));
  }
  for (int seed = 0; seed < 20; ++seed) {
    const auto picture = some_picture(seed, seed % 3 == 0 ? "webp" : "jpeg");
    expect_same(*model, picture, answers[static_cast<std::size_t>(seed)].get());
  }
}

TEST_P(SessionTest, RefusesPictureFilesThatTheModelDoesNotTake) {
  const ModelPtr model = picture_model();
  const ModelPtr numbers = testing::branch_model();
  const auto whole = Session::open(model, options(serve(model), Cut::at_input()));
  const auto split = Session::open(model, options(serve(model), Cut::after_index(3)));
  const auto refused = [](Session& session, ErrorCode code, const char* words, const Value& input) {
    EXPECT_TRUE(throws(code, words, [&] { session.run({input}); })) << words;
  };
  const auto turned = EncodedPicture::of(testing::file_of("jpeg", testing::smooth_picture(3, 40, 24)), "mean=0;std=1");
  auto cut_short = some_picture(1);
  cut_short.file.sizes = {cut_short.file.sizes[0] / 2};
  for (Session* session : {whole.get(), split.get()}) {
    refused(*session, ErrorCode::invalid_argument,
            "input 0: found a picture of 24×40 in 3 channels, the model takes 40×24 in 3 channels", turned);
    refused(*session, ErrorCode::corrupt, "jpeg", cut_short);
    refused(*session, ErrorCode::invalid_argument, "input 0: a picture file of 3 bytes: found neither",
            Tuple{{"jpeg:mean=0;std=1", Tensor::empty(DType::u8, {3})}});
    expect_same(*model, some_picture(2), session->run({some_picture(2)}));
  }
  refused(*Session::open(numbers), ErrorCode::invalid_argument,
          "found a picture, expected a value as in the model's example, tensor f32[2, 8]", some_picture(1));
  const auto bare = std::make_shared<testing::HookedModel>(model, Hooks{.has_examples = false});
  refused(*Session::open(bare), ErrorCode::invalid_argument, "without example inputs", some_picture(1));
}

// ---- With an objective.

/// As if measured: a worker `speed` times as fast as the device, which takes 8 ms for the 8 layers.
SessionOptions planned(SessionOptions session, const Model& model, double speed, double bytes_per_s) {
  auto profile = profile_device(model, model.example_inputs(), {.pause = 0ns});
  profile.pass_s = 8e-3;
  profile.stage_overhead_s = 0;
  for (auto& layer : profile.layers) layer.time_s = 1e-3;
  profile.codecs = {{"f16", 1e9, 1e9}};  // Measured, it depends on what else the machine does.
  session.objective = Objective::latency;
  session.planning.device.profile = profile;
  session.planning.worker.profile = profile.scaled(1 / speed);
  session.planning.link = LinkProfile{1e-4, 0, 0, bytes_per_s, bytes_per_s};
  return session;
}

TEST_P(SessionTest, PlansAndSaysWhy) {
  const ModelPtr model = testing::branch_model();
  const std::string address = serve(model);
  const auto device = Session::open(model, planned(options(address, Cut::at_input()), *model, 100, 100));
  ASSERT_NE(device->plan(), nullptr);
  EXPECT_TRUE(device->plan()->chosen->assignment.heads.empty());
  EXPECT_NE(device->explain().find("don't split; device only"), std::string::npos) << device->explain();
  EXPECT_TRUE(device->run(testing::inputs_of(1)).times.hops.empty());

  const auto worker = Session::open(model, planned(options(address, Cut::at_input()), *model, 100, 1e9));
  EXPECT_TRUE(worker->plan()->chosen->assignment.heads.front().empty());
  EXPECT_EQ(worker->run(testing::inputs_of(1)).times.hops.size(), 1U);
  expect_right(*model, 2, *worker);
}

TEST_P(SessionTest, KeepsToConstraintsAndChoosesTheCodec) {
  const ModelPtr model = testing::branch_model();
  auto wanted = planned(options(serve(model), Cut::at_input()), *model, 100, 1e5);
  wanted.constraints.min_head_layers = 2;
  wanted.planning.codecs.push_back({.name = "f16", .ratio = 0.5, .accuracy_loss = 0.01});
  const auto coded = Session::open(model, wanted);
  EXPECT_EQ(coded->plan()->chosen->assignment.codecs.front(), "f16");
  EXPECT_GT(coded->run(testing::inputs_of(1)).times.encode_s, 0);
  wanted.constraints.max_accuracy_loss = 0;
  const auto exact = Session::open(model, wanted);
  EXPECT_EQ(exact->plan()->chosen->assignment.codecs.front(), "raw");
  expect_right(*model, 1, *exact);
  wanted.constraints.max_latency_s = 1e-6;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "max_latency_s", [&] { (void)Session::open(model, wanted); }));
}

TEST_P(SessionTest, PlansForInputsThatComeAsPictureFiles) {
  const ModelPtr model = picture_model();
  const std::string address = serve(model);
  const auto picture = some_picture(1);
  const auto open = [&](double bytes_per_s, double worker_decode_bytes_per_s) {
    auto wanted = planned(options(address, Cut::at_input()), *model, 100, bytes_per_s);
    wanted.planning.codecs.push_back(profile_of_files(*model, {picture}));
    wanted.planning.device.profile.codecs = {{picture.codec, 1e9, 1e9}};
    wanted.planning.worker.profile.codecs = {{picture.codec, 1e9, worker_decode_bytes_per_s}};
    return Session::open(model, wanted);
  };
  const auto file_bytes = static_cast<std::int64_t>(picture.file.packed_bytes());

  const auto whole = open(1e7, 1e9);
  ASSERT_EQ(whole->plan()->chosen->assignment, (Assignment{{0, 1}, {{}}, {picture.codec}})) << whole->explain();
  const Answer sent = whole->run({picture});
  expect_same(*model, picture, sent);
  EXPECT_LE(sent.times.boundary_bytes, file_bytes + 16);
  const auto tensor = whole->run({picture.decode(3)});
  expect_same(*model, picture, tensor);  // Not encoded.
  EXPECT_GT(tensor.times.boundary_bytes, 2000);

  const auto device = open(1e3, 1e9);
  EXPECT_TRUE(device->plan()->chosen->assignment.heads.empty());
  expect_same(*model, picture, device->run({picture}));

  const auto decoded = open(1e9, 1e4);  // A worker that is slow to decode.
  ASSERT_EQ(decoded->plan()->chosen->assignment, (Assignment{{0, 1}, {{}}, {"raw"}})) << decoded->explain();
  const Answer raw = decoded->run({picture});
  expect_same(*model, picture, raw);
  EXPECT_GT(raw.times.input_decode_s, 0);
  EXPECT_EQ(raw.times.boundary_bytes, 3 * 24 * 40 * 4);
}

TEST_P(SessionTest, NeverChoosesACutThatIsRefused) {
  Hooks hooks;
  hooks.refuse = [](const std::vector<LayerSet>& cuts) -> std::optional<Refusal> {
    if (cuts.empty() || cuts.front().size() == 5) return std::nullopt;
    return Refusal{RefusalReason::value_cannot_travel, "only five layers"};
  };
  const auto model = std::make_shared<testing::HookedModel>(testing::branch_model(), std::move(hooks));
  const auto wanted = planned(options(serve(model), Cut::at_input()), *model, 100, 1e9);
  EXPECT_EQ(Session::open(model, wanted)->plan()->chosen->assignment.heads.front().size(), 5U);
}

TEST_P(SessionTest, MeasuresWhatIsNotGiven) {
  const ModelPtr model = testing::chain_model();
  auto wanted = options(serve(model), Cut::at_input());
  wanted.objective = Objective::latency;
  const auto session = Session::open(model, wanted);
  EXPECT_GT(session->plan()->device_only->cost.latency_s, 0);
  const HopCost& hop = session->plan()->worker_only->cost.hops.front();
  EXPECT_GT(hop.rtt_s + hop.overhead_s, 0);  // On a busy machine one of them may be all there is.
  expect_right(*model, 1, *session);
}

TEST_P(SessionTest, TakesAnObjectiveOnlyForOneWorkerAndWithoutACut) {
  const ModelPtr model = testing::chain_model();
  SessionOptions wrong;
  wrong.registry = registry_;
  wrong.objective = Objective::latency;
  const auto refused = [&] {
    return throws(ErrorCode::invalid_argument, "objective", [&] { (void)Session::open(model, wrong); });
  };
  EXPECT_TRUE(refused());
  wrong.worker = serve(model);
  wrong.cut = Cut::after_index(1);
  EXPECT_TRUE(refused());
  wrong.cut = Cut::at_input();
  wrong.codec = "f16";
  EXPECT_TRUE(refused());
  wrong.codec = "raw";
  wrong.cuts = {Cut::after_index(1)};
  EXPECT_TRUE(refused());
}

TEST_P(SessionTest, RefusesWhatWouldMeanNothing) {
  const ModelPtr model = testing::branch_model();
  const std::string address = serve(model);
  const auto refused = [&](const SessionOptions& wrong, const char* words) {
    return throws(ErrorCode::invalid_argument, words, [&] { (void)Session::open(model, wrong); });
  };
  auto energy = planned(options(address, Cut::at_input()), *model, 100, 1e9);
  energy.objective = Objective::energy;
  EXPECT_TRUE(refused(energy, "planning.power"));
  auto dollars = planned(options(address, Cut::at_input()), *model, 100, 1e9);
  dollars.constraints.max_dollars = 1;
  EXPECT_TRUE(refused(dollars, "planning.worker.price"));
  auto constrained = options(address, Cut::after_index(1));
  constrained.constraints.min_head_layers = 5;
  EXPECT_TRUE(refused(constrained, "without an objective"));
  auto pixels = options(address, Cut::after_index(1));
  pixels.codec = "u8:mean=0;std=1";
  EXPECT_TRUE(refused(pixels, "for the model's inputs"));
}

TEST_P(SessionTest, MatchesManyAnswersToTheirRequests) {
  const ModelPtr model = testing::branch_model();
  SessionOptions many = options(serve(model, {.executor_threads = 3}), Cut::after_index(1));
  many.max_in_flight = 8;
  const auto session = Session::open(model, many);
  std::vector<std::future<Answer>> answers;
  for (int seed = 0; seed < 200; ++seed) answers.push_back(session->submit(testing::inputs_of(seed)));
  for (int seed = 0; seed < 200; ++seed) expect_right(*model, seed, answers[static_cast<std::size_t>(seed)].get());
}

TEST_P(SessionTest, ServesManyThreads) {
  const ModelPtr model = testing::chain_model();
  SessionOptions many = options(serve(model, {.executor_threads = 2}), Cut::after_index(1));
  many.max_in_flight = 3;
  const auto session = Session::open(model, many);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const int seed = 100 * t + i;
        if (i % 2 == 0) {
          expect_right(*model, seed, *session);
        } else {
          expect_right(*model, seed, session->submit(testing::inputs_of(seed)).get());
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_P(SessionTest, RunsHeadsWhileEarlierInferencesTravel) {
  std::atomic<int> heads = 0;
  const ModelPtr here = hooked({.on_run = [&](const StageInfo&) { ++heads; }});
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const auto session = Session::open(here, options(serve(there), Cut::after_index(0)));
  std::vector<std::future<Answer>> answers;
  for (int seed = 0; seed < 5; ++seed) answers.push_back(session->submit(testing::inputs_of(seed)));
  while (heads < 5) std::this_thread::sleep_for(1ms);
  gate_.open();
  for (int seed = 0; seed < 5; ++seed) expect_right(*here, seed, answers[static_cast<std::size_t>(seed)].get());
}

TEST_P(SessionTest, HoldsBackWhatIsOverTheBound) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr here = testing::chain_model();
  SessionOptions one = options(serve(there), Cut::after_index(0));
  one.max_in_flight = 1;
  const auto session = Session::open(here, one);
  auto first = session->submit(testing::inputs_of(1));
  gate_.wait_for(1);

  auto inputs = testing::inputs_of(2);
  EXPECT_FALSE(session->try_submit(inputs).has_value());
  EXPECT_FALSE(inputs.empty()) << "left as they were";
  auto late = session->submit(testing::inputs_of(3), {.deadline = 10ms});
  EXPECT_EQ(thrown_code([&] { late.get(); }), ErrorCode::deadline_exceeded);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(thrown_code([&] { session->run(testing::inputs_of(3), {.stop = stop.get_token()}); }),
            ErrorCode::cancelled);

  gate_.open();
  expect_right(*here, 1, first.get());
  auto second = session->try_submit(inputs);
  ASSERT_TRUE(second.has_value()) << "a place is free once the answer is there";
  expect_right(*here, 2, second->get());
}

TEST_P(SessionTest, RefusesAWorkerWithAnotherVersionOfTheModel) {
  const ModelPtr there = hooked({.fingerprint = "0123abcd"});
  const std::string address = serve(there);
  std::string words;
  SessionOptions by_name = options(address, Cut::after_index(0));
  by_name.model_name = "net";
  EXPECT_EQ(thrown_code([&] { (void)Session::open(testing::chain_model(), by_name); }, &words),
            ErrorCode::incompatible);
  EXPECT_NE(words.find("0123abcd"), std::string::npos) << words;
  EXPECT_NE(words.find(address), std::string::npos) << words;
  EXPECT_EQ(thrown_code([&] { (void)Session::open(testing::chain_model(), options(address, Cut::after_index(0))); }),
            ErrorCode::incompatible);
  EXPECT_EQ(workers_[0]->stats().cache.misses, 0U);
}

TEST_P(SessionTest, TellsAboutAModelThatTheWorkerDoesNotHave) {
  const ModelPtr model = testing::chain_model();
  SessionOptions by_name = options(serve(model), Cut::after_index(0));
  by_name.model_name = "file:///net";
  std::string words;
  EXPECT_EQ(thrown_code([&] { (void)Session::open(model, by_name); }, &words), ErrorCode::invalid_argument);
  EXPECT_NE(words.find("this worker has: net"), std::string::npos) << words;
}

TEST_P(SessionTest, NamesTheEndpointWhereNobodyIs) {
  const ModelPtr model = testing::chain_model();
  const std::string address = serve(model);
  workers_[0]->close();
  std::string words;
  EXPECT_EQ(thrown_code([&] { (void)Session::open(model, options(address, Cut::after_index(0))); }, &words),
            ErrorCode::unavailable);
  EXPECT_NE(words.find(address), std::string::npos) << words;
}

TEST_P(SessionTest, ChecksItsOptions) {
  const ModelPtr model = testing::chain_model();
  const std::string address = serve(model);
  const auto refused = [&](auto change) {
    SessionOptions wrong;
    wrong.registry = registry_;
    change(wrong);
    return thrown_code([&] { (void)Session::open(model, wrong); });
  };
  EXPECT_EQ(thrown_code([] { (void)Session::open(nullptr); }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](SessionOptions& o) { o.cut = Cut::after_index(0); }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](SessionOptions& o) { o.max_in_flight = 0; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](SessionOptions& o) { o.threads = -1; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([&](SessionOptions& o) { o.workers = {address}; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([&](SessionOptions& o) {
              o.worker = address;
              o.workers = {address};
              o.cuts = {Cut::at_input()};
            }),
            ErrorCode::invalid_argument);
  EXPECT_EQ(refused([&](SessionOptions& o) {
              o.worker = address;
              o.cut = Cut::after("no such layer");
            }),
            ErrorCode::invalid_argument);
  EXPECT_EQ(refused([&](SessionOptions& o) {
              o.worker = address;
              o.cut = Cut::of({1});
            }),
            ErrorCode::invalid_argument);
  EXPECT_EQ(refused([&](SessionOptions& o) {
              o.worker = address;
              o.cut = Cut::after_index(999);
            }),
            ErrorCode::invalid_argument);
  EXPECT_EQ(refused([&](SessionOptions& o) { o.worker = "nowhere"; }), ErrorCode::invalid_argument);
}

TEST_P(SessionTest, TellsWhyACutIsRefused) {
  const ModelPtr model = hooked({.refuse = [](const std::vector<LayerSet>& cuts) -> std::optional<Refusal> {
    if (cuts.empty()) return std::nullopt;
    return Refusal{RefusalReason::random_numbers_after_cut, "dropout draws after the cut"};
  }});
  std::string words;
  EXPECT_EQ(thrown_code([&] { (void)Session::open(model, options(serve(model), Cut::after_index(0))); }, &words),
            ErrorCode::unsupported_model);
  EXPECT_NE(words.find("dropout"), std::string::npos) << words;
}

TEST_P(SessionTest, ChecksTheNumberOfInputsAndGoesOn) {
  const ModelPtr model = testing::chain_model();
  const auto session = Session::open(model, options(serve(model), Cut::after_index(0)));
  std::string words;
  EXPECT_EQ(thrown_code([&] { session->run({}); }, &words), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_code([&] { session->submit({}).get(); }), ErrorCode::invalid_argument);
  expect_right(*model, 1, *session);
}

TEST_P(SessionTest, PassesOnWhatATailThrowsAndGoesOn) {
  std::atomic<bool> broken = true;
  const ModelPtr there = hooked({.on_run = [&](const StageInfo&) {
    if (broken.exchange(false)) throw Error(ErrorCode::too_large, "no room for the picture");
  }});
  const ModelPtr model = testing::chain_model();
  const auto session = Session::open(model, options(serve(there), Cut::after_index(0)));
  std::string words;
  EXPECT_EQ(thrown_code([&] { session->run(testing::inputs_of(1)); }, &words), ErrorCode::too_large);
  EXPECT_NE(words.find("no room for the picture"), std::string::npos) << words;
  expect_right(*model, 2, *session);
}

TEST_P(SessionTest, PassesOnWhatAHeadThrows) {
  std::atomic<bool> broken = true;
  const ModelPtr here = hooked({.on_run = [&](const StageInfo&) {
    if (broken.exchange(false)) throw std::runtime_error("odd");
  }});
  const auto session = Session::open(here, options(serve(testing::chain_model()), Cut::after_index(0)));
  EXPECT_EQ(thrown_code([&] { session->submit(testing::inputs_of(1)).get(); }), ErrorCode::internal);
  expect_right(*here, 2, *session);
}

TEST_P(SessionTest, EndsAtItsDeadline) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr model = testing::chain_model();
  SessionOptions hasty = options(serve(there), Cut::after_index(0));
  hasty.deadline = 30ms;
  const auto session = Session::open(model, hasty);
  EXPECT_EQ(thrown_code([&] { session->run(testing::inputs_of(1)); }), ErrorCode::deadline_exceeded);
  EXPECT_EQ(thrown_code([&] { session->run(testing::inputs_of(1), {.deadline = -1ms}); }),
            ErrorCode::deadline_exceeded);
  gate_.open();
  expect_right(*model, 2, session->run(testing::inputs_of(2), {.deadline = 60s}));
}

TEST_P(SessionTest, CanBeCancelled) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr model = testing::chain_model();
  const auto session = Session::open(model, options(serve(there), Cut::after_index(0)));
  std::stop_source stop;
  auto answer = session->submit(testing::inputs_of(1), {.stop = stop.get_token()});
  gate_.wait_for(1);
  stop.request_stop();
  EXPECT_EQ(thrown_code([&] { answer.get(); }), ErrorCode::cancelled);
  gate_.open();
  expect_right(*model, 2, *session);
}

TEST_P(SessionTest, CallsWhileRunWaitsAndCanBeLeft) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr model = testing::chain_model();
  const auto session = Session::open(model, options(serve(there), Cut::after_index(0)));
  int calls = 0;
  const auto give_up = [&] {
    if (++calls == 2) throw std::runtime_error("enough");
  };
  EXPECT_THROW(session->run(testing::inputs_of(1), {.while_waiting = give_up}), std::runtime_error);
  EXPECT_EQ(session->stats().failed, 1U);
  gate_.open();
  expect_right(*model, 2, session->run(testing::inputs_of(2), {.while_waiting = [] {}}));
}

TEST_P(SessionTest, CallsWhileItWaitsForAPlaceAndCanBeLeft) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr model = testing::chain_model();
  SessionOptions one = options(serve(there), Cut::after_index(0));
  one.max_in_flight = 1;
  const auto session = Session::open(model, one);
  auto first = session->submit(testing::inputs_of(1));
  gate_.wait_for(1);
  int calls = 0;
  const auto give_up = [&] {
    if (++calls % 2 == 0) throw std::runtime_error("enough");
  };
  EXPECT_THROW(session->run(testing::inputs_of(2), {.while_waiting = give_up}), std::runtime_error);
  EXPECT_THROW(session->submit(testing::inputs_of(2), {.while_waiting = give_up}), std::runtime_error);
  auto late = session->submit(testing::inputs_of(2), {.deadline = 120ms, .while_waiting = [] {}});
  EXPECT_EQ(thrown_code([&] { late.get(); }), ErrorCode::deadline_exceeded);
  gate_.open();
  expect_right(*model, 1, first.get());
  expect_right(*model, 2, session->run(testing::inputs_of(2), {.while_waiting = [] {}}));
}

TEST_P(SessionTest, LearnsAtOnceThatAWorkerIsGone) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr model = testing::chain_model();
  const std::string address = serve(there);
  const auto session = Session::open(model, options(address, Cut::after_index(0)));
  auto answer = session->submit(testing::inputs_of(1));
  gate_.wait_for(1);
  std::thread closer([&] { workers_[0]->close(); });
  std::string words;
  EXPECT_EQ(thrown_code([&] { answer.get(); }, &words), ErrorCode::unavailable) << "while the pass still runs";
  EXPECT_NE(words.find(address), std::string::npos) << words;
  EXPECT_EQ(thrown_code([&] { session->run(testing::inputs_of(1)); }), ErrorCode::unavailable);
  gate_.open();
  closer.join();
}

TEST_P(SessionTest, EndsWhatIsInFlightWhenItCloses) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr model = testing::chain_model();
  SessionOptions few = options(serve(there), Cut::after_index(0));
  few.max_in_flight = 4;
  auto session = Session::open(model, few);
  std::vector<std::future<Answer>> answers;
  for (int seed = 0; seed < 4; ++seed) answers.push_back(session->submit(testing::inputs_of(seed)));
  gate_.wait_for(1);
  session->close();
  for (auto& answer : answers) EXPECT_EQ(thrown_code([&] { answer.get(); }), ErrorCode::cancelled);
  EXPECT_EQ(thrown_code([&] { session->run(testing::inputs_of(1)); }), ErrorCode::cancelled);
  EXPECT_EQ(thrown_code([&] { session->submit(testing::inputs_of(1)).get(); }), ErrorCode::cancelled);
  auto inputs = testing::inputs_of(1);
  EXPECT_EQ(thrown_code([&] { session->try_submit(inputs).value().get(); }), ErrorCode::cancelled);
  session->close();
  session.reset();
  gate_.open();
}

TEST_P(SessionTest, ClosesWhileOtherThreadsWaitForAPlace) {
  const ModelPtr there = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  const ModelPtr model = testing::chain_model();
  SessionOptions one = options(serve(there), Cut::after_index(0));
  one.max_in_flight = 1;
  const auto session = Session::open(model, one);
  std::atomic<int> cancelled = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      if (thrown_code([&] { session->run(testing::inputs_of(t)); }) == ErrorCode::cancelled) ++cancelled;
    });
  }
  gate_.wait_for(1);
  session->close();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(cancelled, 3);
  gate_.open();
}

TEST_P(SessionTest, CanBeDestroyedWithHeadsWaiting) {
  const ModelPtr here = hooked({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  auto session = Session::open(here, options(serve(testing::chain_model()), Cut::after_index(0)));
  std::vector<std::future<Answer>> answers;
  for (int seed = 0; seed < 5; ++seed) answers.push_back(session->submit(testing::inputs_of(seed)));
  gate_.wait_for(1);
  std::thread opener([&] {
    std::this_thread::sleep_for(10ms);
    gate_.open();
  });
  session.reset();
  opener.join();
  answers[0].wait();  // Its head was running: it may have got through.
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(thrown_code([&] { answers[i].get(); }), ErrorCode::cancelled);
}

INSTANTIATE_TEST_SUITE_P(Transports, SessionTest, ::testing::ValuesIn(testing::all_endpoints("session")),
                         [](const auto& test) { return testing::scheme_of(test.param); });

}  // namespace
}  // namespace splitnet
