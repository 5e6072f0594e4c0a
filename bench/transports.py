#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures splitnet's transports beside what people use instead, all in one run over loopback.

Each candidate is two processes, a client and a server, that speak the line protocol of bench/echo_program.hpp. For each
size all candidates are started; then they take turns, in rounds whose order rotates, so that what disturbs the machine
disturbs all. Only one candidate works at a time. Figures are medians over rounds; p50/asio is the median of the ratio
within a round, for candidates with checksums to asio with checksums.
"""

import argparse
import dataclasses
import fnmatch
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

from echo_pairs import Candidate, Cores, Failure, Pair, running

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZES = {"1KB": 1_000, "100KB": 100_000, "1MB": 1_000_000, "10MB": 10_000_000}
IN_FLIGHT = (1, 8, 64)
# A large tensor there and a small result back, what shared memory is for.
SMALL_REPLY_SIZES = ("1MB", "10MB")
SMALL_REPLY_BYTES = 4_000

MOST_CALLS = 5_000  # Of a turn.
HEAVY_BYTES = 256_000_000  # Under way at once, in requests and replies.

# Where the transports of the registry listen. Those that are not here are named in the output.
ENDPOINTS = {
    "tcp": "tcp://127.0.0.1:0",
    "unix": "unix://{folder}/{unique}",
    "tls": "tls://127.0.0.1:0",
    "shm": "shm://{unique}",
    "http": "http://127.0.0.1:0",
    "https": "https://127.0.0.1:0",
}
ENCRYPTED = ("tls", "https")
NOT_BETWEEN_PROCESSES = {
    "inproc": "stays inside one process",
    "shaped": "is another transport behind a modelled link",
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A transport, used in one way."""

    suffix: str
    checksum: bool = False
    reads: bool = False  # The server looks at every byte of the request, as a stage does.
    allocates: bool = False  # The request lies in memory of Connection::allocate.


def variants_of(scheme: str) -> list[Variant]:
    if scheme == "shm":  # Its payloads have no checksum.
        return [
            Variant(""),
            Variant("-allocated", allocates=True),
            Variant("+read", reads=True),
            Variant("-allocated+read", reads=True, allocates=True),
        ]
    read = [Variant("+read", reads=True)] if scheme == "tcp" else []
    return [Variant(""), Variant("+checksum", checksum=True), *read]


def make_certificate(folder: str) -> tuple[str, ...] | None:
    """Options for a server and whoever trusts it; None without the openssl program."""
    certificate, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 1 -subj /CN=splitnet-bench "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ("--certificate", certificate, "--key", key, "--ca", certificate)


def splitnet_candidates(programs: pathlib.Path, folder: str) -> Iterator[Candidate]:
    program = str(programs / "bench_transport_echo")
    schemes = subprocess.run([program, "--schemes"], check=True, capture_output=True, text=True).stdout.split()
    certificate = make_certificate(folder)
    for scheme in [*ENDPOINTS, *(scheme for scheme in schemes if scheme not in ENDPOINTS)]:
        name = f"splitnet-{scheme}"
        missing = None
        if scheme not in schemes:
            missing = "this build of the library does not have it"
        elif scheme not in ENDPOINTS:
            missing = NOT_BETWEEN_PROCESSES.get(scheme, "bench/transports.py knows no endpoint for it")
        elif scheme in ENCRYPTED and certificate is None:
            missing = "the program openssl, which makes a certificate, does not work here"
        if missing is not None:
            yield Candidate(name, missing=missing)
            continue
        for number, variant in enumerate(variants_of(scheme)):
            unique = f"splitnet-bench-{os.getpid()}-{scheme}-{number}"
            both = ("--checksum", "on" if variant.checksum else "off")
            both += certificate if scheme in ENCRYPTED else ()
            yield Candidate(
                f"{name}{variant.suffix}",
                (program,),
                ("--endpoint", ENDPOINTS[scheme].format(folder=folder, unique=unique), *both)
                + (("--read", "on") if variant.reads else ()),
                both + (("--allocate", "on") if variant.allocates else ()),
                variant.checksum,
                one_in_flight_only=variant.reads,
            )


