# SPDX-License-Identifier: Apache-2.0
"""Settings come from the command line or the environment, and what is wrong with them is said."""

from __future__ import annotations

import pytest

from emotion.settings import Settings, parse


def settings(*arguments: str) -> Settings:
    return parse(arguments, "test", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--objective", "beauty"], "--objective: found 'beauty', expected one of latency, dollars, throughput"),
        (["--max-accuracy-loss", "2"], "found '2', expected a number in 0..1"),
        (["--max-accuracy-loss", "nan"], "found 'nan'"),
        (["--min-head-layers", "0"], "found '0', expected a whole number of at least 1"),
        (["--min-head-layers", "all"], "found 'all'"),
        (["--deadline-s", "-1"], "expected a number above 0"),
        (["--beauty"], "unrecognized arguments: --beauty"),
    ],
)
def test_wrong_settings_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings(*arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_settings_come_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMOTION_WORKER", "lambda://emotion-tail")
    monkeypatch.setenv("EMOTION_MEMORY_MEGABYTES", "512")
    assert settings().worker == "lambda://emotion-tail"
    assert settings().memory_megabytes == 512
    assert settings("--worker", "tcp://127.0.0.1:9").worker == "tcp://127.0.0.1:9"
    monkeypatch.setenv("EMOTION_OBJECTIVE", "beauty")
    with pytest.raises(SystemExit):
        settings()
    assert "found 'beauty'" in capsys.readouterr().err


def test_a_command_line_gives_the_same_settings_again() -> None:
    chosen = settings(
        "--worker", "lambda://tail", "--max-accuracy-loss", "0.25", "--deadline-s", "3", "--bucket", "b c"
    )
    assert settings(*chosen.arguments) == chosen
