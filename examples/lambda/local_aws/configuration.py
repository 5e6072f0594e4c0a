# SPDX-License-Identifier: Apache-2.0
"""What is to run: functions, buckets, tables, queues and triggers, as values. Raises ValueError for what AWS refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import tomllib

REGION = "eu-central-1"
ACCOUNT = "123456789012"

_Value = TypeVar("_Value")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Function:
    """A function whose runtime is a command, as in a container image with a custom runtime."""

    name: str
    command: list[str]
    """Starts the runtime, an absolute path first; it finds the runtime API by AWS_LAMBDA_RUNTIME_API."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the function. Beside them it has Lambda's own, the endpoints of this AWS, and PATH of this program."""
    memory_megabytes: int = 1769
    """128 to 10,240; processor time goes with it: 1,769 MB are one vCPU."""
    timeout_s: int = 30
    """1 to 900. Differs from AWS: on a cold start it counts the initialisation too, as the emulator does."""
    concurrency: int = 2
    """Reserved concurrency: calls at the same time, each in an execution environment of its own; more are throttled."""
    directory: str = ""
    """Working directory and LAMBDA_TASK_ROOT; empty: the folder of the command."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name of a function is '{self.name}', expected 1 to 64 letters, digits, '-' and '_'")
        if not self.command or not Path(self.command[0]).is_absolute():
            raise ValueError(f"command of function '{self.name}' is {self.command}, expected an absolute path first")
        if not 128 <= self.memory_megabytes <= 10_240:
            raise ValueError(
                f"memory_megabytes of function '{self.name}' is {self.memory_megabytes}, expected 128 to 10,240"
            )
        if not 1 <= self.timeout_s <= 900 or int(self.timeout_s) != self.timeout_s:
            raise ValueError(f"timeout_s of function '{self.name}' is {self.timeout_s}, expected 1 to 900, whole")
        if not 1 <= self.concurrency <= 1000:
            raise ValueError(f"concurrency of function '{self.name}' is {self.concurrency}, expected 1 to 1,000")

    @property
    def vcpus(self) -> float:
        """Processors' worth of time that Lambda gives for the memory size (lambda/latest/dg/configuration-memory)."""
        return self.memory_megabytes / 1769

    @property
    def working_directory(self) -> str:
        return self.directory or str(Path(self.command[0]).parent)


@dataclass(frozen=True)
class S3Trigger:
    """Objects put into the bucket, with keys of that prefix, invoke the function asynchronously with S3's event."""

    bucket: str
    function: str
    prefix: str = ""
    suffix: str = ""
    max_tries: int = 3
    """Then the event goes to the queue `FUNCTION-dead-letters`. Asynchronous invocation retries twice."""
    retry_delay_s: int = 1
    """Between tries, in whole seconds. AWS waits one minute, then two."""

    def __post_init__(self) -> None:
        if self.max_tries < 1 or self.retry_delay_s < 0:
            raise ValueError(
                f"trigger of '{self.function}': max_tries {self.max_tries} and retry_delay_s {self.retry_delay_s}, "
                "expected at least 1 and 0"
            )

    @property
    def queue(self) -> str:
        return f"{self.function}-events-{self.bucket.replace('.', '_')}"

    @property
    def dead_letter_queue(self) -> str:
        return f"{self.function}-dead-letters"


@dataclass(frozen=True)
class Configuration:
    """One AWS account in one region."""

    functions: list[Function] = field(default_factory=list)
    buckets: list[str] = field(default_factory=list)
    tables: list[tuple[str, str]] = field(default_factory=list)
    """(name, partition key, a string) of each table, billed on demand."""
    queues: list[str] = field(default_factory=list)
    triggers: list[S3Trigger] = field(default_factory=list)
    region: str = REGION
    ports: tuple[int, int, int] = (0, 0, 0)
    """Of Lambda's invoke API, the function URLs and moto; 0: any that is free."""
    expired_session_tokens: list[str] = field(default_factory=list)
    """Session tokens that get ExpiredTokenException."""

    def __post_init__(self) -> None:
        names = [function.name for function in self.functions]
        if len(set(names)) != len(names):
            raise ValueError(f"functions are {names}, expected each name once")
        for trigger in self.triggers:
            if trigger.function not in names:
                raise ValueError(f"trigger names function '{trigger.function}', expected one of {names}")
            if trigger.bucket not in self.buckets:
                raise ValueError(f"trigger names bucket '{trigger.bucket}', expected one of {self.buckets}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Configuration:
        return from_plain(json.loads(text))

    @staticmethod
    def from_toml(path: Path) -> Configuration:
        """Relative paths that begin with '.' in commands and directories are taken from the file's folder."""
        with path.open("rb") as file:
            plain = tomllib.load(file)
        for function in plain.get("functions", []):
            function["command"] = [_absolute(part, path.parent) for part in function.get("command", [])]
            if "directory" in function:
                function["directory"] = _absolute(function["directory"], path.parent)
        return from_plain(plain)


def _absolute(text: str, folder: Path) -> str:
    is_relative = text.startswith(("./", "../")) or text == "."
    return str((folder / text).resolve()) if is_relative else text


def from_plain(plain: dict[str, Any]) -> Configuration:
    """From what TOML and JSON have. Raises ValueError that names an unknown or missing setting."""
    values = dict(plain)
    values["functions"] = [_made(Function, one) for one in values.get("functions", [])]
    values["triggers"] = [_made(S3Trigger, one) for one in values.get("triggers", [])]
    values["tables"] = [_pair(one) for one in values.get("tables", [])]
    if "ports" in values:
        values["ports"] = tuple(values["ports"])
    return _made(Configuration, values)


def _pair(table: Any) -> tuple[str, str]:
    match table:
        case [str(name), str(key)]:
            return name, key
    raise ValueError(f"table is {table!r}, expected [name, partition key]")


def _made(kind: type[_Value], values: dict[str, Any]) -> _Value:
    known = {one.name for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := values.keys() - known:
        raise ValueError(f"{kind.__name__} has {sorted(unknown)}, expected some of {sorted(known)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}, found {sorted(values)}") from None
