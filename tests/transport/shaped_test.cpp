// SPDX-License-Identifier: Apache-2.0
// What is peculiar to modelled links. How long things take is tested on LinkSchedule, which is told the time; of the
// clock only lower bounds are asked, because the machines that run tests are busy.
#include "splitnet/transport/shaped.hpp"

#include <cstdio>
#include <fstream>
#include <numeric>

#include "error_of.hpp"
#include "splitnet/testing/transport_tools.hpp"
#include "splitnet/transport/inproc.hpp"
#include "splitnet/transport/tcp.hpp"
#include "transport/link_schedule.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using detail::LinkModel;
using detail::LinkSchedule;
using testing::echo;
using testing::Held;
using testing::iota_u8;
using testing::Outcome;
using testing::reply_with;
using testing::request_with;
using testing::start_call;
using testing::throws;
using Clock = std::chrono::steady_clock;

double seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// ---- the schedule ------------------------------------------------------------------------------

class Schedule : public ::testing::Test {
 protected:
  static Clock::time_point at(double time_s) { return start() + std::chrono::round<Clock::duration>(time_s * 1s); }
  static Clock::time_point start() { return Clock::time_point(1000h); }

  /// Sends `count` messages at once and gives the seconds at which they arrive.
  static std::vector<double> burst(const LinkModel& model, std::size_t count, std::size_t bytes, double when_s = 0) {
    LinkSchedule link(model, start());
    for (std::size_t i = 0; i < count; ++i) link.send(i, bytes, at(when_s));
    std::vector<double> times;
    for (const auto& arrival : link.take_arrived(at(1e6))) {
      EXPECT_EQ(arrival.id, times.size());
      times.push_back(seconds(arrival.when - start()));
    }
    EXPECT_EQ(times.size(), count);
    return times;
  }
};

TEST_F(Schedule, OneMessageTakesItsBytesOverBandwidthAndTheDelay) {
  EXPECT_NEAR(burst({.bytes_per_s = 1e6, .delay_s = 0.02}, 1, 5000, 3.0).at(0), 3.0 + 0.005 + 0.02, 1e-8);
  EXPECT_NEAR(burst({.delay_s = 0.02}, 1, 5000, 3.0).at(0), 3.02, 1e-8) << "unlimited";
  EXPECT_NEAR(burst({}, 1, 5000, 3.0).at(0), 3.0, 1e-8);
}

