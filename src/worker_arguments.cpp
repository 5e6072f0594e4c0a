// SPDX-License-Identifier: Apache-2.0
#include "worker_arguments.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "splitnet/error.hpp"
#ifdef SPLITNET_WITH_AWS
#include "splitnet/transport/sqs.hpp"
#endif

#ifndef SPLITNET_VERSION
#define SPLITNET_VERSION "unknown"
#endif

namespace splitnet {
namespace {

#ifdef SPLITNET_WITH_AWS
void add_sqs_options(CLI::App& app, SqsArguments& sqs) {
  const SqsOptions otherwise;
  app.add_option("--sqs-in-flight", sqs.in_flight,
                 "Requests of a queue that this worker holds at once; what waits here no other worker can take. 0: "
                 "one more than --executors times --batch")
      ->capture_default_str();
  app.add_option("--sqs-visibility-timeout", sqs.visibility_timeout_s,
                 "Seconds after which another worker gets a request whose worker has died")
      ->default_str(std::to_string(otherwise.visibility_timeout.count()))
      ->check(CLI::Range(2, 8 * 3600));
  app.add_option("--sqs-max-deliveries", sqs.max_deliveries,
                 "How often a request is tried before it goes to the dead-letter queue")
      ->default_str(std::to_string(otherwise.max_deliveries))
      ->check(CLI::PositiveNumber);
  app.add_option("--sqs-wait-time", sqs.wait_time_s, "Seconds that one question for requests waits for some")
      ->default_str(std::to_string(otherwise.wait_time.count()))
      ->check(CLI::Range(0, 20));
  app.add_option("--sqs-dead-letter-queue", sqs.dead_letter_queue,
                 "The queue for what nobody could do; without it QUEUE-dead, and made if it is not there")
      ->type_name("QUEUE");
}
#endif

/// Nobody shall believe in an encryption that is not there.
void check_tls(const Arguments& arguments) {
  const auto& tls = arguments.tls;
  const auto encrypts = [](const std::string& endpoint) {
    return endpoint.find("tls://") != std::string::npos || endpoint.find("https://") != std::string::npos;
  };
  if (!tls.ca_file.empty() && std::none_of(arguments.forward_to.begin(), arguments.forward_to.end(), encrypts)) {
    bad_usage("--forward-ca is for tls:// and https://, and no --forward-to is one of these");
  }
  if (tls.certificate_file.empty() && tls.private_key_file.empty() && tls.client_ca_file.empty()) return;
  if (std::any_of(arguments.listen.begin(), arguments.listen.end(), encrypts)) return;
  bad_usage("--certificate, --key and --client-ca are for tls:// and https://, and no --listen is one of these");
}

void check_sqs(const Arguments& arguments) {
  const SqsArguments& sqs = arguments.sqs;
  const bool is_given = sqs.in_flight > 0 || sqs.visibility_timeout_s || sqs.max_deliveries || sqs.wait_time_s ||
                        !sqs.dead_letter_queue.empty();
  const auto is_queue = [](const std::string& endpoint) { return endpoint.find("sqs://") != std::string::npos; };
  if (!is_given || std::any_of(arguments.listen.begin(), arguments.listen.end(), is_queue)) return;
  bad_usage(
      "--sqs-in-flight, --sqs-visibility-timeout, --sqs-max-deliveries, --sqs-wait-time and "
      "--sqs-dead-letter-queue are for sqs://, and no --listen is one of these");
}

}  // namespace

[[noreturn]] void bad_usage(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("models", arguments.models,
                 "Models to serve, as MODEL.pt (named after the file, without its ending) or NAME=MODEL.pt. "
                 "A model is a program: serve only files that you trust.")
      ->required()
      ->type_name("[NAME=]MODEL.pt");
  app.add_option("--listen", arguments.listen,
                 "Endpoint to listen on; port 0 chooses a free one; lambda-runtime:// for a function of AWS Lambda, "
                 "sqs://QUEUE for requests from a queue; may be repeated")
      ->capture_default_str();
  app.add_option("--input", arguments.inputs,
                 "Example input as [NAME=]SHAPE[:DTYPE], for instance 1x3x224x224 or bert=1x128:i64; once for each "
                 "input, in order; without NAME it is for all models that have none of their own. Sessions that plan "
                 "need them: the "
                 "worker times its layers with them")
      ->type_name("SPEC");
  app.add_option(
         "--cut", arguments.cuts,
         "A cut that is likely to be asked for, as [NAME=]CUT with \"features.3\" (after this module or layer), "
         "\"17\" (after the layer with this index) or \"input\": its stage for this worker is cut before the first "
         "request; may be repeated; without NAME it is for all models")
      ->type_name("CUT");
  app.add_option("--prepare", arguments.prepare,
                 "Write the one model as a prepared model to this file, and end: frozen and inlined, so that a worker "
                 "that is started with it instead is ready sooner, and answers the same requests. For this version of "
                 "torch only")
      ->type_name("FILE");
  app.add_option("--threads", arguments.threads,
                 "Threads that one pass may use; 0 leaves the choice to the framework. Answers are bit-identical only "
                 "between equal thread counts")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--executors", arguments.executors, "Passes that may run at once")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--stage-cache", arguments.cached_stages, "Stages to keep")->capture_default_str();
  app.add_option("--stage-cache-mb", arguments.cached_megabytes, "MiB of parameters in the stages kept")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--queue", arguments.queued_requests, "Requests that may wait; more are answered 'overloaded'")
      ->capture_default_str();
  app.add_option("--queue-mb", arguments.queued_megabytes, "MiB of tensors in the requests that wait or run")
      ->capture_default_str();
  app.add_option(
         "--batch", arguments.batch_rows,
         "Rows (dimension 0) of requests for one stage that may run in one pass, where the worker has tried out "
         "that they don't influence one another; needs --input")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-wait-ms", arguments.batch_wait_ms,
                 "Milliseconds that a request may wait for others to run with")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--drain-timeout", arguments.drain_timeout_s,
                 "Seconds that requests under way may still take after SIGTERM or SIGINT")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