def limit_candidates(programs: pathlib.Path) -> Iterator[Candidate]:
    program = (str(programs / "bench_asio_echo"),)
    for name, calls in (("asio", "chunked"), ("asio-whole", "whole")):
        for checksum in (False, True):
            options = ("--calls", calls, "--checksum", "on" if checksum else "off")
            yield Candidate(f"{name}+checksum" if checksum else name, program, options, options, checksum)
    yield Candidate("memcpy", (str(programs / "bench_memcpy_echo"),), one_in_flight_only=True)


def peer_candidates(peers: pathlib.Path) -> Iterator[Candidate]:
    def built(name: str, program: str, both: tuple = (), client: tuple = (), **more) -> Candidate:
        path = peers / program
        missing = None if path.exists() else "not installed: bench/peers/setup"
        return Candidate(name, (str(path),), both, both + client, missing=missing, **more)

    def scripted(name: str, script: str, modules: tuple[str, ...], **more) -> Candidate:
        python = peers / "venv/bin/python"
        find = f"import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in {modules}))"
        there = python.exists() and subprocess.run([python, "-c", find]).returncode == 0
        missing = None if there else "not installed: bench/peers/setup"
        return Candidate(name, (str(python), str(ROOT / "bench/peers" / script)), missing=missing, **more)

    tensors, shm = ("--carry", "tensor"), ("--road", "shm")
    yield built("grpc-unary", "grpc_echo", client=("--calls", "unary"), is_tcp_peer=True)
    yield built("grpc-stream", "grpc_echo", client=("--calls", "stream"), is_tcp_peer=True)
    yield built("tensorpipe-tcp", "tensorpipe_echo", is_tcp_peer=True)
    yield built("tensorpipe-tcp-basic", "tensorpipe_echo", tensors, is_tcp_peer=True)
    yield built("tensorpipe-shm", "tensorpipe_echo", shm, polls=True)
    yield built("tensorpipe-shm-cma", "tensorpipe_echo", shm + tensors, polls=True)
    yield built("zeromq", "zeromq_echo", is_tcp_peer=True)
    yield scripted("torch-rpc", "torch_rpc_echo.py", ("torch",), is_tcp_peer=True)
    yield scripted("fastapi", "fastapi_echo.py", ("fastapi", "requests", "torch", "uvicorn"), is_tcp_peer=True)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is asked of every candidate in the same rounds."""

    size: str
    reply_bytes: int
    in_flight: int

    @property
    def request_bytes(self) -> int:
        return SIZES[self.size]

    @property
    def load(self) -> tuple[int, int, int]:
        return self.request_bytes, self.reply_bytes, self.in_flight

    @property
    def is_heavy(self) -> bool:
        """Too much memory for all candidates at once."""
        return (self.request_bytes + self.reply_bytes) * self.in_flight > HEAVY_BYTES

    def __str__(self) -> str:
        reply = "" if self.reply_bytes == self.request_bytes else f", reply {self.reply_bytes // 1000}KB"
        return f"{self.size}{reply}, {self.in_flight} in flight"


def cells_of(sizes: list[str], in_flight: list[int]) -> dict[str, list[Cell]]:
    """By size: what is measured with the same processes."""
    return {
        size: [Cell(size, SIZES[size], n) for n in in_flight]
        + ([Cell(size, SMALL_REPLY_BYTES, 1)] if size in SMALL_REPLY_SIZES and 1 in in_flight else [])
        for size in sizes
    }


@dataclasses.dataclass
class Result:
    """Of one cell: each candidate's rounds, or why there are none."""

    cell: Cell
    rounds: dict[str, list[dict]]
    failures: dict[str, str]

    def ratio(self, name: str, other: str) -> float | None:
        """Median over rounds of the p50 of one over that of the other in the same round."""
        both = zip(self.rounds.get(name, []), self.rounds.get(other, []), strict=False)  # One that failed has none.
        ratios = [a["p50_us"] / b["p50_us"] for a, b in both]
        return statistics.median(ratios) if ratios else None

    def summary(self, candidate: Candidate) -> dict:
        def median(key: str) -> float | None:
            values = [turn[key] for turn in self.rounds[candidate.name]]
            return None if None in values else statistics.median(values)

        keys = ("p50_us", "p99_us", "bytes_per_s", "cpu_us_per_call", "allocations_per_call")
        yardstick = "asio+checksum" if candidate.checksum else "asio"
        return {key: median(key) for key in keys} | {"over_asio": self.ratio(candidate.name, yardstick)}


