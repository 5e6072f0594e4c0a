# SPDX-License-Identifier: Apache-2.0
"""Bad input and bad luck: one sentence, the next thing to try, and no traceback."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import splitnet
from cli_tools import INPUT, PROGRAM, Outcome, assert_one_sentence, check, run, worker
from conftest import SmallNet
from splitnet.cli import main
from splitnet.cli.failures import Failure

NOBODY = "tcp://127.0.0.1:1"
TOKEN = "a-token-that-is-long-enough-to-be-one"
Told = Callable[..., str]


@pytest.fixture(scope="module")
def endpoint(model_file: Path) -> Iterator[str]:
    with worker(model_file) as served:
        yield served


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """What a command that ends with `code` says on standard error; nothing stands on standard output."""

    def run_here(code: int, *words: object) -> str:
        assert main(list(map(str, words))) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    return run_here


# ---- The model.


def test_a_file_that_is_not_there(model_file: Path, told: Told) -> None:
    message = told(1, "layers", model_file.with_name("smal.pt"))
    assert_one_sentence(message, "there is no file", f"try: {model_file}")


def test_a_directory(tmp_path: Path, told: Told) -> None:
    assert_one_sentence(told(1, "layers", tmp_path), "is a directory, expected a TorchScript file")


def test_a_file_that_is_no_model(tmp_path: Path, told: Told) -> None:
    (tmp_path / "text.pt").write_text("hello")
    assert_one_sentence(told(1, "layers", tmp_path / "text.pt"), "not an intact TorchScript file", "torch.jit.trace")


def test_a_module_that_was_never_traced(tmp_path: Path, told: Told) -> None:
    torch.save(SmallNet().state_dict(), tmp_path / "weights.pt")
    message = told(1, "layers", tmp_path / "weights.pt")
    assert_one_sentence(message, "not an intact TorchScript file", "try: to save the module as TorchScript")


class Counting(torch.nn.Module):
    """Changes itself when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


def test_a_model_that_keeps_state(tmp_path: Path, told: Told) -> None:
    torch.jit.script(Counting()).save(str(tmp_path / "counting.pt"))  # type: ignore[no-untyped-call]
    assert_one_sentence(told(1, "layers", tmp_path / "counting.pt"), "keeps state in 'calls'", "try: ")


def test_an_input_file_that_is_none(model_file: Path, tmp_path: Path, told: Told) -> None:
    (tmp_path / "text.pt").write_text("hello")
    message = told(1, "run", model_file, "--input-file", tmp_path / "text.pt")
    assert_one_sentence(message, "is not a file of tensors", "try: in Python, torch.save")


def test_a_bound_on_accuracy_needs_a_calibration(model_file: Path, told: Told) -> None:
    words = ["--worker", NOBODY, "--input", INPUT, "--codec", "int2", "--max-accuracy-loss", 0]
    assert_one_sentence(told(2, "plan", model_file, *words), "what int2 does to the answers is not known", "calibrate")


def test_a_cut_behind_the_last_layer(model_file: Path, tmp_path: Path, told: Told) -> None:
    message = told(1, "split", model_file, "--after", "classify", "--output-dir", tmp_path)
    assert_one_sentence(message, "a cut behind the last layer", "try: --after an earlier layer")


def test_closed_standard_output(model_file: Path) -> None:
    words = [*PROGRAM, "layers", str(model_file), "--input", INPUT]
    ended = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *words], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0


def test_a_wrong_shape(model_file: Path, told: Told) -> None:
    message = told(1, "layers", model_file, "--input", "1x4x16x16")
    assert_one_sentence(message, "expected input[1, 4, 16, 16] to have 3 channels", "try: --input with other shapes")


def test_an_unknown_layer(model_file: Path, tmp_path: Path, told: Told) -> None:
    message = told(1, "split", model_file, "--after", "secnd", "--output-dir", tmp_path / "stages")
    assert_one_sentence(message, "'secnd'", "near names: 'second'")
    assert not (tmp_path / "stages").exists()


