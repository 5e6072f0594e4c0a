#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what bench_codec_sweep measured: bytes against changed answers, one picture for each network.

    bench/plot_codecs.py [--results build/bench/codec_sweep.json] [--out docs/figures]

Writes codecs_NETWORK.svg.
"""

import argparse
import json
import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "splitnet"  # The same bytes every time.
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import LogFormatter  # noqa: E402

STYLES = {"transform": "o-", "asked again": "*", "integers": "s--", "f16": "d", "jpeg": "^:", "webp": "v:", "u8": "P"}

COLOURS = {family: f"C{number}" for number, family in enumerate(STYLES)}
LOSSES = {"minilm": "1 − cosine, %", "yolov3_tiny": "relative error, %"}


def family_of(codec: str) -> str:
    if ", below " in codec:
        return "asked again"
    name = codec.split(":")[0]
    return "integers" if name.startswith("int") else name


def loss_of(rung: dict) -> float:
    """In percent; nothing lost is drawn at the lower end."""
    return max(100 * (1 - rung["agreement"]), 0.02)


def draw(network: str, cells: list[dict], path: pathlib.Path) -> None:
    cuts = [cell for cell in cells if cell["cut"] != "input"]
    pictures = [cell for cell in cells if cell["cut"] == "input"]
    figure, axes = plt.subplots(1, len(cuts), figsize=(4.2 * len(cuts), 3.8), sharey=True, squeeze=False)
    for axis, cell in zip(axes[0], cuts, strict=True):
        for family, style in STYLES.items():
            rungs = [r for c in (cell, *pictures) for r in c["rungs"] if family_of(r["codec"]) == family]
            rungs.sort(key=lambda rung: rung["bytes"])
            if not rungs:
                continue
            losses = [loss_of(rung) for rung in rungs]
            spread = [
                [max(100 * (r["agreement_high"] - r["agreement"]), 0) for r in rungs],
                [max(100 * (r["agreement"] - r["agreement_low"]), 0) for r in rungs],
            ]
            spread[0] = [min(low, loss - 0.02) for low, loss in zip(spread[0], losses, strict=True)]
            axis.errorbar(
                [r["bytes"] / 1000 for r in rungs],
                losses,
                yerr=spread,
                fmt=style,
                label=family,
                markersize=5,
                elinewidth=0.6,
                color=COLOURS[family],
            )
        axis.set_xscale("log")
        axis.set_yscale("log")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
        axis.set_xlabel("kB")
        axis.set_title(
            f"behind {cell['cut']}\n{cell['flops_share']:.0%} of the FLOPs, f32 {cell['raw_bytes'] / 1000:.0f} kB",
            fontsize=9,
        )
        for share in (0.5, 2):
            axis.axhline(share, color="0.8", linewidth=0.8, zorder=0)
        axis.grid(axis="x", color="0.93")
    axes[0][0].set_ylabel(LOSSES.get(network, "changed answers, %"))
    axes[0][-1].legend(fontsize=7)
    figure.suptitle(network)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("build/bench/codec_sweep.json"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/figures"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cells = json.loads(options.results.read_text(encoding="utf-8"))
    for network in dict.fromkeys(cell["network"] for cell in cells):
        path = options.out / f"codecs_{network}.svg"
        draw(network, [cell for cell in cells if cell["network"] == network], path)
        print(path)


if __name__ == "__main__":
    main()
