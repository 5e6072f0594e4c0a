# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: the program in a process of its own, a worker, and the schemas."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

DOCS = Path(__file__).resolve().parents[3] / "docs"
INPUT = "1x3x16x16"  # Of conftest.SmallNet.
COMMANDS = ("layers", "profile", "link", "calibrate", "plan", "split", "worker", "run", "sweep", "report", "doctor")
PROGRAM = (sys.executable, "-m", "splitnet")
_LONGEST_S = 300

# Fails when torch was imported.
WITHOUT_TORCH = (
    sys.executable,
    "-c",
    "import sys; from splitnet.cli import main; code = main(sys.argv[1:]); "
    "sys.exit('torch was imported' if 'torch._C' in sys.modules else code)",
)


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    code: int
    out: str
    err: str

    def document(self, schema: str) -> Any:
        """The only thing on standard output, as the schema says."""
        assert self.code == 0, self.err
        document = json.loads(self.out)
        check(document, schema)
        return document


def run(*words: object, program: tuple[str, ...] = PROGRAM, **options: Any) -> Outcome:
    """The program to its end."""
    environment = {**os.environ, **options.pop("env", {})}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    ended = subprocess.run(  # noqa: PLW1510 (the tests look at the code)
        [*program, *map(str, words)], text=True, timeout=_LONGEST_S, env=environment, **streams
    )
    return Outcome(ended.returncode, ended.stdout or "", ended.stderr or "")


def check(document: Any, schema: str) -> None:
    """Raises ValidationError: it is not as docs/schemas says."""
    validator(schema).validate(document)


def validator(schema: str) -> Draft202012Validator:
    """Of a schema by its command."""
    files = {path.name: json.loads(path.read_text()) for path in (DOCS / "schemas").glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        [(name, Resource.from_contents(content)) for name, content in files.items()]
    )
    return Draft202012Validator(files[f"{schema}.schema.json"], registry=registry)


@contextmanager
def worker(model: Path) -> Iterator[str]:
    """`splitnet worker` on a free port; gives its endpoint."""
    process = subprocess.Popen(
        [*PROGRAM, "worker", str(model), "--input", INPUT, "--listen", "tcp://127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield line.removeprefix("listening on ").strip()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=_LONGEST_S) == 0


def assert_one_sentence(text: str, *parts: str) -> None:
    """On standard error: no traceback, and a sentence that has these parts, with what to try behind it."""
    assert "Traceback" not in text, text
    told = text[text.index("splitnet: ") :].splitlines()
    assert len(told) <= 2, text
    assert all(line.startswith("try: ") for line in told[1:]), text
    for part in parts:
        assert part in "\n".join(told), text
