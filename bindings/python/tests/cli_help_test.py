# SPDX-License-Identifier: Apache-2.0
"""What the program says about itself."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest
from splitnet._build_info import VERSION

from cli_tools import COMMANDS, DOCS, PROGRAM, WITHOUT_TORCH, run, validator
from splitnet.cli import main

IN_THIS_PROCESS = [name for name in COMMANDS if name != "worker"]


@pytest.mark.parametrize("command", IN_THIS_PROCESS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"splitnet {command} [OPTIONS]" in text
    assert "--help" in text


def test_the_program_lists_its_commands() -> None:
    listed = run("-h")
    assert listed.code == 0
    assert [name for name in COMMANDS if not re.search(rf"^\W*{name} ", listed.out, re.MULTILINE)] == []
    assert "130" in listed.out
    assert listed.err == ""


def test_help_of_worker_is_that_of_the_bundled_program() -> None:
    helped = run("worker", "--help")
    assert helped.code == 0
    assert "splitnet-worker [OPTIONS]" in helped.out
    assert "--executors" in helped.out


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("sweep", "--help"), ("sweep", "--bogus")])
def test_nothing_heavy_is_imported_before_it_is_needed(words: tuple[str, ...]) -> None:
    ended = run(*words, program=WITHOUT_TORCH)
    assert ended.code == (2 if "--bogus" in words else 0), ended.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"splitnet {VERSION}, built for torch ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SPLITNET_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "splitnet pro")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "splitnet pro")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    with pytest.raises(SystemExit):
        main([])
    suggested = capsys.readouterr().out
    assert "profile" in suggested
    assert "sweep" not in suggested


def colours_of_help(**environment: str) -> list[str]:
    """Escape sequences for colours in what a terminal gets."""
    terminal, end = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    with subprocess.Popen([*PROGRAM, "--help"], stdout=end, env={**clean, "TERM": "xterm", **environment}) as process:
        os.close(end)
        content = b""
        try:
            while block := os.read(terminal, 4096):
                content += block
        except OSError:  # Linux says so when the other end is closed.
            pass
    os.close(terminal)
    assert process.returncode == 0
    assert b"sweep" in content
    return re.findall(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", content.decode())


def test_no_color() -> None:
    assert colours_of_help() != []
    assert colours_of_help(NO_COLOR="1") == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documentation_has_every_command(command: str) -> None:
    assert f"## `splitnet {command}" in (DOCS / "command_line.md").read_text()


@pytest.mark.parametrize("path", sorted((DOCS / "schemas").glob("*.json")), ids=lambda path: str(path.stem))
def test_every_schema_is_one_and_documented(path: os.PathLike[str]) -> None:
    name = os.path.basename(path)
    one = validator(name.removesuffix(".schema.json"))
    one.check_schema(one.schema)
    assert f"(schemas/{name})" in (DOCS / "command_line.md").read_text()
