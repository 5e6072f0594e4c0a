# SPDX-License-Identifier: Apache-2.0
"""Starts object storage, a queue, the pool of workers and the web tier, for a person or to check them: what `run` calls."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from aiohttp import web

import splitnet
from common.command_line import ForCheck, add_check, count, end_on_signals, parse, say, serve_until_told, status_of
from common.serving import Address, port_number
from elastic_pool.classifiers import CLASSIFIERS, classifier
from elastic_pool.cloud import running_cloud
from elastic_pool.measure import Experiments
from elastic_pool.policies import LatencyTarget
from elastic_pool.pool_page import add_pool_page
from elastic_pool.report import document, table
from elastic_pool.this_machine import most_workers
from elastic_pool.web_client import NotTaken
from elastic_pool.work_queue import QueueError
from local_aws.processes import free_ports

_LEAST_KILLS, _PICTURES_PER_KILL = 2, 30


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: with --check 0 when all is right. Without it, it runs until Ctrl-C (130) or SIGTERM (143)."""
    parser = argparse.ArgumentParser(
        "examples/elastic_pool/run",
        description="Many pictures in, labels out: the web tier, with workers that come and go.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_check(parser)
    parser.add_argument(
        "--pictures",
        action=ForCheck,
        type=_counts,
        default="20,30,40,60,300",
        metavar="N,…",
        help="with --check: runs of so many",
    )
    parser.add_argument("--port", type=port_number, default=8080, help="of the page; 0 chooses a free one")
    parser.add_argument("--model", choices=list(CLASSIFIERS), default="mobilenet_v2", help="what the workers run")
    parser.add_argument("--max-workers", type=count, default=most_workers(), metavar="N", help="that run at once")
    options = parse(parser, arguments)
    end_on_signals()
    try:
        return check(options) if options.check else show(options)
    except (splitnet.Error, QueueError, NotTaken, RuntimeError, OSError) as error:
        print(f"elastic: {error}", file=sys.stderr)
        return 1


def check(options: argparse.Namespace) -> int:
    """Measures, prints, writes."""
    model = classifier(options.model)
    policy = LatencyTarget(max_workers=options.max_workers, stop_after_s=5, zero_after_s=5)
    say("starting S3, the queue, the pool and the web tier")
    with running_cloud(model, policy) as cloud:
        experiments = Experiments(cloud, model, max(options.pictures), say)
        runs = [experiments.calm(pictures) for pictures in options.pictures]
        most = max(options.pictures)
        kills = min(most - 1, max(_LEAST_KILLS, most // _PICTURES_PER_KILL))
        runs.append(experiments.troubled(most, kills))
    print(table(runs))
    if options.json:
        options.json.write_text(json.dumps(document(runs), indent=2) + "\n", encoding="utf-8")
    return status_of(f"{run.name}: {words}" for run in runs for words in run.wrong)


def show(options: argparse.Namespace) -> int:
    """For a person, until Ctrl-C."""
    policy = LatencyTarget(max_workers=options.max_workers)
    (pool_port,) = free_ports(1)
    say("starting S3, the queue, the pool and the web tier")
    with running_cloud(classifier(options.model), policy, options.port, f"http://127.0.0.1:{pool_port}/") as cloud:
        print(f"upload pictures at {cloud.web}; Ctrl-C ends it all; what the workers do is", flush=True)
        app = web.Application()
        add_pool_page(app, cloud.pool, prefix="")
        return serve_until_told(app, Address("127.0.0.1", pool_port), "/")


def _counts(text: str) -> list[int]:
    return [count(one) for one in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
