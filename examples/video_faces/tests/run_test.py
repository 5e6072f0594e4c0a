# SPDX-License-Identifier: Apache-2.0
"""The whole example with one command: what it takes, its tables, and that it ends as it is told."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from common.package_files import ROOT
from common.tests.ctrl_c import hears_ctrl_c
from common.tests.wrong_usage import expect_wrong_usage
from video_faces.demo import main

RUN = ROOT / "examples/video_faces/run"


def ended(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUN, *arguments], capture_output=True, text=True, timeout=500)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    for option in ("--check", "--json", "--source", "--transport", "--link", "--frames-per-chunk"):
        assert option in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--beauty"], "unrecognized arguments: --beauty"),
        (["--json", "found.json"], "--json: found without --check"),
        (["--rounds", "2"], "--rounds: found without --check"),
        (["--rounds", "0"], "found '0', expected a whole number of at least 1"),
        (["--link", "up=fast"], "argument --link: "),
        (["--transport", "pigeon"], "invalid choice: 'pigeon'"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_started(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_wrong_usage(main, arguments, words, capsys)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "found an empty file"), (b"a poem", "which can't be opened, expected a video")]
)
def test_what_is_no_video_is_named_before_anything_is_started(
    models: Path, tmp_path: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert main(["--source", str(path)]) == 1
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    said = capsys.readouterr().err
    assert said.startswith("video_faces: ") and words in said and "starting" not in said


@pytest.mark.parametrize("transport", ["sqs", "lambda"])
def test_ctrl_c_ends_everything(models: Path, transport: str) -> None:
    """While the clip goes round, with workers or functions at work."""
    command: list[str | Path] = [RUN, "--on-workers", "--link", "", "--transport", transport]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = iter(process.stdout)
        assert next(lines) == "both networks: worker only\n"
        assert next(lines).startswith("the page is at http://127.0.0.1:")
        for _ in range(3):
            text = next(lines)
            assert text.startswith("frame ") and "The caller (" in text and "Telecommunications, senior" in text
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 4, "two workers or functions, the service of LocalAws, moto"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 130
        said = process.stderr.read()
        assert "Traceback" not in said, said
    assert psutil.wait_procs(started, timeout=30)[1] == []


def test_each_frame_of_a_file_is_named_as_planned(clip: str) -> None:
    to_workers = ("--transport", "tcp", "--link", "")
    told = ended("--source", clip, "--as-fast-as-possible", "--frames-per-chunk", "2", *to_workers)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "face_detector: " in told.stdout and "face_descriptor: " in told.stdout
    assert told.stdout.count("verdict: ") == 2 and max(map(len, told.stdout.splitlines())) <= 100
    shown = [line for line in told.stdout.splitlines() if line.startswith("frame ")]
    assert sorted(int(line.split()[1]) for line in shown) == [15 * chunk + at for chunk in range(8) for at in (3, 11)]
    assert all(re.search(r"  The caller \(0\.\d\d\), Telecommunications, senior", line) for line in shown), shown


@pytest.fixture(scope="module")
def checked(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What `--check` prints and writes."""
    file = tmp_path_factory.mktemp("check") / "found.json"
    told = ended("--check", "--rounds", "2", "--json", file)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout, json.loads(file.read_text())


@pytest.mark.long
def test_the_tables_have_theirs_beside_ours(checked: tuple[str, dict[str, Any]]) -> None:
    text, found = checked
    for words in ("60 to 68 %", "mostly under 2 s", "until named", "verdict: ", "(planned)", "people in the gallery"):
        assert words in text, words
    assert found["theirs"]["lost"] == "0"


def small(found: dict[str, Any]) -> list[str]:
    """The run on a slower device, where there can be one: it takes version 1 of control groups."""
    return [] if found["no_small_device"] else ["small device"]


@pytest.mark.long
def test_no_frame_is_lost_and_the_caller_is_recognised(checked: tuple[str, dict[str, Any]]) -> None:
    _, found = checked
    first = ["as theirs", "every frame, on the workers", "as planned", "every frame, as planned"]
    whats = [*first, *small(found), "a worker killed"]
    assert [run["what"] for run in found["runs"]] == whats
    for run in found["runs"]:
        assert run["recorded"] == 120 and run["answered"] == run["sent"] and run["failed"] == run["twice"] == 0
        assert run["named"] >= 0.9 * run["to_be_named"] > 0 and run["misnamed"] == 0
    assert [run["sent"] for run in found["runs"]] == [8, 120, 40, 120, *(40 for _ in small(found)), 40]
    as_theirs, every_frame = found["runs"][:2]
    assert as_theirs["in_real_time"] and not every_frame["in_real_time"]
    for run in (as_theirs, every_frame):
        assert run["finished_by_workers"] == 2 * run["sent"], "each frame, and the face in it"
    for run in found["runs"]:
        assert run["finished_here"] + run["finished_by_workers"] == 2 * run["sent"]
    assert found["faces_where_none_are"] == 0 and found["no_faces"]["answered"] == 250
    assert (found["people"], found["pictures_enrolled"], found["record_reads"]) == (4, 9, 1)


@pytest.mark.long
def test_each_network_was_measured_where_it_may_run(checked: tuple[str, dict[str, Any]]) -> None:
    _, found = checked
    devices = ["this machine", *("a fifth of this machine" for _ in small(found))]
    for network, device in itertools.product(("face_detector", "face_descriptor"), devices):
        ways = [way for way in found["ways"] if (way["network"], way["device"]) == (network, device)]
        assert len(ways) == 3 and [way["is_pick"] for way in ways] == [True, False, False]
        assert {"device only", "worker only"} <= {way["where"] for way in ways}
        assert all(way["measured_s"] > 0 and way["predicted_s"] > 0 for way in ways)
        assert all((way["sent_bytes"] == 0) == (way["where"] == "device only") for way in ways)
