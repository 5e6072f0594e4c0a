# SPDX-License-Identifier: Apache-2.0
"""The Dockerfiles, read by BuildKit's own parser: there is no Docker here, so what they copy and run is checked one by one.

What build_image does in the build stage is what it does here; what it assembles is tested in assemble_image_test.py.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import dockerfile  # type: ignore[import-not-found]
import pytest

import assemble_image

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/lambda"
DOCKERFILES = ("Dockerfile", "baseline.Dockerfile")


def commands(name: str) -> list[dockerfile.Command]:
    return list(dockerfile.parse_file(str(EXAMPLE / name)))


def last_stage(name: str) -> list[dockerfile.Command]:
    found = commands(name)
    begins = max(number for number, command in enumerate(found) if command.cmd == "FROM")
    return found[begins:]


def copied_from_here(name: str) -> list[str]:
    """Sources in the build context, but for those that are named when the image is built."""
    copies = [command for command in commands(name) if command.cmd == "COPY" and not command.flags]
    return [source for command in copies for source in command.value[:-1] if not source.startswith("${")]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_is_copied_is_in_the_repository_and_let_through(name: str) -> None:
    let_through = [line[1:] for line in (EXAMPLE / f"{name}.dockerignore").read_text().splitlines() if line[:1] == "!"]
    for source in copied_from_here(name):
        made = source.startswith("build/models/")  # By the examples' export_model.py.
        assert made or (ROOT / source).exists(), f"{name} copies {source}, which is not there"
        assert any(Path(source).is_relative_to(one) or Path(source).match(one) for one in let_through), source


@pytest.mark.parametrize("name", DOCKERFILES)
def test_base_images_are_pinned(name: str) -> None:
    bases = [command.value[0] for command in commands(name) if command.cmd == "FROM"]
    assert bases
    for base in bases:
        assert base == "scratch" or (":" in base and not base.endswith(":latest")), base


def test_the_image_has_the_assembled_files_and_nothing_else() -> None:
    base, *rest = last_stage("Dockerfile")
    assert base.value == ("scratch",)
    (copy,) = [command for command in rest if command.cmd == "COPY"]
    assert copy.flags == ("--from=build",) and copy.value == ("/image", "/")
    assert not [command for command in rest if command.cmd == "RUN"], "there is no shell in it"


def test_the_entry_point_is_a_worker_that_understands_it() -> None:
    stage = {command.cmd: command for command in last_stage("Dockerfile")}
    line: list[str] = [*stage["ENTRYPOINT"].value, *stage["CMD"].value]
    bootstrap, program, *options = line
    assert (bootstrap, program) == ("/bootstrap", "/splitnet-worker")
    worker = ROOT / "build/release/splitnet-worker"
    environment = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9"}
    ends = subprocess.run([worker, *options], capture_output=True, text=True, env=environment)
    # Everything is understood, up to the model, which lies in the image only.
    assert ends.returncode == 1 and "can't load /models/model.pt: there is no such file" in ends.stderr


def test_the_build_stage_runs_what_runs_here() -> None:
    (run,) = [command.value[0] for command in commands("Dockerfile") if "build_image" in str(command.value)]
    script, *arguments = run.split()
    assert (ROOT / script).stat().st_mode & 0o111, f"{script} can't be run"
    assert arguments == ["/image", "/models/model.pt"]
    assert "assemble_image.py --worker build/release/splitnet-worker" in (ROOT / script).read_text()
    assert assemble_image.parse_model(arguments[1]).name == "model"


def test_the_baselines_run_under_lambdas_own_client() -> None:
    stage = {command.cmd: command for command in last_stage("baseline.Dockerfile")}
    assert stage["ENTRYPOINT"].value == ("python", "-m", "awslambdaric")
    template = (EXAMPLE / "baseline.yaml").read_text()
    for handler in ("emotion.baseline.handler", "detection.remote.handler"):
        module, _, function = handler.rpartition(".")
        assert f"Command: [{handler}]" in template
        assert f"def {function}(" in (ROOT / f"examples/{module.replace('.', '/')}.py").read_text()
