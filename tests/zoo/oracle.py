#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The zoo's oracle: what plain torch answers, uncut. Uses no splitnet code.

    oracle.py [--part] [--only NAME ...] [--dir build/zoo]

For each item of the manifest that may be cut, each size and 1 and 2 threads, the frozen model runs
cold (just loaded and frozen) and warm (three more runs), each time on fresh inputs. Written:

- `<name>.<form>.<size>.t<threads>.expected.pt`: the leaves of the output in order (container.py);
- the same with `.after.pt`, only where the model writes its inputs: their leaves after the run;
- `oracle.json`: one record for each run, with `expected` or the `error` of the uncut model.

It reports where warm runs or the simple executor give other bits, and how far the frozen model is
from the original one. What is up to date is kept.
"""

import argparse
import hashlib
import json
import pathlib
import sys
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
warnings.filterwarnings("ignore")

import torch  # noqa: E402

from container import flatten, load_values, save_values  # noqa: E402

WARM_RUNS = 3


def bits(leaf) -> tuple:
    """What must be equal: type, shape, and every byte (so NaN equals itself, and -0 is not 0)."""
    if not isinstance(leaf, torch.Tensor):
        return type(leaf), repr(leaf)
    data = leaf.detach().contiguous().reshape(-1).view(torch.uint8) if leaf.numel() else torch.empty(0)
    return leaf.dtype, tuple(leaf.shape), hashlib.sha256(data.numpy().tobytes()).hexdigest()


def same(a: list, b: list) -> bool:
    return [*map(bits, a)] == [*map(bits, b)]


def run(model, inputs_file: str) -> tuple[list, list]:
    """Leaves of the outputs, copied at once, and of the inputs after the run."""
    inputs = load_values(inputs_file)
    outputs = flatten(model(*inputs))
    return [v.clone() if isinstance(v, torch.Tensor) else v for v in outputs], flatten(inputs)


def difference(frozen: list, original: list) -> tuple[float, float]:
    """Largest absolute difference, and the largest relative to the leaf's largest value."""
    worst, worst_relative = 0.0, 0.0
    for a, b in zip(frozen, original, strict=True):
        if isinstance(a, torch.Tensor) and a.numel() and not same([a], [b]):
            kind = torch.complex128 if a.is_complex() else torch.float64
            gap = (a.to(kind) - b.to(kind)).abs()
            gap = float(gap[torch.isfinite(gap)].max()) if torch.isfinite(gap).any() else float("inf")
            worst = max(worst, gap)
            worst_relative = max(worst_relative, gap / max(float(b.to(kind).abs().max()), 1e-30))
    return worst, worst_relative


def ask(item: dict, size: str, threads: int, original, directory: pathlib.Path) -> dict:
    inputs_file = str(directory / item["inputs"][size])
    stem = f"{item['name']}.{item['form']}.{size}.t{threads}"
    record = {"name": item["name"], "form": item["form"], "size": size, "threads": threads}
    torch.set_num_threads(threads)
    frozen = torch.jit.freeze(original)
    try:
        began = time.perf_counter()
        expected, after = run(frozen, inputs_file)
        record["cold_s"] = round(time.perf_counter() - began, 5)
    except Exception as error:  # the uncut model fails on these inputs: so must the cut one
        return {**record, "expected": None, "error": str(error).strip().splitlines()[-1]}
    warm_same = True
    for _ in range(WARM_RUNS):
        began = time.perf_counter()
        warm_same &= same(run(frozen, inputs_file)[0], expected)
        record["warm_s"] = round(time.perf_counter() - began, 5)
    simple = torch.jit.freeze(original)  # outside: freezing goes wrong without optimisation
    with torch.jit.optimized_execution(False):
        simple_same = same(run(simple, inputs_file)[0], expected)
    save_values(expected, str(directory / f"{stem}.expected.pt"))
    written = not same(after, flatten(load_values(inputs_file)))
    if written:
        save_values(after, str(directory / f"{stem}.after.pt"))
    gap, relative = difference(expected, run(original, inputs_file)[0])
    return {
        **record, "expected": f"{stem}.expected.pt", "error": None, "warm_same": warm_same, "simple_same": simple_same,
        "inputs_written": written, "frozen_max_abs": gap, "frozen_max_relative": relative,
        "bits": hashlib.sha256(repr([*map(bits, expected)]).encode()).hexdigest()[:16],
    }  # fmt: skip


def key_of(item: dict, directory: pathlib.Path) -> str:
    digest = hashlib.sha256(torch.__version__.encode())
    for file in (__file__, HERE / "container.py"):
        digest.update(pathlib.Path(file).read_bytes())
    for file in (item["file"], *item["inputs"].values()):
        about = (directory / file).stat()
        digest.update(f"{file} {about.st_size} {about.st_mtime_ns}".encode())
    return digest.hexdigest()


def answer(item: dict, directory: pathlib.Path) -> list[dict]:
    """The item's records, from last time if nothing has changed."""
    stamp, key = directory / f"{item['name']}.{item['form']}.oracle.json", key_of(item, directory)
    if stamp.exists():
        known = json.loads(stamp.read_text())
        if known["key"] == key:
            return known["records"]
    original = torch.jit.load(str(directory / item["file"])).eval()
    records = [ask(item, size, threads, original, directory) for threads in (1, 2) for size in item["inputs"]]
    stamp.write_text(json.dumps({"key": key, "records": records}))
    return records


def line_of(item: dict, records: list[dict]) -> str:
    good = [r for r in records if r["expected"]]
    words = [f"{item['name']}.{item['form']}:"]
    words.append("cold=warm" if all(r["warm_same"] for r in good) else "COLD AND WARM DIFFER")
    words.append("simple=default" if all(r["simple_same"] for r in good) else "SIMPLE EXECUTOR DIFFERS")
    by_size = {r["size"]: {q["bits"] for q in good if q["size"] == r["size"]} for r in good}
    words.append("threads=same" if all(len(b) == 1 for b in by_size.values()) else "threads=differ")
    words.append(f"frozen-original={max((r['frozen_max_abs'] for r in good), default=0.0):.1e}")
    words.append(f"({max((r['frozen_max_relative'] for r in good), default=0.0):.1e} relative)")
    words += sorted({f"[{r['size']} fails: {r['error'][:90]}]" for r in records if r["error"]})
    return " ".join(words)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="store_true", help="the quick part only")
    parser.add_argument("--all", action="store_true", help="everything (the default)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these entries only")
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "build/zoo")
    options = parser.parse_args()
    manifest = json.loads((options.dir / "manifest.json").read_text())
    chosen = [i for i in manifest if (not options.part or i["part"]) and (not options.only or i["name"] in options.only)]
    start, everything, unsteady = time.monotonic(), [], 0
    with torch.no_grad():
        for item in chosen:
            if item["expect"] != "ok":
                continue
            records = answer(item, options.dir)
            everything += records
            unsteady += any(r["expected"] and not r["warm_same"] for r in records)
            print(line_of(item, records), flush=True)
    (options.dir / "oracle.json").write_text(json.dumps(everything, indent=1) + "\n")
    print(f"oracle: {len(everything)} answers, {unsteady} items where cold and warm differ, "
          f"{time.monotonic() - start:.0f} s")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
