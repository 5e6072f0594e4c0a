# SPDX-License-Identifier: Apache-2.0
"""Starts the functions, the bucket and the page, for a person or to check them: what `run` calls."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict

import splitnet
from common import prices
from common.command_line import ForCheck, add_check, count, end_on_signals, link, parse, say, status_of
from emotion import settings
from emotion.cloud import BUCKET, TAIL, emotion_cloud
from emotion.measure import measure
from emotion.measure_table import THEIRS, tables
from emotion.page_server import running_page
from local_aws import LocalAws


def main(arguments: Sequence[str]) -> int:
    """The exit status: with --check 0 when all is right. Without it, it runs until Ctrl-C (130) or SIGTERM (143)."""
    parser = argparse.ArgumentParser(
        "examples/emotion/run",
        description="Hybrid emotion recognition: the page, with its functions on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_check(parser)
    parser.add_argument(
        "--rounds", action=ForCheck, type=count, default=5, metavar="N", help="with --check: hot calls of each way"
    )
    parser.add_argument(
        "--cold-rounds",
        action=ForCheck,
        type=count,
        default=3,
        metavar="N",
        help="with --check: cold calls of each way",
    )
    parser.add_argument(
        "--link",
        action=ForCheck,
        type=link,
        default="up=2Mbit,down=8Mbit,delay=10ms",
        help="with --check: to the cloud, as shaped:// has it; the delay is one way",
    )
    settings.add_options(parser)
    parser.set_defaults(worker=f"lambda://{TAIL}", bucket=BUCKET)
    chosen = parse(parser, arguments)
    end_on_signals()
    try:
        return _run(chosen)
    except (splitnet.Error, RuntimeError, OSError) as error:
        print(f"emotion: {error}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace) -> int:
    page_settings = settings.from_options(chosen)
    say("starting the functions, S3 and the page")
    with emotion_cloud(page_settings.models, secrets.token_hex(32)) as aws:
        with running_page(page_settings.arguments, aws.environment) as page:
            if chosen.check:
                return check(aws, chosen)
            print(f"the page is at {page.url}; Ctrl-C ends it", flush=True)
            raise RuntimeError(f"the page ended with exit status {page.process.wait()}")


def check(aws: LocalAws, chosen: argparse.Namespace) -> int:
    """Measures, prints, writes."""
    measured = measure(aws, settings.from_options(chosen), chosen.link, chosen.rounds, chosen.cold_rounds, say)
    print(tables(measured))
    if chosen.json:
        document = asdict(measured) | {"theirs": THEIRS, "prices_as_of": prices.AS_OF, "sources": prices.SOURCES}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return status_of(measured.problems())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
