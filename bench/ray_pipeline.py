# SPDX-License-Identifier: Apache-2.0
"""What splitnet.ray costs and gives: a pipeline of actors with 1 and 2 replicas of each stage, beside the same work by a
Session alone (the whole network, one request after the other), and by a Session with the same stages in one process.

MobileNetV2 with one thread for each pass. All take turns, round by round; ratios and differences are taken within a
round, and their medians shown. Ray runs on this machine, on loopback.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

import splitnet

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bindings/python/tests"))

import local_ray  # noqa: E402
import splitnet.ray  # noqa: E402

Map = Callable[[list[torch.Tensor]], list[Any]]


def rate_per_s(run: Map, photos: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    begun_s = time.perf_counter()
    outputs = run(photos)
    rate = len(photos) / (time.perf_counter() - begun_s)
    assert len(outputs) == len(expected) and all(map(torch.equal, outputs, expected)), "other bits, or lost ones"
    return rate


def latency_ms(call: Callable[[torch.Tensor], Any], photo: torch.Tensor, calls: int) -> float:
    times_ms = []
    for _ in range(calls):
        begun_s = time.perf_counter()
        call(photo)
        times_ms.append((time.perf_counter() - begun_s) * 1e3)
    return statistics.median(times_ms)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each of the four, with its figures of every round."""
    made = torch.Generator().manual_seed(0)
    photos = [torch.rand((1, 3, 224, 224), generator=made) for _ in range(options.requests)]
    part = splitnet.Partitioner(options.model, [photos[0]])
    worker = splitnet.Worker(part, "inproc://ray-pipeline", threads=1)
    alone = splitnet.Session(part, threads=1)
    stages = splitnet.Session(
        part, worker=worker.address, cut=options.cut, threads=1, finish_on_device=False, max_in_flight=8
    )
    expected = [alone(photo) for photo in photos]
    with local_ray.local_ray(cpus=8), worker, alone, stages:
        with (
            splitnet.ray.Pipeline(part, [options.cut], replicas=1, max_in_flight=8) as one,
            splitnet.ray.Pipeline(part, [options.cut], replicas=2, max_in_flight=8) as two,
        ):
            subjects: list[tuple[str, Map, Callable[[torch.Tensor], Any]]] = [
                ("Session alone", lambda all_of_them: [alone(x) for x in all_of_them], alone),
                ("Session, stages in one process", lambda all_of_them: list(stages.map(all_of_them)), stages),
                ("Ray, 1 replica", lambda all_of_them: list(one.map(all_of_them)), one),
                ("Ray, 2 replicas", lambda all_of_them: list(two.map(all_of_them)), two),
            ]
            rows: list[dict[str, Any]] = [{"name": name, "per_s": [], "latency_ms": []} for name, _, _ in subjects]
            for number in range(options.rounds + 1):
                for row, (_, run, call) in zip(rows, subjects, strict=True):
                    rate, latency = rate_per_s(run, photos, expected), latency_ms(call, photos[0], options.calls)
                    if number:  # The first round warms up.
                        row["per_s"].append(rate)
                        row["latency_ms"].append(latency)
    return rows


def summed_up(rows: list[dict[str, Any]]) -> None:
    """Adds to each row the medians of what it is beside the first, round by round."""
    alone = rows[0]
    for row in rows:
        ratios = [ours / theirs for ours, theirs in zip(row["per_s"], alone["per_s"], strict=True)]
        more = [ours - theirs for ours, theirs in zip(row["latency_ms"], alone["latency_ms"], strict=True)]
        times = [ours / theirs for ours, theirs in zip(row["latency_ms"], alone["latency_ms"], strict=True)]
        row["throughput_ratio"] = statistics.median(ratios)
        row["overhead_ms"] = statistics.median(more)
        row["latency_ratio"] = statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="build/models/mobilenet_v2.pt")
    parser.add_argument("--cut", default="features.7", help="where the two stages meet")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=100, help="of a round, for the throughput")
    parser.add_argument("--calls", type=int, default=50, help="of a round, one after the other, for the latency")
    parser.add_argument("--out", default="build/bench/ray_pipeline.json")
    options = parser.parse_args()
    rows = measure(options)
    summed_up(rows)
    print(f"{'':32}{'requests/s':>12}{'× alone':>10}{'latency ms':>12}{'more ms':>10}{'× alone':>10}")
    for row in rows:
        per_s, latency = statistics.median(row["per_s"]), statistics.median(row["latency_ms"])
        print(
            f"{row['name']:32}{per_s:12.1f}{row['throughput_ratio']:10.2f}{latency:12.2f}"
            f"{row['overhead_ms']:10.2f}{row['latency_ratio']:10.2f}"
        )
    pathlib.Path(options.out).write_text(json.dumps(rows, indent=1) + "\n")
    _, stages, one, two = rows
    print(
        f"\nray_pipeline: overhead_ms={one['overhead_ms']:.2f} latency_ratio={one['latency_ratio']:.2f} "
        f"throughput_1={one['throughput_ratio']:.2f} throughput_2={two['throughput_ratio']:.2f} "
        f"throughput_stages={stages['throughput_ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
