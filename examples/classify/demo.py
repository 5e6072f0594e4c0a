# SPDX-License-Identifier: Apache-2.0
"""Starts S3, the queues, the pools, a server of photos and the service, for a person or to check them: what `run` calls."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import splitnet
from classify.measure import Experiments
from classify.models_file import ModelsFileError, known_models
from classify.pools import QUEUE, Pools, pools_app, running_pools
from classify.report import document, table
from common.command_line import ForCheck, add_check, count, end_on_signals, parse, say, serve_until_told, status_of
from common.server_process import running_server
from common.serving import Address, port_number
from elastic_pool.policies import LatencyTarget
from elastic_pool.this_machine import most_workers
from elastic_pool.work_queue import QueueError
from local_aws import LocalAws
from local_aws.processes import free_ports

BUCKET = "classify-results"


@dataclass(frozen=True)
class Started:
    """What runs."""

    service: str  #: Its address.
    photos: str
    pools: Pools
    pages_port: int  #: Where the pages of the pools are expected.


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: with --check 0 when all is right. Without it, it runs until Ctrl-C (130) or SIGTERM (143)."""
    parser = argparse.ArgumentParser(
        "examples/classify/run",
        description="What is at this URL? The service, with workers that come and go.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_check(parser)
    parser.add_argument(
        "--few", action=ForCheck, type=count, default=40, metavar="N", help="with --check: requests at once"
    )
    parser.add_argument(
        "--many", action=ForCheck, type=count, default=400, metavar="N", help="with --check: requests at once"
    )
    parser.add_argument("--port", type=port_number, default=8080, help="of the service; 0 chooses a free one")
    parser.add_argument(
        "--max-workers-per-model",
        type=count,
        default=most_workers(),
        metavar="N",
        help="that run at once, of each model: two models that are asked for may have twice as many",
    )
    parser.add_argument("--models", type=Path, metavar="FILE", help="JSON with more models; the README says how")
    options = parse(parser, arguments)
    end_on_signals()
    try:
        return check(options) if options.check else show(options)
    except (splitnet.Error, QueueError, ModelsFileError, RuntimeError, OSError) as error:
        print(f"classify: {error}", file=sys.stderr)
        return 1


def check(options: argparse.Namespace) -> int:
    """Measures, prints, writes."""
    policy = LatencyTarget(max_workers=options.max_workers_per_model, stop_after_s=3, zero_after_s=3)
    with started(policy, port=0, photos=max(options.few, options.many), models=options.models) as found:
        experiments = Experiments(found.service, found.photos, found.pools, options.few, options.many, say)
        runs = experiments.run_all()
    print(table(runs))
    if options.json:
        options.json.write_text(json.dumps(document(runs), indent=2) + "\n", encoding="utf-8")
    return status_of(f"{run.name}: {words}" for run in runs for words in run.wrong)


def show(options: argparse.Namespace) -> int:
    """For a person, until Ctrl-C."""
    policy = LatencyTarget(max_workers=options.max_workers_per_model)
    with started(policy, options.port, photos=24, models=options.models) as found:
        with urllib.request.urlopen(f"{found.photos}/") as answer:
            photo = f"{found.photos}/{json.load(answer)[0]}"
        print(f"the service is at {found.service}; photos to try are at {found.photos}")
        print(f"  curl '{found.service}/classify?url={quote(photo, safe=':/')}'")
        print("Ctrl-C ends it all; what the workers do is", flush=True)
        return serve_until_told(pools_app(found.pools), Address("127.0.0.1", found.pages_port))


@contextmanager
def started(policy: LatencyTarget, port: int, photos: int, models: Path | None = None) -> Iterator[Started]:
    """All of it, on loopback; at the end all has ended. The photos are the only thing there that the service may fetch."""
    known = known_models(models)
    say("starting S3, the queues, the pools, the photos and the service")
    (pages_port,) = free_ports(1)
    with (
        LocalAws(buckets=[BUCKET]) as aws,
        running_pools(known, aws.environment, policy) as pools,
        running_server("classify.photo_server", "--count", str(photos)) as shown,
        running_server(
            "classify.server",
            *("--bucket", BUCKET, "--worker", f"sqs://{QUEUE}", "--port", str(port)),
            *("--allow-address", shown.url.removeprefix("http://")),
            *("--pool-page", f"http://127.0.0.1:{pages_port}/"),
            *(("--models", str(models)) if models else ()),
            environment=aws.environment,
        ) as service,
    ):
        yield Started(service.url, shown.url, pools, pages_port)


if __name__ == "__main__":
    sys.exit(main())
