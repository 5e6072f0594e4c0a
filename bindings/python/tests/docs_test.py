# SPDX-License-Identifier: Apache-2.0
"""What README and docs show in Python and in a shell is run, page by page, from top to bottom."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_tools import INPUT, worker as serving

ROOT = Path(__file__).resolve().parents[3]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Pages name this endpoint; in the tests the worker has one of its own.
ENDPOINT = "tcp://127.0.0.1:7070"
PAGES = ["README.md", "docs/first_plan.md", "docs/command_line.md"]


def blocks(page: str, *languages: str) -> list[str]:
    return [code for language, code in FENCE.findall((ROOT / page).read_text()) if language in languages]


@pytest.fixture
def folder(tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model that the pages speak of."""
    shutil.copy(model_file, tmp_path / "classifier.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def endpoint(folder: Path) -> Iterator[str]:
    with serving(folder / "classifier.pt") as address:
        yield address


def adapted(text: str, endpoint: str) -> str:
    """The tests' model has other layers and takes smaller pictures, and their worker listens elsewhere."""
    return text.replace(ENDPOINT, endpoint).replace("224", "16").replace('"features.3"', '"first"')


def run(program: str, folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{program}\n{ended.stdout}{ended.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python(page: str, folder: Path, endpoint: str) -> None:
    made = "import torch\nphoto = torch.rand(1, 3, 16, 16)\n"
    run(adapted(made + "\n".join(blocks(page, "python")), endpoint), folder)


def commands(page: str) -> list[str]:
    """Lines of shell blocks that call the program, continued lines joined."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("splitnet ")]


@pytest.mark.parametrize(
    "command", [command for page in PAGES for command in commands(page) if not command.startswith("splitnet worker")]
)
def test_shell(command: str, folder: Path, endpoint: str) -> None:
    words = shlex.split(adapted(command, endpoint).split(" > ")[0])
    environment = os.environ | {"COLUMNS": "120"}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *words], cwd=folder, capture_output=True, text=True, timeout=180,
        env=environment, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"


def test_the_worker_of_the_pages_starts(folder: Path) -> None:
    shown = [command for page in PAGES for command in commands(page) if command.startswith("splitnet worker")]
    assert shown
    for command in shown:
        words = shlex.split(adapted(command, "tcp://127.0.0.1:0"))
        assert words[2] == "classifier.pt"
        assert words[words.index("--input") + 1] == INPUT
        with serving(folder / "classifier.pt"):
            pass