#ifdef SPLITNET_WITH_AWS
  add_sqs_options(app, arguments.sqs);
#endif
  app.add_option("--token-file", arguments.token_file,
                 "A file (chmod 600) whose first line clients have to show; without it the environment variable "
                 "SPLITNET_TOKEN is taken, if it is set")
      ->type_name("FILE");
  app.add_option("--certificate", arguments.tls.certificate_file, "Certificate chain (PEM) for tls:// and https://")
      ->type_name("FILE");
  app.add_option("--key", arguments.tls.private_key_file, "Its private key (PEM)")->type_name("FILE");
  app.add_option("--client-ca", arguments.tls.client_ca_file,
                 "Take only clients with a certificate of these authorities (PEM)")
      ->type_name("FILE");
  app.add_option(
         "--forward-to", arguments.forward_to,
         "Endpoint of a worker of the next tier; requests may ask to have what follows run there, and at no other; "
         "may be repeated")
      ->type_name("ENDPOINT");
  app.add_option("--forward-token-file", arguments.forward_token_file,
                 "A file (chmod 600) whose first line this worker shows to those of the next tier")
      ->type_name("FILE");
  app.add_option("--forward-ca", arguments.tls.ca_file,
                 "Authorities (PEM) that their certificates are checked with; without it those of the system")
      ->type_name("FILE");
  app.add_flag("--allow-remote", arguments.allow_remote,
               "Allow addresses that other machines can reach without a token and without encryption: whoever "
               "reaches the port can use the models and read along. Do this only on a network you trust. For a "
               "function of AWS Lambda: answer whoever comes by its URL or an API, also without a token");
#ifdef SPLITNET_WITH_HTTP
  app.add_option(
         "--status", arguments.status,
         "Serve /livez, /readyz and /metrics (for Prometheus) over HTTP at HOST:PORT; port 0 chooses a free one")
      ->type_name("ADDRESS");
  app.add_flag(
      "--allow-remote-status", arguments.allow_remote_status,
      "Allow a --status that other machines can reach: whoever does can read names of models, counts and times");
#endif
  app.add_option("--log-format", arguments.log_format, "Of the lines on standard error")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_flag("--verbose", arguments.verbose,
               "Log every request, answered or not; whom listeners turn away (token, certificate, limits) is logged "
               "anyway, once a second at most");
  app.set_version_flag("--version", std::string("splitnet-worker ") + SPLITNET_VERSION);
  app.footer(
      "Prints 'listening on ENDPOINT' when it is ready, and before it loads models 'status at ADDRESS', when it has\n"
      "--status. SIGTERM and SIGINT let it finish what it has and end with 0; while it loads models, at once.\n"
      "SIGHUP has it read the models' files again; requests for the version before are still answered until nobody has "
      "asked for it for a minute, and a file that can't be loaded changes nothing.\n"
      "Exit status: 0 after a signal, 1 when a model can't be loaded, an endpoint can't be opened, or Lambda ends the "
      "function, 2 for wrong usage.");
}

void check(const Arguments& arguments) {
  check_tls(arguments);
  check_sqs(arguments);
  if (!arguments.forward_token_file.empty() && arguments.forward_to.empty()) {
    bad_usage("--forward-token-file is for those of --forward-to, and there are none");
  }
}

}  // namespace splitnet
