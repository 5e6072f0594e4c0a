#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what bench_adaptive measured: a picture for each recording, with a row for each network and ratio of speed in
which the oracle is at least a hundredth better than the best fixed plan.

    bench/plot_adaptive.py [--results build/bench/adaptive.json] [--out docs/figures]
"""

import argparse
import collections
import csv
import json
import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "splitnet"  # The same bytes every time.
import matplotlib.pyplot as plt  # noqa: E402


def draw(trace: str, cells: list[dict], link: pathlib.Path, path: pathlib.Path) -> None:
    figure, axes = plt.subplots(len(cells) + 1, 1, figsize=(10, 2 * (len(cells) + 1)), sharex=True)
    with link.open() as file:
        rows = list(csv.DictReader(file))
    axes[0].fill_between(
        [float(row["time_s"]) for row in rows], [float(row["bandwidth_bit_per_s"]) / 1e6 for row in rows], step="post"
    )
    axes[0].set_ylabel("Mbit/s")
    axes[0].set_title(trace)
    for axis, cell in zip(axes[1:], cells, strict=True):
        best = min(cell["fixed"], key=lambda run: run["mean_s"])
        for run, style in ((best, "C7-"), (cell["oracle"], "C2-"), (cell["adaptive"], "C3.")):
            label = f"{run['strategy']}: {1e3 * run['mean_s']:.0f} ms"
            axis.plot(run["begun_s"], [1e3 * one for one in run["latency_s"]], style, lw=0.8, ms=3, label=label)
        axis.set_yscale("log")
        axis.set_ylabel("ms")
        axis.set_title(cell["cell"].rsplit(".", 1)[0], fontsize=9, loc="left")
        axis.legend(fontsize=7, loc="upper right")
    axes[-1].set_xlabel("seconds of the recording")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("build/bench/adaptive.json"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/figures"))
    arguments = parser.parse_args()
    traces = collections.defaultdict(list)
    for cell in json.loads(arguments.results.read_text()):
        if 1.01 * cell["oracle"]["mean_s"] <= min(run["mean_s"] for run in cell["fixed"]):
            traces[cell["cell"].rsplit(".", 1)[1]].append(cell)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for trace, cells in traces.items():
        draw(trace, cells, pathlib.Path(cells[0]["recording"]), arguments.out / f"adaptive_{trace}.svg")


if __name__ == "__main__":
    main()
