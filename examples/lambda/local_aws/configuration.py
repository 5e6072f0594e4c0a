# SPDX-License-Identifier: Apache-2.0
"""What is to run: functions, buckets, tables, queues, triggers and sources, as values. Raises ValueError for what AWS refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

REGION = "eu-central-1"
ACCOUNT = "123456789012"

_STRICT = ConfigDict(extra="forbid")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Function:
    """A function whose runtime is a command, as in a container image with a custom runtime."""

    __pydantic_config__ = _STRICT

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

    __pydantic_config__ = _STRICT

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
class SqsSource:
    """Messages of the queue invoke the function in batches, as an event source mapping does."""

    __pydantic_config__ = _STRICT

    queue: str
    """Made with the source; a standard queue."""
    function: str
    batch_size: int = 10
    """Messages in an event, 1 to 10,000."""
    batching_window_s: int = 0
    """0 to 300: how long to wait for a full batch after its first message. At least 1 for batches above 10."""
    report_batch_item_failures: bool = False
    """Whether the function says, by `batchItemFailures`, which messages have to come again; otherwise all or none."""
    max_concurrency: int = 0
    """Batches at the same time, 2 to 1,000; 0: as many as the function takes."""
    visibility_timeout_s: int = 0
    """Of the queue: after so long what was not done comes again. 0: six times that of the function."""
    max_receives: int = 0
    """Then SQS moves a message to the dead-letter queue; 0: never."""
    dead_letter_queue: str = ""
    """Empty: "QUEUE-dead-letters"."""

    def __post_init__(self) -> None:
        if not self.dead_letter_queue:
            object.__setattr__(self, "dead_letter_queue", f"{self.queue}-dead-letters")
        for name, least, most in (
            ("batch_size", 1, 10_000),
            ("batching_window_s", 0 if self.batch_size <= 10 else 1, 300),
            ("max_concurrency", 2 if self.max_concurrency else 0, 1000),
            ("visibility_timeout_s", 0, 43_200),
            ("max_receives", 0, 1000),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(
                    f"source of '{self.function}': {name} is {getattr(self, name)}, expected {least} to {most:,}"
                )


@dataclass(frozen=True)
class Configuration:
    """One AWS account in one region."""

    __pydantic_config__ = _STRICT

    functions: list[Function] = field(default_factory=list)
    buckets: list[str] = field(default_factory=list)
    tables: list[tuple[str, str]] = field(default_factory=list)
    """(name, partition key, a string) of each table, billed on demand."""
    queues: list[str] = field(default_factory=list)
    triggers: list[S3Trigger] = field(default_factory=list)
    sources: list[SqsSource] = field(default_factory=list)
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
        for source in self.sources:
            if source.function not in names:
                raise ValueError(f"source names function '{source.function}', expected one of {names}")

    def to_json(self) -> str:
        return _ADAPTER.dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> Configuration:
        return _ADAPTER.validate_json(text)

    @staticmethod
    def from_toml(path: Path) -> Configuration:
        """Relative paths that begin with './' or '../' in commands and directories are taken from the file's folder.

        Raises OSError; ValueError that names the setting, what was found and what was expected.
        """
        with path.open("rb") as file:
            plain = tomllib.load(file)
        try:
            return _ADAPTER.validate_python(_with_paths(plain, path.parent))
        except ValidationError as error:
            raise ValueError("; ".join(_described(one) for one in error.errors())) from None


def _described(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}, found {error['input']!r}"


def _with_paths(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {name: _with_paths(inner, folder) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_paths(inner, folder) for inner in value]
    is_relative = isinstance(value, str) and value.startswith(("./", "../"))
    return str((folder / value).resolve()) if is_relative else value


_ADAPTER = TypeAdapter(Configuration)
