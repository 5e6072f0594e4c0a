# SPDX-License-Identifier: Apache-2.0
"""Starts the functions, the bucket and the page, for a person or to check them: what `run` calls."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from common import prices
from emotion.cloud import BUCKET, TAIL, emotion_cloud
from emotion.measure import Link, measure
from emotion.measure_table import THEIRS, tables
from emotion.page_server import PageServer
from emotion.settings import MODELS
from local_aws import LocalAws


def main(arguments: Sequence[str]) -> int:
    """0: it ran until Ctrl-C or SIGTERM ended it; with --check: all is right."""
    parser = argparse.ArgumentParser(
        "examples/emotion/run",
        description="Hybrid emotion recognition: the page, with its functions on this machine.",
        epilog="Other options go to the page: see settings.py.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="start everything, measure, print the table, and end")
    parser.add_argument("--rounds", type=int, default=5, help="hot calls of each way that --check measures")
    parser.add_argument("--cold-rounds", type=int, default=3, help="cold calls of each way")
    parser.add_argument("--up", type=float, default=2, help="Mbit/s to the cloud that --check measures over")
    parser.add_argument("--down", type=float, default=8, help="Mbit/s from the cloud")
    parser.add_argument("--delay-ms", type=float, default=10, help="one way")
    parser.add_argument("--json", type=Path, help="where --check writes all that it found, too")
    chosen, of_page = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with emotion_cloud() as aws:
            page_arguments = ["--worker", f"lambda://{TAIL}", "--bucket", BUCKET, *of_page]
            with PageServer(page_arguments, aws.environment) as page:
                print(f"the page is at {page.url}; Ctrl-C ends it", flush=True)
                return check(aws, chosen) if chosen.check else page.process.wait()
    except KeyboardInterrupt:
        return 0


def check(aws: LocalAws, chosen: argparse.Namespace) -> int:
    """Measures, prints, writes."""
    link = Link(chosen.up, chosen.down, chosen.delay_ms * 1e-3)
    measured = measure(aws, (MODELS / "emotion_photo.jpg").read_bytes(), link, chosen.rounds, chosen.cold_rounds)
    print(tables(measured))
    if chosen.json:
        document = asdict(measured) | {"theirs": THEIRS, "prices_as_of": prices.AS_OF, "sources": prices.SOURCES}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for problem in measured.problems():
        print(f"wrong: {problem}", file=sys.stderr)
    return 1 if measured.problems() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