# ---- The command line.


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--input", "1x3xbig"], "'1x3xbig' is no shape"),
        (["--input", "1x3:f99"], "'f99' is no dtype: expected one of f32"),
        (["--input", INPUT, "--max-latency", "5"], "--max-latency: '5' is no time"),
        ([], "the model's inputs are needed"),
        (["--input", INPUT, "--objective", "fame"], "'fame'"),
        (["--input", INPUT, "--bogus"], "--bogus"),
    ],
)
def test_wrong_usage(model_file: Path, told: Told, words: list[str], part: str) -> None:
    message = told(2, "plan", model_file, "--worker", NOBODY, *words)
    assert_one_sentence(message, part, "try: splitnet plan --help")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--after", "first"], "without --worker"),
        (["--worker", NOBODY, "--after", "first", "--objective", "latency"], "expected one of them"),
        (["--worker", NOBODY, "--policy", "adaptive"], "--policy needs an --objective"),
        (["--worker", NOBODY, "--codec", "f16", "--codec", "int8"], "found 2 codecs"),
    ],
)
def test_options_that_do_not_go_together(model_file: Path, told: Told, words: list[str], part: str) -> None:
    assert_one_sentence(told(2, "run", model_file, "--input", INPUT, *words), part, "try: splitnet run --help")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--bandwidth", "1,5"], "'5' is no bandwidth"),
        (["--bandwidth", "1,5Mbit", "--down", "1,2,3Mbit"], "--down has 3 rates"),
        (["--bandwidth", "1Mbit,1000kbit"], "has a link twice"),
        (["--down", "1Mbit"], "--down needs --bandwidth"),
    ],
)
def test_links_that_mean_nothing(model_file: Path, told: Told, words: list[str], part: str) -> None:
    assert_one_sentence(told(2, "sweep", model_file, "--worker", NOBODY, "--input", INPUT, *words), part)


def test_an_unknown_command(told: Told) -> None:
    assert_one_sentence(told(2, "swep"), "'swep'", "sweep")


# ---- The worker.


def test_no_worker_there(model_file: Path, told: Told) -> None:
    message = told(1, "run", model_file, "--worker", NOBODY, "--input", INPUT)
    assert_one_sentence(message, f"'{NOBODY}': Connection refused")
    assert f"try: splitnet worker {model_file} --input {INPUT} --listen {NOBODY}" in message


def test_no_worker_on_another_machine(told: Told) -> None:
    endpoint = "tcp://nobody.invalid:7070"
    assert_one_sentence(told(1, "link", endpoint), "host name", f"try: splitnet doctor --worker {endpoint}")


def test_a_worker_with_another_model(tmp_path: Path, endpoint: str, told: Told) -> None:
    path = tmp_path / "other.pt"
    torch.jit.trace(torch.nn.Linear(4, 4), torch.ones(1, 4)).save(str(path))  # type: ignore[no-untyped-call]
    message = told(1, "run", path, "--worker", endpoint, "--input", "1x4")
    assert_one_sentence(message, "no model with fingerprint", f"try: to serve the same file: splitnet worker {path}")


def test_an_endpoint_without_a_scheme(told: Told) -> None:
    assert_one_sentence(told(1, "link", "127.0.0.1:7070"), "no scheme", "try: tcp://127.0.0.1:7070")


