# SPDX-License-Identifier: Apache-2.0
"""The demonstration as a person starts it, and as a check."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from classify.asking import Question, ask_all, stored_labels
from classify.demo import main
from classify.tests.coco_model import write_coco
from common.package_files import ROOT
from common.tests.ctrl_c import hears_ctrl_c
from common.tests.wrong_usage import expect_wrong_usage

RUN = ROOT / "examples/classify/run"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--beauty"], "unrecognized arguments: --beauty"),
        (["--json", "found.json"], "--json: found without --check"),
        (["--few", "4"], "--few: found without --check"),
        (["--many", "0"], "found '0', expected a whole number of at least 1"),
        (["--models"], "--models: expected one argument"),
        (["--max-workers-per-model", "many"], "found 'many', expected a whole number of at least 1"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_started(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_wrong_usage(main, arguments, words, capsys)


@contextmanager
def started(*options: str, ended_by: int = signal.SIGTERM) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """For a person, until the block ends; and what was said until all of it was there."""
    command = [str(RUN), "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears_ctrl_c
    ) as process:
        assert process.stdout is not None
        try:
            said = ""
            while "listening on" not in said:
                line = process.stdout.readline()
                assert line, f"it ended: {process.wait()}\n{said}"
                said += line
            yield process, said
        finally:
            process.send_signal(ended_by)


def test_for_a_person(tmp_path: Path) -> None:
    """Who has a model of their own, too."""
    with started("--models", str(write_coco(tmp_path))) as (process, said):
        curl = re.search(r"curl '(.*)'", said)
        assert curl
        with urllib.request.urlopen(curl[1], timeout=100) as answer:
            found = json.load(answer)
            assert answer.headers["X-Request-Id"] == found["id"]
        assert found["label"] == "bull mastiff"
        pages = re.search(r"listening on (http\S+)", said)
        assert pages
        with urllib.request.urlopen(f"{pages[1]}/mobilenet_v2/", timeout=30) as page:
            assert page.status == 200
        _some_at_once(*curl[1].split("/classify?url="))
        with urllib.request.urlopen(f"{curl[1]}&model=coco", timeout=100) as answer:
            assert json.load(answer)["label"] == "dog"
        with urllib.request.urlopen(f"{pages[1]}/coco/", timeout=30) as page:
            assert page.status == 200
    assert process.returncode == 143


def test_ctrl_c_ends_everything() -> None:
    with started(ended_by=signal.SIGINT) as (process, _):
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4, "the photos, the service, the services of LocalAws, moto"
    assert process.returncode == 130
    assert psutil.wait_procs(children, timeout=30)[1] == []


def _some_at_once(service: str, photo: str) -> None:
    """Each of four photos, asked of two models at once: all are answered, and the answers stay."""
    folder = photo.rpartition("/")[0]
    with urllib.request.urlopen(f"{folder}/", timeout=30) as listed:
        names = json.load(listed)[:4]
    models = ("mobilenet_v2", "efficientnet_lite0")
    replies = ask_all(service, [Question(f"{folder}/{name}", model) for name in names for model in models])
    assert [reply.status for reply in replies] == [200] * 8, replies
    assert len({reply.id for reply in replies}) == 8
    assert stored_labels(service, replies) == [reply.label for reply in replies]


@pytest.mark.long
def test_as_a_check(tmp_path: Path) -> None:
    document = tmp_path / "found.json"
    done = subprocess.run([RUN, "--check", "--json", document], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert "theirs: 40 at once" in done.stdout and "38 of 40" in done.stdout
    found = json.loads(document.read_text())
    asked = [(run["requests"], run["answered"], run["right"], run["wrong"]) for run in found["runs"]]
    assert asked == [(count, count, count, []) for count in (40, 40, 40, 400, 400)]
    assert found["runs"][-1]["killed"] >= 1
