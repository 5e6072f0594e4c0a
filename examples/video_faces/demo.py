# SPDX-License-Identifier: Apache-2.0
"""Starts the cloud on this machine, records, shows who is seen, for a person or to check it: what `run` calls."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import splitnet
from common.command_line import ForCheck, add_check, count, end_on_signals, link, parse, say, status_of
from common.serving import port_number
from video_faces import cloud, measure, people, placing
from video_faces.live import Live, line
from video_faces.page import LivePage
from video_faces.pipeline import MAX_IN_FLIGHT, Pipeline, SeenFrame
from video_faces.placing import Networks, Sessions
from video_faces.recorder import Recorder
from video_faces.report import THEIRS, tables, verdict
from video_faces.video import Video


def main(arguments: Sequence[str]) -> int:
    """The exit status: with --check 0 when all is right. Without it, it runs until the video ends, Ctrl-C (130) or
    SIGTERM (143)."""
    parser = argparse.ArgumentParser(
        "examples/video_faces/run",
        description="Faces in video: found and named, split between this device and workers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_check(parser)
    parser.add_argument("--source", help="number of a camera, or a video file; none: the clip, again and again")
    parser.add_argument("--transport", choices=cloud.TRANSPORTS, default="sqs", help="how the workers are reached")
    parser.add_argument("--workers", type=count, default=2, metavar="N", help="processes; not with lambda")
    parser.add_argument(
        "--link",
        type=_link,
        default="up=20Mbit,down=50Mbit,delay=5ms",
        help="to the cloud, as shaped:// has it; the delay is one way; '' for none",
    )
    parser.add_argument("--frames-per-chunk", type=count, default=5, metavar="N", help="looked at of each half second")
    parser.add_argument("--as-fast-as-possible", action="store_true", help="read a file so, not at its frame rate")
    parser.add_argument("--on-workers", action="store_true", help="no plan: the device only sends pictures")
    parser.add_argument("--adaptive", action="store_true", help="plan anew before each pass, as link and workers are")
    parser.add_argument("--max-in-flight", type=count, default=MAX_IN_FLIGHT, metavar="N", help="frames under way")
    parser.add_argument("--port", type=port_number, default=0, help="of the page; 0 chooses a free one")
    parser.add_argument(
        "--rounds",
        action=ForCheck,
        type=count,
        default=5,
        metavar="N",
        help="with --check: of passes of each way to run",
    )
    parser.add_argument("--models", type=Path, default=placing.MODELS, help="folder of export_model.py")
    chosen = parse(parser, arguments)
    end_on_signals()
    try:
        return _run(chosen)
    except (splitnet.Error, RuntimeError, ValueError, OSError) as error:
        print(f"video_faces: {error}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace) -> int:
    if chosen.source is not None:
        Video(chosen.source).close()  # What can't be read is told before anything is started.
    networks = placing.load(chosen.models)
    say(f"starting the workers ({chosen.transport}), S3 and DynamoDB")
    with cloud.started(networks, chosen.transport, chosen.workers, chosen.models) as started:
        return _check(started, networks, chosen) if chosen.check else _live(started, networks, chosen)


def _check(started: cloud.Cloud, networks: Networks, chosen: argparse.Namespace) -> int:
    measured = measure.measure(
        started,
        networks,
        transport=chosen.transport,
        link=chosen.link,
        models=chosen.models,
        frames_per_chunk=chosen.frames_per_chunk,
        rounds=chosen.rounds,
        say=say,
    )
    print(tables(measured))
    if chosen.json:
        document = asdict(measured) | {"theirs": THEIRS}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return status_of(measured.problems())


def _live(started: cloud.Cloud, networks: Networks, chosen: argparse.Namespace) -> int:
    with placing.on_device(networks) as here:
        started.save_gallery(people.enroll(here, chosen.models))
    records = started.records()
    for record in people.RECORDS:
        records.put(record)
    sessions, where = _sessions(started, networks, chosen)
    print(where)
    live = Live(where)

    def show(seen: SeenFrame) -> None:
        live.add(seen)
        print(line(seen), flush=True)

    clip = str(chosen.models / "video_faces/caller.mp4")
    with (
        sessions,
        Video(chosen.source or clip, repeats=chosen.source is None) as video,
        LivePage(live, chosen.port) as page,
        Recorder(
            video, frames_per_chunk=chosen.frames_per_chunk, in_real_time=not chosen.as_fast_as_possible
        ) as recorder,
    ):
        print(f"the page is at {page.url}; Ctrl-C ends it", flush=True)
        pipeline = Pipeline(sessions, started.load_gallery(), records, show, chosen.max_in_flight)
        pipeline.run(recorder.chunks())
    if video.promised_frames and recorder.recorded < video.promised_frames:
        say(f"the file says that it has {video.promised_frames} frames, {recorder.recorded} could be read")
    return 0


def _sessions(started: cloud.Cloud, networks: Networks, chosen: argparse.Namespace) -> tuple[Sessions, str]:
    """Opened, and what runs where in words."""
    if chosen.on_workers:
        return measure.on_workers(started, networks, chosen.link), "both networks: worker only"
    say(f"planning for {chosen.link or 'this machine'}")
    calibration = placing.calibrated(networks, chosen.models)
    endpoints = started.through(chosen.link)
    opened, words = [], []
    for name, part in networks.by_name().items():
        plan = placing.make_plan(part, endpoints[name], calibration[name])
        print(f"{name}\n{verdict(plan.explain(0))}")
        opened.append(placing.open_planned(part, plan, started.spares(chosen.link), chosen.adaptive))
        words.append(f"{name}: {plan.cut}, codec {plan.codec}, {plan.latency_s * 1000:.0f} ms predicted")
    return Sessions(*opened), "\n".join(words)


def _link(text: str) -> str:
    """Empty: there is none."""
    return link(text) if text else text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
