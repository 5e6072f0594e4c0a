# SPDX-License-Identifier: Apache-2.0
"""Client and server processes that speak the line protocol of echo_program.hpp, for transports.py."""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

START_TIMEOUT_S = 120
TURN_TIMEOUT_S = 300


class Failure(Exception):
    """A candidate can't be measured, and why."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    name: str
    command: tuple[str, ...] = ()
    server_options: tuple[str, ...] = ()
    client_options: tuple[str, ...] = ()
    checksum: bool = False
    is_tcp_peer: bool = False
    # Keeps a core busy while it waits, and so is stopped when it is not its turn.
    polls: bool = False
    one_in_flight_only: bool = False
    missing: str | None = None


@dataclasses.dataclass(frozen=True)
class Cores:
    """Where clients and servers are kept; None: as the kernel likes."""

    placement: str
    client: int | None
    server: int | None

    @staticmethod
    def of(placement: str) -> "Cores":
        if placement == "kernel":
            return Cores(placement, None, None)
        allowed = sorted(os.sched_getaffinity(0))
        return Cores(placement, allowed[0], allowed[min(1, len(allowed) - 1)] if placement == "apart" else allowed[0])

    def __str__(self) -> str:
        if self.client is None:
            return "kernel: threads run where the kernel puts them"
        return f"{self.placement}: clients on core {self.client}, servers on core {self.server}"


class Program:
    """One role of a candidate in a process of its own."""

    def __init__(self, command: tuple[str, ...], core: int | None):
        def prepare() -> None:
            # Ctrl-C is for this program alone, which then ends the others.
            os.setpgid(0, 0)
            if core is not None:
                os.sched_setaffinity(0, {core})

        # Everything stays on loopback.
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.errors = tempfile.TemporaryFile()
        self.unread = b""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            preexec_fn=prepare,
            env=environment,
        )

    def why(self, what: str) -> Failure:
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        return Failure(f"{what}: {said[-1]}" if said else what)

    def read_line(self, timeout_s: float) -> str:
        out = self.process.stdout.fileno()
        give_up_s = time.monotonic() + timeout_s
        while b"\n" not in self.unread:
            if not select.select([out], [], [], max(0.0, give_up_s - time.monotonic()))[0]:
                raise self.why(f"no answer within {timeout_s:.0f} s")
            more = os.read(out, 65536)
            if not more:
                raise self.why("the program has ended")
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\n")
        return line.decode()

    def ask(self, line: str, timeout_s: float) -> dict:
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.why("the program has ended") from None
        return json.loads(self.read_line(timeout_s))

    def signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def ask_to_end(self) -> None:
        self.signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait_until(self, give_up_s: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, give_up_s - time.monotonic()))

    def clean_up(self) -> None:
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def end(programs: list[Program], patience_s: float) -> None:
    """Nothing else is ended."""
    for program in programs:
        program.ask_to_end()
    for number in (signal.SIGTERM, signal.SIGKILL):
        give_up_s = time.monotonic() + patience_s
        for program in programs:
            program.wait_until(give_up_s)
        for program in programs:
            program.signal(number)
    for program in programs:
        program.clean_up()


class Pair:
    """The client and the server of a candidate, while they live."""

    def __init__(self, candidate: Candidate, server_core: int | None):
        self.candidate = candidate
        self.failure: str | None = None
        self.server = Program((*candidate.command, "--server", *candidate.server_options), server_core)
        self.client: Program | None = None

    def connect(self, client_core: int | None) -> None:
        address = self.server.read_line(START_TIMEOUT_S)
        self.client = Program(
            (*self.candidate.command, "--client", address, *self.candidate.client_options), client_core
        )
        if self.candidate.polls:
            self.signal(signal.SIGSTOP)

    @property
    def programs(self) -> list[Program]:
        return [self.client, self.server] if self.client else [self.server]

    def signal(self, number: signal.Signals) -> None:
        for program in self.programs:
            program.signal(number)

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """One that has failed disturbs nobody, and is not asked again."""
        if self.failure is not None:
            raise Failure(self.failure)
        try:
            yield
        except (Failure, OSError, ValueError) as failure:
            self.signal(signal.SIGSTOP)
            self.failure = str(failure)
            raise Failure(self.failure) from failure

    @contextlib.contextmanager
    def turn(self) -> Iterator["Pair"]:
        with self.failing():
            if self.candidate.polls:
                self.signal(signal.SIGCONT)
            yield self
            if self.candidate.polls:
                self.signal(signal.SIGSTOP)

    def measure(self, request_bytes: int, reply_bytes: int, in_flight: int, calls: int) -> dict:
        """Of the client and the server together, but for the times."""
        words = f"measure {request_bytes} {reply_bytes}"
        self.client.ask(f"{words} 1 1", TURN_TIMEOUT_S)  # The first call after a pause is not like the others.
        before = self.server.ask("counters", TURN_TIMEOUT_S)
        client = self.client.ask(f"{words} {in_flight} {calls}", TURN_TIMEOUT_S)
        after = self.server.ask("counters", TURN_TIMEOUT_S)
        allocations = None
        if client["allocations"] is not None:
            allocations = (client["allocations"] + after["allocations"] - before["allocations"]) / calls
        return {
            "p50_us": client["p50_us"],
            "p99_us": client["p99_us"],
            "bytes_per_s": client["bytes_per_s"],
            "cpu_us_per_call": (client["cpu_s"] + after["cpu_s"] - before["cpu_s"]) / calls * 1e6,
            "allocations_per_call": allocations,
            "calls": calls,
        }


@contextlib.contextmanager
def running(candidates: list[Candidate], cores: Cores) -> Iterator[dict[str, Pair]]:
    """Started together, since some take seconds; ended together too."""
    pairs: dict[str, Pair] = {}
    patience_s = 5.0
    try:
        for candidate in candidates:
            pairs[candidate.name] = Pair(candidate, cores.server)
        for pair in pairs.values():
            with contextlib.suppress(Failure), pair.failing():
                pair.connect(cores.client)
        yield pairs
    except KeyboardInterrupt:
        patience_s = 0.5
        raise
    finally:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        end([program for pair in pairs.values() for program in pair.programs], patience_s)
        for number, handler in before.items():
            signal.signal(number, handler)