def test_a_worker_that_wants_a_token(
    part: splitnet.Partitioner, model_file: Path, tmp_path: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    with splitnet.Worker(part, token=TOKEN) as served:
        assert_one_sentence(told(1, "link", served.address), "a token is needed", "try: --token-file FILE")
        words = ["--worker", served.address, "--token-file", str(file), "--input", INPUT]
        assert main(["run", str(model_file), *words]) == 0
        assert f"answered by {served.address}" in capsys.readouterr().out
        assert main(["sweep", str(model_file), *words, "--cuts", "1", "--repetitions", "1", "--json"]) == 0
    swept = json.loads(capsys.readouterr().out)["sweep"]["links"][0]["rows"]
    assert all(not row["not_measured"] for row in swept)


def test_a_port_in_use(model_file: Path, endpoint: str) -> None:
    refused = run("worker", model_file, "--listen", endpoint)
    assert refused.code == 1
    assert f"listen on '{endpoint}': Address already in use" in refused.err
    assert "Traceback" not in refused.err


def test_the_doctor_finds_a_port_in_use(
    endpoint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["doctor", "--listen", endpoint]) == 1
    captured = capsys.readouterr()
    assert re.search(r"^fail +port: .*Address already in use\n +try: another --listen", captured.out, re.MULTILINE)
    assert "1 of 8 checks failed: port" in captured.err


# ---- The machine.


def test_another_torch(tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text('__version__ = "1.0.0"')
    failed = run("layers", model_file, env={"PYTHONPATH": str(tmp_path)})
    assert failed.code == 1
    assert_one_sentence(failed.err, "this splitnet was built for torch", "found torch 1.0.0", "try: splitnet doctor")


def test_the_doctor_knows_another_torch(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text('__version__ = "1.0.0"')
    failed = run("doctor", "--json", env={"PYTHONPATH": str(tmp_path)})
    assert failed.code == 1
    document = json.loads(failed.out)
    check(document, "doctor")
    assert [one["status"] for one in document["checks"] if one["name"] == "torch"] == ["fail"]


def test_a_full_disk_behind_standard_output(model_file: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        failed = run("layers", model_file, "--json", stdout=full)
    assert failed.code == 1
    assert_one_sentence(failed.err, "can't write to standard output: No space left on device", "try: ")


def test_a_full_disk_behind_a_file(model_file: Path, told: Told) -> None:
    message = told(1, "run", model_file, "--input", INPUT, "--output", "/dev/full")
    assert_one_sentence(message, "can't write /dev/full: No space left on device", "try: another place")


def test_what_can_not_be_written_whole_leaves_the_file_as_it_was(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "output.pt"
    path.write_text("as it was")

    def allow_100_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    failed = run("run", model_file, "--input", INPUT, "--output", path, preexec_fn=allow_100_bytes)
    assert failed.code == 1
    assert_one_sentence(failed.err, f"can't write {path}: File too large")
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_can_not_be_written_is_found_before_measuring(
    model_file: Path, tmp_path: Path, told: Told
) -> None:
    path = tmp_path / "nowhere" / "sweep.json"
    message = told(1, "sweep", model_file, "--worker", NOBODY, "--input", INPUT, "--output", path)
    assert_one_sentence(message, f"there is no directory {path.parent}", "try: mkdir -p")


def test_a_sweep_that_can_not_be_kept_is_printed(
    model_file: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--worker", endpoint, "--input", INPUT, "--repetitions", "1", "--cuts", "1", "--output", "/dev/full"]
    assert main(["sweep", str(model_file), *words]) == 1
    captured = capsys.readouterr()
    check(json.loads(captured.out), "sweep")
    assert_one_sentence(captured.err, "can't write /dev/full: No space left on device")


def test_nobody_reads_on(model_file: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "layers", str(model_file), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def sweep_until(line: str, act: Callable[[subprocess.Popen[str]], object], *words: object) -> Outcome:
    """A sweep over two links, in which something happens when it says `line`: then it has measured on that link."""
    with subprocess.Popen(
        [*PROGRAM, "sweep", *map(str, words), "--input", INPUT, "--bandwidth", "50,100Mbit"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        while not process.stderr.readline().startswith(line):
            assert process.poll() is None
        act(process)
        table, message = process.stdout.read(), process.stderr.read()
    return Outcome(process.returncode, table, message)


def test_a_worker_that_dies_in_a_sweep(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    serve = [*PROGRAM, "worker", str(model_file), "--input", INPUT, "--listen", "tcp://127.0.0.1:0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as served:
        assert served.stdout
        endpoint = served.stdout.readline().removeprefix("listening on ").strip()
        words = [model_file, "--worker", endpoint, "--cuts", 2, "--repetitions", 30, "--output", path]
        ended = sweep_until("link 2 of 2", lambda _: served.kill(), *words)
    assert ended.code == 1
    assert_one_sentence(ended.err, "the sweep ended early", f"try: splitnet doctor --worker {endpoint}")
    assert "50 Mbit/s" in ended.out
    document = json.loads(path.read_text())
    check(document, "sweep")
    assert document["sweep"]["failure"]
    assert all(not row["not_measured"] for row in document["sweep"]["links"][0]["rows"])


def test_ctrl_c_in_a_sweep_keeps_what_was_measured(model_file: Path, endpoint: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    words = [model_file, "--worker", endpoint, "--repetitions", 1000, "--output", path]
    ended = sweep_until("link 1 of 2", lambda process: process.send_signal(signal.SIGINT), *words)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert "splitnet: interrupted; this is what was measured until then" in ended.err
    assert "50 Mbit/s" in ended.out
    document = json.loads(path.read_text())
    check(document, "sweep")
    assert document["interrupted"]
    (link,) = document["sweep"]["links"]
    measured = [len(row["first_s"]) for row in link["rows"] if not row["not_measured"]]
    assert 1 <= max(measured) < 1000


@pytest.mark.parametrize("place", [0, 2])
def test_debug_leaves_the_error_to_the_interpreter(tmp_path: Path, place: int) -> None:
    (tmp_path / "text.pt").write_text("hello")
    words = ["layers", str(tmp_path / "text.pt")]
    words.insert(place, "--debug")
    with pytest.raises(Failure) as raised:
        main(words)
    assert isinstance(raised.value.__cause__, splitnet.Corrupt)


def test_a_bug_is_no_traceback_either(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(sys.modules["splitnet.cli.layers"], "load_model", broken)
    assert_one_sentence(told(1, "layers", "model.pt"), "ZeroDivisionError: a bug", "try: splitnet --debug")


def test_a_sweep_file_that_is_none(tmp_path: Path, told: Told) -> None:
    (tmp_path / "sweep.json").write_text("{")
    assert_one_sentence(told(1, "report", tmp_path / "sweep.json"), "is not JSON", "try: splitnet sweep")
    assert list(tmp_path.iterdir()) == [tmp_path / "sweep.json"]
