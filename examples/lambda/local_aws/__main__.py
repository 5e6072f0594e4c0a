# SPDX-License-Identifier: Apache-2.0
"""python -m local_aws CONFIG.toml: runs AWS's stand-ins on loopback until Ctrl-C, and shows what the functions log."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from pathlib import Path

from .configuration import Configuration
from .stack import LocalAws

_EXAMPLE = """
CONFIG.toml, every setting but `name` and `command` may be left out:

  region = "eu-central-1"
  buckets = ["photos"]
  tables = [["detections", "picture_url"]]   # name, partition key
  queues = []
  ports = [0, 0, 0]                          # invoke API, function URLs, moto; 0: any
  expired_session_tokens = []

  [[functions]]
  name = "emotion-tail"
  command = ["./bootstrap", "arguments"]     # "./" and "../": from the folder of this file
  environment = { KEY = "value" }
  memory_megabytes = 1769                    # simulated by CPU quota: 1769 MB = 1 vCPU
  timeout_s = 30
  concurrency = 2

  [[triggers]]
  bucket = "photos"
  function = "emotion-tail"
  prefix = ""

  [[sources]]
  queue = "requests"                         # is made, like its dead-letter queue
  function = "emotion-tail"
  batch_size = 10
  report_batch_item_failures = true
"""


def describe(aws: LocalAws) -> str:
    """What runs where, and the lines that a shell needs."""
    configuration = aws.configuration
    lines = [f"# AWS on this machine, region {configuration.region}; {aws.limits}"]
    for function in configuration.functions:
        lines.append(
            f"# function {function.name}: {function.memory_megabytes} MB ({function.vcpus:.2f} vCPU), "
            f"{function.timeout_s} s, {function.concurrency} at a time: lambda://{function.name} or "
            f"{aws.function_url(function.name)}"
        )
    lines += [f"# bucket {bucket}" for bucket in configuration.buckets]
    lines += [f"# table {name} by {key}" for name, key in configuration.tables]
    lines += [f"# queue {queue}" for queue in configuration.queues]
    for trigger in configuration.triggers:
        lines.append(
            f"# s3://{trigger.bucket}/{trigger.prefix}*{trigger.suffix} starts {trigger.function}; what fails "
            f"{trigger.max_tries} times goes to the queue {trigger.dead_letter_queue}"
        )
    for source in configuration.sources:
        lines.append(
            f"# queue {source.queue}: its messages start {source.function}, up to {source.batch_size} at a time"
        )
    lines += [f"export {name}={shlex.quote(value)}" for name, value in aws.environment.items()]
    return "\n".join(lines)


def _show_log(aws: LocalAws) -> None:
    for function, line in aws.new_lines():
        print(f"{function}: {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m local_aws",
        description="AWS Lambda, S3, SQS and DynamoDB stood in for on loopback, until Ctrl-C.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("configuration", type=Path, metavar="CONFIG.toml")
    path: Path = parser.parse_args().configuration
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with LocalAws(configuration=Configuration.from_toml(path)) as aws:
            print(describe(aws), flush=True)
            while not stopped.wait(0.2):
                _show_log(aws)
            _show_log(aws)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
