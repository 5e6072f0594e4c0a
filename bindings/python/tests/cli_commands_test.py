# SPDX-License-Identifier: Apache-2.0
"""Every command, run for real: the program in a process of its own, before a worker in another one."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import torch

import splitnet
from cli_tools import INPUT, WITHOUT_TORCH, check, run, worker
from splitnet.cli import main


@pytest.fixture(scope="module")
def endpoint(model_file: Path) -> Iterator[str]:
    with worker(model_file) as served:
        yield served


@pytest.fixture(scope="module")
def examples_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "examples.pt"
    torch.save(torch.rand((12, 3, 16, 16), generator=torch.Generator().manual_seed(2)), path)
    return path


@pytest.fixture(scope="module")
def calibration_file(model_file: Path, examples_file: Path) -> Path:
    """Of the cut behind the second convolution's block."""
    path = examples_file.with_name("calibration.json")
    words = ("--after", "add", "--output", path, "--json")
    document = run("calibrate", model_file, "--examples", examples_file, *words).document("calibrate")
    assert json.loads(path.read_text()) == document
    return path


@pytest.fixture(scope="module")
def sweep_file(model_file: Path, endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "sweep.json"
    shape = ("--bandwidth", "1,100Mbit", "--rtt", "2ms", "--repetitions", 1, "--cuts", 2, "--codec", "int8")
    ended = run("sweep", model_file, "--worker", endpoint, "--input", INPUT, *shape, "--output", path, "--json")
    assert json.loads(path.read_text()) == ended.document("sweep")
    assert "link 2 of 2: 100 Mbit/s, 2 ms" in ended.err
    return path


def test_layers(model_file: Path) -> None:
    document = run("layers", model_file, "--input", INPUT, "--json").document("layers")
    assert document["input_bytes"] == 4 * 3 * 16 * 16
    by_name = {layer["name"]: layer for layer in document["layers"]}
    assert by_name["first"]["boundary_bytes"] == 4 * 8 * 16 * 16
    assert by_name["second"]["boundary_bytes"] == 2 * 4 * 8 * 16 * 16  # With the residual.
    assert by_name["classify"]["sizes"] == [1, 5]


def test_layers_without_inputs_invents_no_sizes(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", str(model_file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check(document, "layers")
    assert {layer["boundary_bytes"] for layer in document["layers"]} == {None}


def test_layers_as_a_table(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", str(model_file), "--input", INPUT]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "small: 7 layers, 6 of 6 cuts behind a layer are legal"
    assert any(line.split()[:4] == ["0", "first", "aten::_convolution", "f32[1,"] for line in lines)


def test_a_table_without_inputs_has_no_sizes(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", str(model_file)]) == 0
    shown = capsys.readouterr().out.split()
    assert "first" in shown
    assert "(inputs)" not in shown
    assert "0" not in shown[shown.index("first") :], "no boundary of 0 B"
    assert repr(splitnet.Partitioner(model_file)).split() == shown


def test_refusals_have_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Noise(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu() + torch.rand(3)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Noise()).save(str(tmp_path / "noise.pt"))  # type: ignore[no-untyped-call]
    assert main(["layers", str(tmp_path / "noise.pt"), "--input", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-1] == "refused"
    assert any("random" in line for line in lines[2:])


def test_profile(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    words = ("--threads", 1, "--output", path, "--json")
    document = run("profile", model_file, "--input", INPUT, *words).document("profile")
    assert document["threads"] == 1
    assert splitnet.DeviceProfile.from_file(str(path)).pass_s == document["pass_s"]
    assert list(tmp_path.iterdir()) == [path]


def test_link(endpoint: str) -> None:
    document = run("link", endpoint, "--json").document("link")
    assert document["worker"] == endpoint
    assert document["link"]["up_bytes_per_s"] > 0


def test_plan(model_file: Path, endpoint: str, calibration_file: Path) -> None:
    words = ("--input", INPUT, "--calibration", calibration_file, "--max-latency", "1min", "--json")
    document = run("plan", model_file, "--worker", endpoint, *words).document("plan")
    assert document["constraints"]["max_latency_s"] == 60
    assert document["chosen"] == document["candidates"][0]
    assert document["device_only"]["bytes_up"] is None
    assert {one["codec"] for one in document["candidates"] if one["cut"] == "after add"} >= {"raw", "int8"}


def test_plan_explains_itself(model_file: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(model_file), "--worker", endpoint, "--input", INPUT, "--rows", "2"]) == 0
    explained = capsys.readouterr().out
    assert explained.startswith("objective: latency")
    assert "verdict: " in explained


def whole(model_file: Path, photo: torch.Tensor) -> torch.Tensor:
    """What the uncut model gives."""
    (output,) = splitnet.Partitioner(model_file, photo).split()[0].run([photo])
    return torch.as_tensor(output)


def test_split(model_file: Path, tmp_path: Path, photo: torch.Tensor) -> None:
    words = ("--after", "first", "--after", "add", "--output-dir", tmp_path / "stages", "--input", INPUT, "--json")
    document = run("split", model_file, *words).document("split")
    assert [Path(stage["file"]).name for stage in document["stages"]] == [f"small.stage{i}.pt" for i in range(3)]
    assert document["stages"][0]["gives"][0]["sizes"] == [1, 8, 16, 16]
    values = [photo]
    for stage in document["stages"]:
        values = splitnet.load_stage(stage["file"]).run(values)
    assert torch.equal(values[0], whole(model_file, photo))


def test_run(model_file: Path, endpoint: str, tmp_path: Path, photo: torch.Tensor) -> None:
    torch.save([photo], tmp_path / "input.pt")
    words = ("--input-file", tmp_path / "input.pt", "--output", tmp_path / "output.pt", "--repeat", 3, "--json")
    document = run("run", model_file, "--worker", endpoint, "--after", "first", *words).document("run")
    assert document["plans"] == [{"cut": "after first", "codec": "raw", "answers": 3}]
    assert document["answered_by"] == [{"worker": endpoint, "answers": 3}]
    assert document["bytes_up"] == 4 * 8 * 16 * 16
    assert document["outputs"] == [{"dtype": "f32", "sizes": [1, 5]}]
    assert torch.equal(torch.load(tmp_path / "output.pt"), whole(model_file, photo))


def test_run_shows_where_the_time_went(model_file: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--worker", endpoint, "--after", "add", "--codec", "int8", "--input", INPUT]
    assert main(["run", str(model_file), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "after add, int8"
    assert [name for name in ("head", "encode", "wire", "decode", "tail", "total") if not _row(lines, name)] == []
    assert f"answered by {endpoint}" in lines


def _row(lines: list[str], name: str) -> list[str]:
    return [line for line in lines if line.split()[0] == name]


def test_run_on_the_device_alone(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(model_file), "--input", INPUT, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check(document, "run")
    assert document["answered_by"] == [{"worker": None, "answers": 1}]
    assert document["requests"] == 0


def test_run_with_a_policy(model_file: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--worker", endpoint, "--objective", "latency", "--policy", "adaptive", "--input", INPUT, "--repeat", "4"]
    assert main(["run", str(model_file), *words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check(document, "run")
    assert sum(plan["answers"] for plan in document["plans"]) == 4
    assert document["predicted_s"] > 0


def test_run_with_a_calibrated_codec(
    model_file: Path, endpoint: str, calibration_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--worker", endpoint, "--after", "add", "--codec", "transform:coarseness=0", "--input", INPUT]
    assert main(["run", str(model_file), *words, "--calibration", str(calibration_file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["plans"][0]["codec"].startswith("transform:tables=")
    assert document["bytes_up"] < 4 * 8 * 16 * 16 / 10


def test_sweep(sweep_file: Path, endpoint: str) -> None:
    document = json.loads(sweep_file.read_text())
    assert not document["interrupted"]
    assert [link["worker"] for link in document["sweep"]["links"]] == [
        f"shaped://up={rate}Mbit,down={rate}Mbit,delay=1000us@{endpoint}" for rate in (1, 100)
    ]
    cuts = [{row["cut"] for row in link["rows"]} for link in document["sweep"]["links"]]
    assert all({"device only", "worker only"} <= found for found in cuts)
    assert {row["codec"] for row in document["sweep"]["links"][0]["rows"]} == {"raw", "int8"}


def test_the_map_of_a_sweep_follows_bandwidth_and_speed(sweep_file: Path) -> None:
    plan_map = json.loads(sweep_file.read_text())["map"]
    cells = {(cell["bandwidth_bit_per_s"], cell["speed_ratio"]): cell for cell in plan_map["cells"]}
    assert set(cells) == {
        (rate, ratio) for rate in plan_map["bandwidth_bit_per_s"] for ratio in plan_map["speed_ratio"]
    }
    for cell in cells.values():
        assert cell["latency_s"] <= min(cell["device_only_s"], cell["worker_only_s"]) * (1 + 1e-9)
    rates, ratios = plan_map["bandwidth_bit_per_s"], plan_map["speed_ratio"]
    worker_only = [cells[rate, ratios[0]]["worker_only_s"] for rate in rates]
    assert worker_only == sorted(worker_only, reverse=True)
    assert cells[rates[-1], ratios[0]]["worker_only_s"] > cells[rates[-1], ratios[-1]]["worker_only_s"]
    assert len({cell["device_only_s"] for cell in cells.values()}) == 1


def test_the_front_of_a_sweep_has_no_plan_that_another_beats(sweep_file: Path) -> None:
    front = json.loads(sweep_file.read_text())["pareto"]
    assert {point["link"] for point in front} == {0, 1}
    for link in (0, 1):
        points = [(point["latency_s"], point["throughput_per_s"]) for point in front if point["link"] == link]
        assert points == sorted(points), "slower plans have to give more"


def test_sweep_with_a_calibration_and_a_report(
    model_file: Path,
    endpoint: str,
    calibration_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--worker", endpoint, "--input", INPUT, "--repetitions", "1", "--cuts", "1", "--max-plan", "1min"]
    page, pictures, output = (tmp_path / name for name in ("sweep.html", "plots", "sweep.json"))
    outputs = ["--report", str(page), "--pngs", str(pictures), "--output", str(output)]
    assert main(["sweep", str(model_file), *words, *outputs, "--calibration", str(calibration_file)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[1].split()[:2] == ["link", "chosen"]
    assert table[2].startswith(endpoint)
    document = json.loads(output.read_text())
    check(document, "sweep")
    assert {"name": "int8", "cut": "after add"}.items() <= document["codecs"][1].items()
    assert "Sweep of small" in page.read_text()
    assert {"links.png", "map.png", "fidelity.png"} <= {path.name for path in pictures.iterdir()}


def test_report_makes_a_page_and_pictures_without_torch(sweep_file: Path) -> None:
    page, folder = sweep_file.with_suffix(".html"), sweep_file.with_name("plots")
    ended = run("report", sweep_file, "--pngs", folder, program=WITHOUT_TORCH)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0] == str(page)
    assert set(ended.out.splitlines()[1:]) == {str(path) for path in folder.iterdir()}
    assert "Sweep of small" in page.read_text()


def test_doctor(model_file: Path, endpoint: str) -> None:
    words = ("--worker", endpoint, "--listen", "tcp://127.0.0.1:0", "--input", INPUT, "--json")
    document = run("doctor", model_file, *words).document("doctor")
    by_name = {one["name"]: one for one in document["checks"]}
    wanted = {"loopback", "shared memory", "splitnet-worker", "torch", "port", "worker", "model"}
    assert {name for name in wanted if by_name[name]["status"] != "ok"} == set()
    assert endpoint in by_name["model"]["found"]


def test_schemas_refuse_what_they_do_not_know(sweep_file: Path) -> None:
    document = json.loads(sweep_file.read_text())
    document["map"]["cells"][0]["unheard_of"] = 1
    with pytest.raises(jsonschema.ValidationError, match="unheard_of"):
        check(document, "sweep")