def calls_for(pair: Pair, cell: Cell, turn_s: float, least: int) -> int:
    """As many as take `turn_s`; warms up too."""
    calls = max(cell.in_flight, 3)
    for _ in range(2):
        took = pair.measure(*cell.load, calls)
        call_s = (cell.request_bytes + cell.reply_bytes) / took["bytes_per_s"]
        calls = min(max(int(turn_s / call_s), least), MOST_CALLS)
    return calls


class Rounds:
    """What one cell takes, with candidates dropping out when they fail."""

    def __init__(self, cell: Cell, candidates: list[Candidate], options: argparse.Namespace):
        self.candidates = [c for c in candidates if cell.in_flight == 1 or not c.one_in_flight_only]
        self.result = Result(cell, {candidate.name: [] for candidate in self.candidates}, {})
        self.least_calls = max(3, cell.in_flight) if options.quick else max(5, 2 * cell.in_flight)

    def take(self, round_number: int, turn: Callable[[Candidate], None]) -> None:
        first = round_number % max(1, len(self.candidates))
        for candidate in self.candidates[first:] + self.candidates[:first]:
            if candidate.name in self.result.failures:
                continue
            try:
                turn(candidate)
            except Failure as failure:
                self.result.failures[candidate.name] = str(failure)
                del self.result.rounds[candidate.name]


def progress(word: str, end: str = " ") -> None:
    sys.stderr.write(word + end)
    sys.stderr.flush()


def measure_cell(cell: Cell, pairs: dict[str, Pair], options: argparse.Namespace) -> Result:
    rounds = Rounds(cell, [pair.candidate for pair in pairs.values()], options)
    calls: dict[str, int] = {}

    def warm_up(candidate: Candidate) -> None:
        with pairs[candidate.name].turn() as pair:
            calls[candidate.name] = calls_for(pair, cell, options.turn_s, rounds.least_calls)

    def measure(candidate: Candidate) -> None:
        with pairs[candidate.name].turn() as pair:
            rounds.result.rounds[candidate.name].append(pair.measure(*cell.load, calls[candidate.name]))

    progress(f"{cell}: warming up")
    rounds.take(0, warm_up)
    for number in range(options.rounds):
        progress(f"{number + 1}/{options.rounds}")
        rounds.take(number, measure)
    progress("", "\n")
    return rounds.result


def measure_heavy_cell(cell: Cell, candidates: list[Candidate], cores: Cores, options: argparse.Namespace) -> Result:
    """Fewer and shorter rounds, and processes that live only for their turn."""
    rounds = Rounds(cell, candidates, options)

    def measure(candidate: Candidate) -> None:
        with running([candidate], cores) as pairs, pairs[candidate.name].turn() as pair:
            pair.measure(*cell.load, cell.in_flight)
            rounds.result.rounds[candidate.name].append(pair.measure(*cell.load, rounds.least_calls))

    count = min(options.rounds, 3)
    progress(f"{cell}:")
    for number in range(count):
        progress(f"{number + 1}/{count}")
        rounds.take(number, measure)
    progress("", "\n")
    return rounds.result


