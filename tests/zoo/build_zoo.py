#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the zoo's models and inputs, and a manifest that names them.

    build_zoo.py [--part | --all] [--only NAME ...] [--out build/zoo]

For each entry and form: `<name>.<form>.pt`, the eval model as `torch.jit.save` writes it, not
frozen. Forms are `script` and `trace`; `script_small` and `trace_small` exist where the picture
size is fixed in the model, and then only they take the small input. For each entry:
`<name>.<size>.inputs.pt` (see container.py). What is up to date is kept.
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

import container  # noqa: E402
from entry import Entry  # noqa: E402

SIZES = ("small", "full", "other")


def key_of(entry: Entry) -> str:
    """Changes with the entry's own file, the shared ones, the packages and torch."""
    import inspect

    builder = inspect.unwrap(entry.build)
    own = {sys.modules[getattr(builder, "func", builder).__module__].__file__}
    files = sorted(own | {str(HERE / f) for f in ("build_zoo.py", "container.py", "entry.py", "packages.py")})
    digest = hashlib.sha256(torch.__version__.encode())
    for file in [*files, ROOT / "requirements/zoo.txt"]:
        digest.update(pathlib.Path(file).read_bytes())
    return digest.hexdigest()


def copy_of(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, (tuple, list)):
        return type(value)(copy_of(v) for v in value)
    if isinstance(value, dict):
        return {k: copy_of(v) for k, v in value.items()}
    return value


def outputs_of(model, inputs: tuple) -> list:
    with torch.no_grad():
        return container.flatten(model(*copy_of(inputs)))


def same_but_rounding(a: list, b: list) -> bool:
    def close(x, y) -> bool:
        if isinstance(x, torch.Tensor):
            return x.shape == y.shape and torch.allclose(x, y, rtol=1e-3, atol=1e-4, equal_nan=True)
        return x == y

    return len(a) == len(b) and all(map(close, a, b))


def trace(model, inputs: tuple):
    with torch.no_grad():
        return torch.jit.trace(model, copy_of(inputs), check_trace=False, strict=False)


def takes(form, eager, inputs: tuple) -> bool:
    """Whether the form gives the eager model's answers on these inputs."""
    try:
        return same_but_rounding(outputs_of(form, inputs), outputs_of(eager, inputs))
    except RuntimeError:
        return False


def forms_of(entry: Entry, inputs: dict[str, tuple]):
    """Yields (form, module, the sizes that it is for)."""
    model = entry.build()
    model_small = entry.build_small() if entry.build_small else None
    sizes = ["full", "other"] if model_small else list(SIZES)
    if entry.script:
        yield "script", model if isinstance(model, torch.jit.ScriptModule) else torch.jit.script(model), sizes
        if model_small:
            yield "script_small", torch.jit.script(model_small), ["small"]
    if not entry.trace:
        return
    traced = trace(model, inputs["full"])
    if model_small:
        yield "trace", traced, sizes
        yield "trace_small", trace(model_small, inputs["small"]), ["small"]
    elif entry.expect != "ok" or takes(traced, model, inputs["small"]):
        yield "trace", traced, sizes
    else:  # the example's size went into the trace
        yield "trace", traced, ["full", "other"]
        yield "trace_small", trace(model, inputs["small"]), ["small"]


def sane(outputs: list) -> None:
    for leaf in outputs:
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.numel() > 1:
            if not torch.isfinite(leaf).all() or leaf.std() < 1e-6:
                raise AssertionError(f"outputs are constant or not finite: {leaf.flatten()[:5]}")


def build(entry: Entry, out: pathlib.Path) -> list[dict]:
    inputs = {size: getattr(entry, size)() for size in SIZES}
    names = {size: f"{entry.name}.{size}.inputs.pt" for size in SIZES}
    for size in SIZES:
        container.save_values(list(inputs[size]), str(out / names[size]), entry.types)
    items = []
    for form, module, sizes in forms_of(entry, inputs):
        first = outputs_of(module, inputs[sizes[0]])
        if entry.name != "nan_inf":
            sane(first)
        if entry.check and form in ("script", "trace"):
            with torch.no_grad():
                print(f"  {entry.name} {form}: {entry.check(module(*copy_of(inputs['full'])))}", flush=True)
        # Stateful models ran just now: what is saved must be as built.
        if entry.expect == "refused":
            module = next(m for f, m, _ in forms_of(entry, inputs) if f == form)
        file = f"{entry.name}.{form}.pt"
        torch.jit.save(module, str(out / file))
        items.append({
            "name": entry.name,
            "form": form,
            "file": file,
            "inputs": {size: names[size] for size in sizes},
            "expect": entry.expect,
            "note": "; ".join(filter(None, (entry.note, entry.why))),
            "real_weights": entry.real_weights,
            "part": entry.part and form.split("_")[0] in entry.part_forms,
        })  # fmt: skip
    return items


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="store_true", help="the quick part only")
    parser.add_argument("--all", action="store_true", help="everything (the default)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these entries only")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/zoo")
    options = parser.parse_args()
    from models import ENTRIES

    chosen = [e for e in ENTRIES if (not options.part or e.part) and (not options.only or e.name in options.only)]
    unknown = set(options.only or ()) - {e.name for e in ENTRIES}
    if unknown:
        parser.error(f"no such entry: {', '.join(sorted(unknown))}")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    start, failed, manifest = time.monotonic(), [], []
    for i, entry in enumerate(chosen, 1):
        stamp, key = options.out / f"{entry.name}.stamp.json", key_of(entry)
        made = json.loads(stamp.read_text()) if stamp.exists() else {}
        if made.get("key") == key and all((options.out / item["file"]).exists() for item in made["items"]):
            manifest += made["items"]
            continue
        began = time.monotonic()
        try:
            items = build(entry, options.out)
        except Exception as error:  # the other entries are still wanted
            failed.append(entry.name)
            print(f"[{i}/{len(chosen)}] {entry.name}: FAILED: {type(error).__name__}: {str(error)[:1500]}", flush=True)
            continue
        stamp.write_text(json.dumps({"key": key, "items": items}))
        manifest += items
        forms = " ".join(item["form"] for item in items)
        print(f"[{i}/{len(chosen)}] {entry.name}: {forms} ({time.monotonic() - began:.1f} s)", flush=True)
    (options.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"zoo: {len(manifest)} files of {len(chosen)} models in {time.monotonic() - start:.0f} s"
          + (f"; FAILED: {' '.join(failed)}" if failed else ""))  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