TEST_F(Schedule, ABurstLeavesAtTheRateOfTheLink) {
  const auto times = burst({.bytes_per_s = 1e6, .delay_s = 0.02}, 10'000, 1000);
  for (std::size_t i = 0; i < times.size(); ++i) {
    ASSERT_NEAR(times[i], static_cast<double>(i + 1) * 1e-3 + 0.02, 1e-7) << i;
  }
}

// Whoever asks late, or sends each message when the one before has arrived, changes nothing about a busy link.
TEST_F(Schedule, LateTimersDoNotSlowABusyLink) {
  LinkSchedule link({.bytes_per_s = 1e6}, start());
  for (std::uint64_t i = 0; i < 3; ++i) link.send(i, 1000, start());
  std::size_t arrived = 0;
  Clock::time_point last;
  for (std::uint64_t next = 3; arrived < 5000;) {
    const auto late = link.next_arrival() + 700us;
    for (const auto& arrival : link.take_arrived(late)) {
      ++arrived;
      last = arrival.when;
      link.send(next++, 1000, late);
    }
  }
  EXPECT_NEAR(seconds(last - start()), static_cast<double>(arrived) * 1e-3, 1e-6);
}

TEST_F(Schedule, AnIdleLinkSavesNothingUp) {
  LinkSchedule link({.bytes_per_s = 1000}, start());
  link.send(1, 1000, at(0));
  link.send(2, 1000, at(10));
  link.send(3, 1000, at(10.5));
  const auto arrived = link.take_arrived(at(100));
  ASSERT_EQ(arrived.size(), 3U);
  EXPECT_NEAR(seconds(arrived[1].when - start()), 11, 1e-8);
  EXPECT_NEAR(seconds(arrived[2].when - start()), 12, 1e-8);
}

TEST_F(Schedule, GivesWhatHasArrivedAndNoMore) {
  LinkSchedule link({.bytes_per_s = 1000}, start());
  EXPECT_EQ(link.next_arrival(), Clock::time_point::max());
  for (std::uint64_t i = 0; i < 3; ++i) link.send(i, 1000, start());
  EXPECT_EQ(link.next_arrival(), at(1));
  EXPECT_TRUE(link.take_arrived(at(0.999)).empty());
  EXPECT_EQ(link.take_arrived(at(2)).size(), 2U);
  EXPECT_TRUE(link.take_arrived(at(2)).empty());
  EXPECT_EQ(link.next_arrival(), at(3));
}

TEST_F(Schedule, CountsBytesUntilTheyHaveLeft) {
  LinkSchedule link({.bytes_per_s = 1000, .delay_s = 5}, start());
  link.send(1, 1000, start());
  link.send(2, 500, start());
  EXPECT_EQ(link.waiting_bytes(start()), 1500U);
  EXPECT_EQ(link.waiting_bytes(at(0.9)), 1500U);
  EXPECT_EQ(link.waiting_bytes(at(1.1)), 500U);
  EXPECT_EQ(link.waiting_bytes(at(1.6)), 0U) << "what travels does not wait";
}

TEST_F(Schedule, FollowsATrace) {
  const LinkTrace trace{1.0, {1000, 0, 0, 3000}};
  const auto times = burst({.trace = trace, .delay_s = 0.5}, 6, 1000);
  const double expected[] = {1, 3 + 1 / 3.0, 3 + 2 / 3.0, 4, 5, 7 + 1 / 3.0};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(times[i], expected[i] + 0.5, 1e-8) << i;
  EXPECT_NEAR(burst({.trace = trace}, 1, 500, 1.2).at(0), 3 + 1 / 6.0, 1e-8);
}

TEST_F(Schedule, CarriesTheMeanOfItsTrace) {
  const LinkTrace trace{0.1, {2e6, 0, 5e5, 0, 0, 1.5e6}};
  const auto times = burst({.trace = trace}, 20'000, 1000);
  EXPECT_NEAR(20'000 * 1000 / times.back(), trace.mean_bytes_per_s(), 0.02 * trace.mean_bytes_per_s());
}

TEST_F(Schedule, JitterKeepsTheOrderAndItsBounds) {
  const LinkModel model{.bytes_per_s = 1e6, .delay_s = 0.02, .jitter_s = 0.01, .seed = 3};
  const auto times = burst(model, 5000, 1000);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  for (std::size_t i = 0; i < times.size(); ++i) {
    const double more = times[i] - (static_cast<double>(i + 1) * 1e-3 + 0.02);
    ASSERT_GE(more, -1e-7);
    ASSERT_LE(more, 0.01 + 1e-7);
  }
  double sum = 0;
  LinkSchedule alone(model, start());
  for (int i = 0; i < 5000; ++i) {
    alone.send(0, 0, at(i));
    sum += seconds(alone.take_arrived(at(i + 0.5)).at(0).when - at(i)) - 0.02;
  }
  EXPECT_NEAR(sum / 5000, 0.005, 0.0005) << "uniform where no message is near";
}

TEST_F(Schedule, RepeatsWithItsSeed) {
  const LinkModel model{.jitter_s = 0.01, .seed = 3};
  auto other = model;
  other.seed = 4;
  auto lossy = model;
  lossy.loss = 0.5;
  EXPECT_EQ(burst(model, 10, 1), burst(model, 10, 1));
  EXPECT_EQ(burst(model, 10, 1), burst(lossy, 10, 1));
  EXPECT_NE(burst(model, 10, 1), burst(other, 10, 1));
}

TEST_F(Schedule, LosesWithItsProbability) {
  for (const double loss : {0.0, 0.01, 0.3, 1.0}) {
    LinkSchedule link({.loss = loss, .seed = 9}, start());
    for (std::uint64_t i = 0; i < 20'000; ++i) link.send(i, 10, start());
    const auto arrived = link.take_arrived(start());
    const auto lost = std::count_if(arrived.begin(), arrived.end(), [](const auto& each) { return each.breaks; });
    EXPECT_NEAR(static_cast<double>(lost) / 20'000, loss, loss > 0 && loss < 1 ? 0.01 : 0);
  }
}

TEST_F(Schedule, WhatTakesForEverArrivesNever) {
  for (const LinkModel& model : {LinkModel{.bytes_per_s = 1e-300}, LinkModel{.delay_s = 1e300},
                                 LinkModel{.trace = LinkTrace{1, {5e-324}}}, LinkModel{.jitter_s = 1e308}}) {
    LinkSchedule link(model, start());
    for (std::uint64_t i = 0; i < 3; ++i) link.send(i, SIZE_MAX, start());
    EXPECT_GT(link.next_arrival(), start() + 24h * 365);
    EXPECT_TRUE(link.take_arrived(start() + 24h * 365).empty());
  }
}

// ---- options and endpoints ---------------------------------------------------------------------

/// A file that is gone at the end.
class TraceFile {
 public:
  explicit TraceFile(const std::string& bins)
      : path(::testing::TempDir() + "splitnet_shaped_" +
             ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".csv") {
    std::ofstream(path) << "time_s,bandwidth_bit_per_s\n" << bins;
  }
  ~TraceFile() { (void)std::remove(path.c_str()); }
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  const std::string path;
};

TEST(ShapedOptions, AreReadFromText) {
  const auto options = parse_shaped_options("up=10Mbit,down=1.5Gbit,delay=20ms,jitter=2.5us,loss=0.001,seed=7");
  EXPECT_DOUBLE_EQ(options.up_bytes_per_s.value(), 1.25e6);
  EXPECT_DOUBLE_EQ(options.down_bytes_per_s.value(), 187.5e6);
  EXPECT_DOUBLE_EQ(options.delay_s, 0.02);
  EXPECT_DOUBLE_EQ(options.jitter_s, 2.5e-6);
  EXPECT_DOUBLE_EQ(options.loss, 0.001);
  EXPECT_EQ(options.seed, 7U);
  EXPECT_EQ(parse_shaped_options(""), ShapedOptions{});
  EXPECT_DOUBLE_EQ(parse_shaped_options("up=8bit").up_bytes_per_s.value(), 1);
  EXPECT_DOUBLE_EQ(parse_shaped_options("up=8kbit,delay=1s").up_bytes_per_s.value(), 1000);
  EXPECT_EQ(parse_shaped_options("seed=18446744073709551615").seed, UINT64_MAX);
}

TEST(ShapedOptions, ReadTracesFromFiles) {
  const TraceFile file("0,8000\n0.5,16000\n");
  const auto options = parse_shaped_options("down_trace=" + file.path + ",up=1Mbit");
  EXPECT_EQ(options.down_trace, (LinkTrace{0.5, {1000, 2000}}));
  EXPECT_FALSE(options.up_trace);
}

TEST(ShapedOptions, SayWhatIsWrongWithTheText) {
  const TraceFile file("0,8000\n0.5,16000\n");
  const auto refuses = [](const std::string& text, const std::string& words) {
    return throws(ErrorCode::invalid_argument, words, [&] { (void)parse_shaped_options(text); });
  };
  EXPECT_TRUE(refuses("upp=1Mbit", "'upp' is unknown; expected one of: up, down, up_trace, down_trace, delay"));
  EXPECT_TRUE(refuses("up", "found 'up', expected KEY=VALUE"));
  EXPECT_TRUE(refuses("up=1Mbit,", "found ',' at the end"));
  EXPECT_TRUE(refuses(",up=1Mbit", "found '', expected KEY=VALUE"));
  EXPECT_TRUE(refuses("up=1Mbit,up=2Mbit", "up is given twice"));
  EXPECT_TRUE(refuses("up=1MB", "up: found '1MB', expected a number and one of: bit, kbit, Mbit, Gbit"));
  EXPECT_TRUE(refuses("up=Mbit", "up: found 'Mbit'"));
  EXPECT_TRUE(refuses("up=infMbit", "up: found 'infMbit'"));
  EXPECT_TRUE(refuses("down=1e400Mbit", "down: found '1e400Mbit'"));
  EXPECT_TRUE(refuses("up= 1Mbit", "up: found ' 1Mbit'"));
  EXPECT_TRUE(refuses("up=0Mbit", "up_bytes_per_s is 0, expected a finite number above 0"));
  EXPECT_TRUE(refuses("delay=20", "delay: found '20', expected a number and one of: s, ms, us"));
  EXPECT_TRUE(refuses("delay=-20ms", "delay_s is -0.02, expected"));
  EXPECT_TRUE(refuses("jitter=-1s", "jitter_s is -1"));
  EXPECT_TRUE(refuses("loss=much", "loss: found 'much', expected a number from 0 to 1"));
  EXPECT_TRUE(refuses("loss=1.5", "loss is 1.5, expected a probability"));
  EXPECT_TRUE(refuses("loss=nan", "loss is nan"));
  EXPECT_TRUE(refuses("seed=-1", "seed: found '-1', expected an integer"));
  EXPECT_TRUE(refuses("seed=1.5", "seed: found '1.5'"));
  EXPECT_TRUE(refuses("up_trace=/nowhere/at/all", "up_trace: link trace '/nowhere/at/all': can't be read"));
  EXPECT_TRUE(refuses("up=1Mbit,up_trace=" + file.path, "up_bytes_per_s and up_trace are both given"));
}

std::shared_ptr<Transport> shaped() {
  return make_shaped_transport({{"inproc", make_inproc_transport()}, {"tcp", make_tcp_transport()}});
}

TEST(Shaped, GivesAnAddressWithTheSameOptions) {
  const auto transport = shaped();
  const std::string prefix = "shaped://up=1Gbit,delay=0.5ms,seed=7@";
  const auto listener = transport->listen(prefix + "tcp://127.0.0.1:0", echo, {});
  EXPECT_TRUE(listener->address().starts_with(prefix + "tcp://127.0.0.1:")) << listener->address();
  EXPECT_FALSE(listener->address().ends_with(":0"));
  const auto connection = transport->connect(listener->address(), {});
  EXPECT_EQ(call_and_wait(*connection, request_with({Value(5)})).values.at(0).integer(), 5);
}

/// FAULTS 19: what is behind the link decides.
TEST(Shaped, RefusesAddressesThatOtherMachinesReach) {
  const std::string endpoint = "shaped://delay=1ms@tcp://0.0.0.0:0";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "0.0.0.0", [&] { (void)shaped()->listen(endpoint, echo, {}); }));
  ListenOptions options;
  options.token = "the-token-of-this-test";
  EXPECT_NO_THROW((void)shaped()->listen(endpoint, echo, options));
}

TEST(Shaped, RefusesBadEndpoints) {
  const auto transport = shaped();
  const auto refuses = [&transport](const std::string& endpoint, const std::string& words) {
    return throws(ErrorCode::invalid_argument, words, [&] { (void)transport->connect(endpoint, {}); }) &&
           throws(ErrorCode::invalid_argument, words, [&] { (void)transport->listen(endpoint, echo, {}); });
  };
  EXPECT_TRUE(refuses("shaped://inproc://a", "'shaped://inproc://a': expected shaped://OPTIONS@INNER"));
  EXPECT_TRUE(refuses("tcp://a@b:1", "expected shaped://OPTIONS@INNER"));
  EXPECT_TRUE(refuses("shaped://up=fast@inproc://a", "endpoint 'shaped://up=fast@inproc://a': shaped options: up"));
  EXPECT_TRUE(refuses("shaped://@pigeon://a",
                      "found 'pigeon://a' behind the '@', expected scheme://… with one of: inproc, tcp"));
  EXPECT_TRUE(refuses("shaped://@", "found ''"));
  EXPECT_TRUE(refuses("shaped://@inproc://", "'shaped://@inproc://'"));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "none registered",
                     [] { (void)make_shaped_transport({})->connect("shaped://@tcp://a:1", {}); }));
}

TEST(Shaped, NeedsTransportsAndValidOptions) {
  ShapedOptions bad;
  bad.loss = 2;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "'tcp'", [] { (void)make_shaped_transport({{"tcp", nullptr}}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "transport", [] { (void)make_shaped_transport(nullptr, {}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "loss is 2",
                     [&] { (void)make_shaped_transport(make_inproc_transport(), bad); }));
}

// ---- connections -------------------------------------------------------------------------------

class ShapedConnection : public ::testing::Test {
 protected:
  void listen(Handler handler) { listener = inner->listen("inproc://far", std::move(handler), {}); }
  std::unique_ptr<Connection> connect(const std::string& options, const ConnectOptions& connect_options = {}) const {
    return make_shaped_transport(inner, parse_shaped_options(options))->connect("inproc://far", connect_options);
  }

  const std::shared_ptr<Transport> inner = make_inproc_transport();
  Held held;
  std::unique_ptr<Listener> listener;
};

TEST_F(ShapedConnection, TakesAtLeastTheTimeOfItsLink) {
  listen(echo);
  const auto connection = connect("up=8Mbit,down=16Mbit,delay=10ms");
  const auto begin = Clock::now();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 10; ++i) outcomes.push_back(start_call(*connection, request_with({iota_u8(20'000)})));
  for (const auto& outcome : outcomes) ASSERT_NE(outcome.message(), nullptr);
  // All requests, the last reply, and the delay both ways.
  EXPECT_GE(seconds(Clock::now() - begin), 0.2 + 0.01 + 0.02);
}

TEST_F(ShapedConnection, CarriesRequestsInOrder) {
  listen(held.handler());
  const auto connection = connect("up=100Mbit,jitter=2ms");
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 50; ++i) {
    outcomes.push_back(start_call(*connection, request_with({Value(i), iota_u8(i % 7 * 1000)})));
  }
  ASSERT_TRUE(held.wait_for(50));
  const auto items = held.take();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(items[static_cast<std::size_t>(i)].request.values.at(0).integer(), i);
  }
}

// The slow direction would take minutes for what goes the other way.
TEST_F(ShapedConnection, HasTwoDirectionsThatDiffer) {
  listen([](const Message& request, const CallContext&, const Responder& respond) {
    respond(reply_with({iota_u8(request.values.at(0).integer())}));
  });
  EXPECT_NE(start_call(*connect("up=16kbit"), request_with({Value(1'000'000)})).message(), nullptr);
  EXPECT_NE(start_call(*connect("down=16kbit"), request_with({Value(0), iota_u8(1'000'000)})).message(), nullptr);
}

TEST_F(ShapedConnection, WaitsForALinkThatIsDead) {
  listen(echo);
  const TraceFile file("0,0\n0.1,1000000000\n");
  const auto begin = Clock::now();
  const auto connection = connect("up_trace=" + file.path);
  EXPECT_NE(start_call(*connection, request_with({})).message(), nullptr);
  EXPECT_GE(seconds(Clock::now() - begin), 0.1);
}

TEST_F(ShapedConnection, BreaksWhenARequestIsLost) {
  listen(held.handler());
  const auto connection = connect("loss=1,delay=20ms");
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 5; ++i) outcomes.push_back(start_call(*connection, request_with({})));
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.count(), 1);
  EXPECT_FALSE(held.wait_for(1, 30ms));
}

TEST_F(ShapedConnection, BreaksSoonerOrLater) {
  listen(echo);
  const auto connection = connect("loss=0.02,seed=5");
  int good = 0;
  while (start_call(*connection, request_with({})).message() != nullptr) ++good;
  EXPECT_GT(good, 0);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  int again = 0;
  const auto other = connect("loss=0.02,seed=5");
  while (start_call(*other, request_with({})).message() != nullptr) ++again;
  EXPECT_EQ(again, good) << "the same seed";
}

/// For a loss of 0.5.
std::uint64_t seed_that_loses_the_second_request() {
  for (std::uint64_t seed = 0;; ++seed) {
    LinkSchedule link({.loss = 0.5, .seed = seed}, Clock::time_point());
    for (std::uint64_t i = 0; i < 2; ++i) link.send(i, 1, Clock::time_point());
    const auto arrived = link.take_arrived(Clock::time_point());
    if (!arrived[0].breaks && arrived[1].breaks) return seed;
  }
}

TEST_F(ShapedConnection, TellsTheOtherSideThatItBroke) {
  listen(held.handler());
  const auto connection = connect("loss=0.5,seed=" + std::to_string(seed_that_loses_the_second_request()));
  const auto first = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  const auto second = start_call(*connection, request_with({}));
  EXPECT_EQ(first.error(), ErrorCode::unavailable);
  EXPECT_EQ(second.error(), ErrorCode::unavailable);
  EXPECT_TRUE(testing::wait_until_stopped(held.take().at(0).context.stop));
}

TEST_F(ShapedConnection, ClosesWhileMessagesTravel) {
  listen(held.handler());
  const auto connection = connect("delay=3600s");
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 5; ++i) outcomes.push_back(start_call(*connection, request_with({iota_u8(1000)})));
  connection->close();
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_FALSE(held.wait_for(1, 30ms));
}

TEST_F(ShapedConnection, IsDestroyedWhileMessagesTravel) {
  listen(held.handler());
  auto connection = connect("down=8bit");
  const auto outcome = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(reply_with({iota_u8(1000)}));
  auto far = connect("delay=3600s");
  const auto other = start_call(*far, request_with({}));
  connection.reset();
  far.reset();
  EXPECT_EQ(outcome.count(), 1);
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(other.error(), ErrorCode::unavailable);
}

TEST_F(ShapedConnection, EndsAtTheDeadlineWhileTheRequestTravels) {
  listen(held.handler());
  const auto connection = connect("delay=3600s");
  const auto outcome = start_call(*connection, request_with({}), Clock::now() + 20ms);
  EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded);
  EXPECT_FALSE(held.wait_for(1, 30ms));
}

TEST_F(ShapedConnection, EndsAtTheDeadlineWhileTheReplyTravels) {
  listen(echo);
  const auto connection = connect("down=8bit");
  const auto outcome = start_call(*connection, request_with({}), Clock::now() + 200ms);
  EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded);
  EXPECT_EQ(outcome.count(), 1);
}