def print_table(result: Result, candidates: list[Candidate]) -> None:
    def column(value: float | None, width: int, digits: int) -> str:
        return f"{value:{width}.{digits}f}" if value is not None else f"{'–':>{width}}"

    count = max(map(len, result.rounds.values()), default=0)
    print(f"\n{result.cell}, {count} rounds")
    print(f"{'':24}{'p50 µs':>11}{'p99 µs':>11}{'GB/s':>8}{'CPU µs/call':>13}{'allocs/call':>13}{'p50/asio':>10}")
    for candidate in candidates:
        if candidate.name in result.failures:
            print(f"{candidate.name:24} failed: {result.failures[candidate.name]}")
        elif candidate.name in result.rounds:
            row = result.summary(candidate)
            print(
                f"{candidate.name:24}"
                f"{column(row['p50_us'], 11, 2)}{column(row['p99_us'], 11, 1)}{column(row['bytes_per_s'] / 1e9, 8, 3)}"
                f"{column(row['cpu_us_per_call'], 13, 1)}{column(row['allocations_per_call'], 13, 1)}"
                f"{column(row['over_asio'], 10, 3)}"
            )
    sys.stdout.flush()


def headline(results: list[Result], candidates: list[Candidate]) -> dict[str, float | None]:
    def find(size: str, reply_bytes: int) -> Result:
        cell = Cell(size, reply_bytes, 1)
        return next((result for result in results if result.cell == cell), Result(cell, {}, {}))

    echoes = {size: find(size, SIZES[size]) for size in SIZES}
    figures = {f"tcp_over_asio_{size}": echo.ratio("splitnet-tcp", "asio") for size, echo in echoes.items()}
    for size in SMALL_REPLY_SIZES:
        figures[f"shm_speedup_{size}"] = find(size, SMALL_REPLY_BYTES).ratio("splitnet-tcp", "splitnet-shm")
    peers = [candidate.name for candidate in candidates if candidate.is_tcp_peer]
    over_best = [
        max((ratio for name in peers if (ratio := echo.ratio("splitnet-tcp", name)) is not None), default=None)
        for echo in echoes.values()
    ]
    figures["tcp_over_best_peer_worst"] = None if None in over_best else max(over_best)
    return figures


def print_headline(figures: dict[str, float | None], out: pathlib.Path) -> None:
    words = " ".join(f"{key}={'unmeasured' if value is None else f'{value:.3f}'}" for key, value in figures.items())
    (out / "transports.headline").write_text(f"{words}\n")
    print(f"\ntransports: {words}")


