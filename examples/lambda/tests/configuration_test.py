# SPDX-License-Identifier: Apache-2.0
"""Configurations as values and as files, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local_aws import Configuration, Function, S3Trigger, SqsSource

from .conftest import TESTS


def test_file_is_read_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "aws.toml"
    path.write_text(
        """
        region = "us-east-1"
        buckets = ["photos"]
        tables = [["pictures", "picture_url"]]
        [[functions]]
        name = "one"
        command = ["./bootstrap", "../model.pt", "--flag"]
        environment = { KEY = "value" }
        [[triggers]]
        bucket = "photos"
        function = "one"
        [[sources]]
        queue = "requests"
        function = "one"
        batch_size = 5
        """
    )
    found = Configuration.from_toml(path)
    one = Function(
        "one", [str(tmp_path / "bootstrap"), str(tmp_path.parent / "model.pt"), "--flag"], environment={"KEY": "value"}
    )
    assert found == Configuration(
        functions=[one],
        buckets=["photos"],
        tables=[("pictures", "picture_url")],
        triggers=[S3Trigger("photos", "one")],
        sources=[SqsSource("requests", "one", batch_size=5, dead_letter_queue="requests-dead-letters")],
        region="us-east-1",
    )
    assert one.working_directory == str(tmp_path)
    assert Configuration.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volume = 3", "volume: Unexpected keyword argument, found 3"),
        ("tables = [['a']]", "tables.0.1: Field required"),
        ("[[functions]]\nname = 'a'", "functions.0.command: "),
        ("[[functions]]\nname = 'a b'\ncommand = ['/bin/true']", "name of a function is 'a b'"),
        ("[[functions]]\nname = 'a'\ncommand = ['run']", "expected an absolute path first"),
        ("[[functions]]\nname = 'a'\ncommand = ['/r']\nmemory_megabytes = 64", "is 64, expected 128 to 10,240"),
        ("[[functions]]\nname = 'a'\ncommand = ['/r']\ntimeout_s = 901", "is 901, expected 1 to 900"),
        ("[[functions]]\nname = 'a'\ncommand = ['/r']\ntimeout_s = 'long'", "functions.0.timeout_s: .*, found 'long'"),
        ("[[functions]]\nname = 'a'\ncommand = ['/r']\nconcurrency = 0", "is 0, expected 1 to 1,000"),
        ("[[triggers]]\nbucket = 'b'\nfunction = 'f'", r"function 'f', expected one of \[\]"),
        ("[[sources]]\nqueue = 'q'\nfunction = 'f'", r"source names function 'f', expected one of \[\]"),
        ("[[sources]]\nqueue = 'q'\nfunction = 'f'\nbatch_size = 0", "batch_size is 0, expected 1 to 10,000"),
        ("[[sources]]\nqueue = 'q'\nfunction = 'f'\nbatch_size = 11", "batching_window_s is 0, expected 1 to 300"),
        ("[[sources]]\nqueue = 'q'\nfunction = 'f'\nmax_concurrency = 1", "max_concurrency is 1, expected 2 to 1,000"),
        ("functions = 3", "functions"),
        ("= nonsense", "line 1"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "aws.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Configuration.from_toml(path)
    shown = subprocess.run(
        [sys.executable, "-m", "local_aws", str(path)], cwd=TESTS.parent, capture_output=True, text=True
    )
    assert shown.returncode == 1 and str(path) in shown.stderr and "Traceback" not in shown.stderr


def test_help_shows_the_settings() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "local_aws", "--help"], cwd=TESTS.parent, capture_output=True, text=True
    )
    assert shown.returncode == 0
    for name in ("memory_megabytes", "concurrency", "[[triggers]]", "CONFIG.toml"):
        assert name in shown.stdout