TEST_F(ShapedConnection, DoesNotDeliverWhatWasCancelledOnTheWay) {
  listen(held.handler());
  const auto connection = connect("delay=300ms");  // A test that is held up for longer than this may fail.
  std::stop_source stop;
  const auto cancelled = start_call(*connection, request_with({Value(1)}), {}, stop.get_token());
  stop.request_stop();
  const auto next = start_call(*connection, request_with({Value(2)}));
  EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
  ASSERT_TRUE(held.wait_for(1));
  EXPECT_EQ(held.take().at(0).request.values.at(0).integer(), 2);
}

TEST_F(ShapedConnection, CancelsWhileTheReplyTravels) {
  std::promise<void> answered;
  listen([&answered](Message request, const CallContext& context, const Responder& respond) {
    echo(std::move(request), context, respond);
    answered.set_value();
  });
  const auto connection = connect("down=8bit");
  std::stop_source stop;
  const auto outcome = start_call(*connection, request_with({}), {}, stop.get_token());
  answered.get_future().wait();
  EXPECT_FALSE(outcome.wait(20ms));
  stop.request_stop();
  EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
  EXPECT_EQ(outcome.count(), 1);
}

TEST_F(ShapedConnection, LetsGoOfARequestThatIsGivenUp) {
  listen(held.handler());
  const auto connection = connect("delay=3600s");
  auto bytes = std::make_shared<std::vector<std::byte>>(100);
  const std::weak_ptr<void> watched = bytes;
  Tensor tensor = Tensor::empty(DType::u8, {100});
  tensor.storage = Storage::adopt(bytes->data(), bytes->size(), bytes);
  bytes.reset();
  std::stop_source stop;
  const auto outcome = start_call(*connection, request_with({std::exchange(tensor, {})}), {}, stop.get_token());
  EXPECT_FALSE(watched.expired());
  stop.request_stop();
  EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
  EXPECT_TRUE(watched.expired());
}