def machine() -> dict:
    cpu = [line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {"system": platform.platform(), "cpu": cpu[0] if cpu else platform.machine(), "cores": os.cpu_count()}


def write_json(
    out: pathlib.Path, about: dict, results: list[Result], candidates: list[Candidate], figures: dict
) -> None:
    by_name = {candidate.name: candidate for candidate in candidates}
    cells = [
        dataclasses.asdict(result.cell)
        | {"request_bytes": result.cell.request_bytes, "failures": result.failures}
        | {
            "candidates": {
                name: result.summary(by_name[name]) | {"rounds": turns} for name, turns in result.rounds.items()
            }
        }
        for result in results
    ]
    (out / "transports.json").write_text(json.dumps(about | {"cells": cells, "headline": figures}, indent=1) + "\n")


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def some(kind: type, known: tuple | None):
        def parse(text: str) -> list:
            values = [kind(word) for word in text.split(",")]
            unknown = [value for value in values if known is not None and value not in known]
            if unknown or (kind is int and min(values) < 1):
                raise argparse.ArgumentTypeError(f"{text}: expected some of {known or 'the numbers from 1'}")
            return values

        return parse

    parser.add_argument("--quick", action="store_true", help="3 rounds of short turns, 1 and 8 in flight")
    parser.add_argument("--candidates", type=some(str, None), default=["*"], help="names or patterns, with commas")
    parser.add_argument("--list", action="store_true", help="print the names of the candidates, and end")
    parser.add_argument("--sizes", type=some(str, tuple(SIZES)), default=list(SIZES), help="of 1KB,100KB,1MB,10MB")
    parser.add_argument("--in-flight", type=some(int, None), help="calls at a time (1,8,64)")
    parser.add_argument("--rounds", type=int, help="turns of each candidate (9)")
    parser.add_argument("--turn-s", type=float, help="how long a turn should take (0.3)")
    parser.add_argument(
        "--placement",
        choices=("apart", "together", "kernel"),
        default="apart",
        help="clients on one core and servers on another, all on one, or as the kernel likes (apart)",
    )
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/release", help="folder of ours")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "build/peers", help="folder of the peers")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench", help="folder of the results")
    options = parser.parse_args(arguments)
    options.in_flight = options.in_flight or list((1, 8) if options.quick else IN_FLIGHT)
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.turn_s = options.turn_s or (0.1 if options.quick else 0.3)
    if not (options.programs / "bench_transport_echo").exists():
        parser.error(f"{options.programs} has no bench_transport_echo; scripts/bench builds it")
    return options


def choose(candidates: list[Candidate], patterns: list[str]) -> list[Candidate]:
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(candidate.name, pattern) for candidate in candidates):
            names = ", ".join(candidate.name for candidate in candidates)
            raise SystemExit(f"there is no candidate '{pattern}'; there are: {names}")
    return [c for c in candidates if any(fnmatch.fnmatchcase(c.name, pattern) for pattern in patterns)]


def run(options: argparse.Namespace, folder: str) -> None:
    every = [
        *splitnet_candidates(options.programs, folder),
        *limit_candidates(options.programs),
        *peer_candidates(options.peers),
    ]
    chosen = choose(every, options.candidates)
    present = [candidate for candidate in chosen if candidate.missing is None]
    missing = {candidate.name: candidate.missing for candidate in chosen if candidate.missing is not None}
    if options.list:
        for candidate in chosen:
            print(candidate.name if candidate.missing is None else f"{candidate.name} ({candidate.missing})")
        return
    if not present:
        raise SystemExit("none of these candidates can be measured here")
    options.out.mkdir(parents=True, exist_ok=True)
    cores = Cores.of(options.placement)
    load_before = os.getloadavg()
    print(f"{cores}; load {load_before[0]:.1f} before", flush=True)
    results: list[Result] = []
    for size, cells in cells_of(options.sizes, options.in_flight).items():
        progress(f"{size}: starting {len(present)} candidates", "\n")
        with running(present, cores) as pairs:
            for cell in cells:
                if not cell.is_heavy:
                    results.append(measure_cell(cell, pairs, options))
                    print_table(results[-1], present)
        for cell in cells:
            if cell.is_heavy:
                results.append(measure_heavy_cell(cell, present, cores, options))
                print_table(results[-1], present)
    if any(candidate.name == "memcpy" for candidate in present):
        print("\nmemcpy is one process that copies there and back and waits for nobody: the limit for shared memory.")
    if missing:
        print("\nnot measured:")
        for name, why in missing.items():
            print(f"{name:24} {why}")
    about = {
        "machine": machine(),
        "placement": str(cores),
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "missing": missing,
    }
    figures = headline(results, chosen)
    write_json(options.out, about, results, present, figures)
    print_headline(figures, options.out)


def main() -> int:
    options = parse_options(None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="splitnet-bench-") as folder:
        os.environ["TMPDIR"] = folder  # So that nothing stays behind, however a program ends.
        try:
            run(options, folder)
        except KeyboardInterrupt:
            print("\ninterrupted: every process has been ended, no results were written", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
