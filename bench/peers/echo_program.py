# SPDX-License-Identifier: Apache-2.0
"""The two roles of ../echo_program.hpp for Python programs. Allocations are null: nobody counts them here."""

import json
import resource
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What one "measure" asks for."""

    request_bytes: int
    reply_bytes: int
    in_flight: int
    calls: int

    def request(self) -> bytes:
        return struct.pack("<Q", self.reply_bytes).ljust(self.request_bytes, b"x")


def reply_bytes_of(request) -> int:
    """How many bytes the reply to a request with these bytes has."""
    return struct.unpack_from("<Q", request)[0]


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Meter:
    """The times of one measure's calls."""

    def __init__(self, load: Load):
        self.load = load
        self.began_s = [0.0] * load.in_flight
        self.latencies_us: list[float] = []
        self.cpu_before_s = cpu_s()
        self.started_s = time.perf_counter()

    def begin(self, slot: int) -> None:
        self.began_s[slot] = time.perf_counter()

    def end(self, slot: int, reply_bytes: int) -> None:
        now_s = time.perf_counter()
        if reply_bytes != self.load.reply_bytes:
            raise SystemExit(f"a reply of {reply_bytes} bytes; expected {self.load.reply_bytes}")
        self.latencies_us.append((now_s - self.began_s[slot]) * 1e6)

    def stop(self) -> dict:
        elapsed_s = time.perf_counter() - self.started_s
        used_s = cpu_s() - self.cpu_before_s
        calls, ordered = self.load.calls, sorted(self.latencies_us)
        return {
            "p50_us": ordered[calls // 2],
            "p99_us": ordered[calls * 99 // 100],
            "bytes_per_s": (self.load.request_bytes + self.load.reply_bytes) * calls / elapsed_s,
            "cpu_s": used_s,
            "allocations": None,
        }


def run_completions(load: Load, start: Callable[[int], None], wait: Callable[[], tuple[int, int]]) -> dict:
    """Keeps a call under way in each slot: `start(slot)` begins one, `wait()` blocks until one has ended, and returns its
    slot and the bytes of its reply."""
    meter = Meter(load)
    for slot in range(load.in_flight):
        meter.begin(slot)
        start(slot)
    for call in range(load.calls):
        slot, reply_bytes = wait()
        meter.end(slot, reply_bytes)
        if call + load.in_flight < load.calls:
            meter.begin(slot)
            start(slot)
    return meter.stop()


def say(line: str) -> None:
    print(line, flush=True)


def serve() -> None:
    """The rest of a server's life, when it has said its address."""
    for line in sys.stdin:
        if line != "counters\n":
            raise SystemExit(f"found {line!r}; expected counters")
        say(json.dumps({"cpu_s": cpu_s(), "allocations": None}))


def call(measure: Callable[[Load], dict]) -> None:
    """A client's life."""
    for line in sys.stdin:
        word, *numbers = line.split()
        if word != "measure" or len(numbers) != 4:
            raise SystemExit(f"found {line!r}; expected measure REQUEST_BYTES REPLY_BYTES IN_FLIGHT CALLS")
        request_bytes, reply_bytes, in_flight, calls = map(int, numbers)
        say(json.dumps(measure(Load(request_bytes, reply_bytes, min(in_flight, calls), calls))))


def run(server: Callable[[], None], client: Callable[[str], None]) -> None:
    """The program's main: one of both, by the command line."""
    arguments = sys.argv[1:]
    if arguments == ["--server"]:
        server()
    elif len(arguments) == 2 and arguments[0] == "--client":
        client(arguments[1])
    else:
        raise SystemExit(f"{sys.argv[0]} --server | --client ADDRESS")
