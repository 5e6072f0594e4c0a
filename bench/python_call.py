# SPDX-License-Identifier: Apache-2.0
"""What a call of a session costs more in Python than in C++, and whether a large tensor is copied on the way.

Two programs take turns, the same model, input and worker: bench_session_call, and this one. The model does next to nothing
(it adds 1 to its input's first element), so that the call itself is seen. The worker is a process of its own.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import torch

import splitnet

SMALL, LARGE = 256, 2_500_000  # Elements of f32: 1 KB, 10 MB.


class First(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:1] + 1


def python_call_us(model: str, endpoint: str, calls: int, elements: int) -> float:
    x = torch.ones(elements)
    times_us = []
    with splitnet.Session(splitnet.Partitioner(model, [x]), worker=endpoint) as session:
        for _ in range(calls):
            begun = time.perf_counter_ns()
            session(x)
            times_us.append((time.perf_counter_ns() - begun) / 1e3)
    return statistics.median(times_us)


def cpp_call_us(program: str, model: str, endpoint: str, calls: int, elements: int) -> float:
    command = [program, model, endpoint or "-", str(calls), str(elements)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/bench_session_call")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--out", default="build/bench/python_call.json")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = str(pathlib.Path(folder) / "first.pt")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(First()).save(model)
        worker = subprocess.Popen(
            [sys.executable, "-m", "splitnet", "worker", model, "--listen", "tcp://127.0.0.1:0"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert worker.stdout is not None
            endpoint = worker.stdout.readline().split()[-1]
            print(f"{'':32}{'C++ µs':>12}{'Python µs':>12}{'more µs':>10}")
            for name, where, elements in (
                ("device only, 1 KB", "", SMALL),
                ("device only, 10 MB", "", LARGE),
                ("worker over tcp, 1 KB", endpoint, SMALL),
            ):
                pairs = []
                for _ in range(options.rounds):
                    pairs.append(
                        (
                            cpp_call_us(options.program, model, where, options.calls, elements),
                            python_call_us(model, where, options.calls, elements),
                        )
                    )
                cpp, python = (statistics.median(side) for side in zip(*pairs, strict=True))
                more = statistics.median(b - a for a, b in pairs)
                rows.append({"name": name, "cpp_us": cpp, "python_us": python, "more_us": more})
                print(f"{name:32}{cpp:12.1f}{python:12.1f}{more:10.1f}")
        finally:
            worker.terminate()
            worker.wait()
    pathlib.Path(options.out).write_text(json.dumps(rows, indent=1) + "\n")
    worst = max(row["more_us"] for row in rows)
    print(f"\npython_call: overhead_us_worst={worst:.1f} overhead_10MB_us={rows[1]['more_us']:.1f}")


if __name__ == "__main__":
    main()