TEST_F(ShapedConnection, TakesTheTimeOfTravelOffTheTimeThatIsLeft) {
  listen(held.handler());
  const auto connection = connect("delay=50ms");
  const auto outcome = start_call(*connection, request_with({}), Clock::now() + 1h);
  ASSERT_TRUE(held.wait_for(1));
  EXPECT_LE(held.take().at(0).request.time_left.value(), 1h - 50ms);
}

TEST_F(ShapedConnection, CountsCallsThatTravel) {
  listen(held.handler());
  ConnectOptions options;
  options.max_calls_in_flight = 2;
  const auto connection = connect("delay=3600s", options);
  const auto first = start_call(*connection, request_with({}));
  const auto second = start_call(*connection, request_with({}));
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::overloaded);
  EXPECT_EQ(first.count() + second.count(), 0);
}

TEST_F(ShapedConnection, RefusesMoreBytesThanMayWait) {
  listen(echo);
  ConnectOptions options;
  options.max_queued_bytes = 10'000;
  const auto connection = connect("up=8bit", options);
  EXPECT_EQ(start_call(*connection, request_with({iota_u8(20'000)})).error(), ErrorCode::overloaded);
  const auto first = start_call(*connection, request_with({iota_u8(6000)}));
  EXPECT_EQ(start_call(*connection, request_with({iota_u8(6000)})).error(), ErrorCode::overloaded);
  const auto small = start_call(*connection, request_with({iota_u8(1000)}));
  EXPECT_EQ(first.count() + small.count(), 0);
}

TEST_F(ShapedConnection, RefusesWhatCanNotBeSent) {
  listen(echo);
  const auto connection = connect("");
  const auto outcome = start_call(*connection, request_with({Dict{{{Value(iota_u8(1)), Value(1)}}}}));
  EXPECT_EQ(outcome.error(), ErrorCode::invalid_argument);
  EXPECT_FALSE(outcome.came_inside_call());
}

}  // namespace
}  // namespace splitnet
