#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Assembles the root file system of the Lambda image: the worker, its shared libraries, the models, and nothing else.

    assemble_image.py --worker build/release/splitnet-worker --model build/models/mobilenet_v2.pt --out build/lambda/root

It runs here and, unchanged, in the Dockerfile; both need only Python, ldd, strip and a C++ compiler. The image has no shell,
no package manager and no Python: its entry point is /bootstrap (bootstrap.cpp), which becomes the worker, /splitnet-worker,
and its models are /models/NAME.pt. The worker is started once, to note what it reads (start_pages.py).
Prints what each part takes. Exit status 1, and nothing is left behind, when something is missing or the image is too large.
"""

import argparse
import pathlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import start_pages

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, read 2026-11-28.
IMAGE_LIMIT_BYTES = 10 * 1024**3
ZIP_LIMIT_BYTES = 250 * 1024**2
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# Mount points: Lambda (and in_image) put the real ones there.
MOUNT_POINTS = ("dev", "proc", "sys", "tmp")
# glibc >= 2.34 has the modules "files" and "dns" inside libc.
FILES = {
    "etc/nsswitch.conf": "passwd: files\nhosts: files dns\n",
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\n",
    "etc/resolv.conf": "",
}


class AssemblyError(Exception):
    """What keeps the image from being assembled, in words for a person."""


@dataclass(frozen=True)
class Model:
    name: str
    path: pathlib.Path


def parse_model(text: str) -> Model:
    """`MODEL.pt` (named after the file, without its ending) or `NAME=MODEL.pt`, as splitnet-worker takes them."""
    name, equals, path = text.partition("=")
    if not equals:
        return Model(pathlib.Path(text).stem, pathlib.Path(text))
    return Model(name, pathlib.Path(path))


def shared_libraries(program: pathlib.Path) -> dict[str, pathlib.Path]:
    """Of a dynamically linked program: where in the image each library (and the loader) goes, and where it is here.

    Libraries go to the folder that the loader searches without a cache; the loader itself has to keep its path.
    """
    listing = subprocess.run(["ldd", program], capture_output=True, text=True)
    if listing.returncode != 0:
        raise AssemblyError(f"ldd can't read {program}: {listing.stdout.strip()} {listing.stderr.strip()}")
    folder = f"lib/{platform.machine()}-linux-gnu"
    found: dict[str, pathlib.Path] = {}
    for line in listing.stdout.splitlines():
        if missing := re.match(r"\s*(\S+) => not found", line):
            raise AssemblyError(f"{program} needs {missing[1]}, which is not on this machine")
        if library := re.match(r"\s*(\S+) => (/\S+)", line):
            found[f"{folder}/{library[1]}"] = pathlib.Path(library[2])
        elif loader := re.match(r"\s*(/\S+) \(", line):
            found[loader[1].lstrip("/")] = pathlib.Path(loader[1])
    return found


def copy_stripped(source: pathlib.Path, target: pathlib.Path) -> None:
    """Without symbols that only debuggers read: a fifth of libtorch_cpu.so."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["strip", "--strip-unneeded", "-o", target, source.resolve()], check=True)
    target.chmod(0o755)


def prepare(worker: pathlib.Path, model: Model, folder: pathlib.Path) -> Model:
    """The model as it is after loading, which a function loads several times faster; itself where it can't be prepared."""
    if not model.path.is_file():
        raise AssemblyError(f"there is no file {model.path}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model.name}.pt"
    done = subprocess.run([worker, model.path, "--prepare", path], capture_output=True, text=True)
    if done.returncode == 0:
        return Model(model.name, path)
    print(f"{model.path} goes into the image as it is: {done.stderr.strip()}")
    return model


def contents(worker: pathlib.Path, models: list[Model]) -> dict[str, pathlib.Path]:
    """What is copied, by place in the image."""
    for path in (worker, CERTIFICATES, *(model.path for model in models)):
        if not path.is_file():
            raise AssemblyError(f"there is no file {path}")
    files = {"splitnet-worker": worker, str(CERTIFICATES).lstrip("/"): CERTIFICATES}
    files |= shared_libraries(worker)
    for model in models:
        place = f"models/{model.name}.pt"
        if place in files:
            raise AssemblyError(f"two models have the name {model.name}: {files[place]} and {model.path}")
        files[place] = model.path
    return files


def fill(root: pathlib.Path, files: dict[str, pathlib.Path]) -> None:
    for folder in MOUNT_POINTS:
        (root / folder).mkdir(parents=True)
    for place, text in FILES.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    for place, source in files.items():
        target = root / place
        if place.startswith(("lib", "splitnet-worker")):
            copy_stripped(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def add_bootstrap(root: pathlib.Path, models: list[Model], inputs: list[str]) -> None:
    """The entry point and what it asks for: the pages that the worker reads to start, and to try the models with inputs."""
    source = pathlib.Path(__file__).with_name("bootstrap.cpp")
    subprocess.run(["c++", "-std=c++20", "-O2", "-static", "-s", "-o", root / "bootstrap", source], check=True)
    options = [word for one in inputs for word in ("--input", one)]
    try:
        found = start_pages.ranges(root, [model.name for model in models], options)
    except start_pages.StartError as error:
        raise AssemblyError(str(error)) from None
    (root / "bootstrap.pages").write_text(start_pages.text(found))


def size_bytes(root: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def assemble(
    worker: pathlib.Path,
    models: list[Model],
    out: pathlib.Path,
    inputs: list[str],
    limit_bytes: int = IMAGE_LIMIT_BYTES,
) -> pathlib.Path:
    """Replaces the folder `out` by the image. Raises AssemblyError and leaves no half of one."""
    if out.exists() and any(out.iterdir()) and not (out / "splitnet-worker").is_file():
        raise AssemblyError(f"{out} is not empty and not an image of before, so it is not replaced")
    unfinished = out.with_name(out.name + ".unfinished")
    prepared = out.with_name(out.name + ".models")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        fill(unfinished, contents(worker, [prepare(worker, model, prepared) for model in models]))
        if (found := size_bytes(unfinished)) > limit_bytes:
            raise AssemblyError(f"image too large: {found} bytes unpacked, Lambda takes at most {limit_bytes}")
        add_bootstrap(unfinished, models, inputs)
        shutil.rmtree(out, ignore_errors=True)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(prepared, ignore_errors=True)
    return out


def compressed_bytes(root: pathlib.Path) -> int:
    """Of the image as one gzip'ed layer: what a registry stores and a push sends."""
    tar = subprocess.Popen(["tar", "-C", root, "-cz", "."], stdout=subprocess.PIPE)
    counted = subprocess.run(["wc", "-c"], stdin=tar.stdout, capture_output=True, text=True, check=True)
    if tar.wait() != 0:
        raise AssemblyError(f"tar can't pack {root}: exit status {tar.returncode}")
    return int(counted.stdout)


def parts(root: pathlib.Path) -> Iterator[tuple[str, int]]:
    """What takes the room, the largest first; files of less than 1 MB together."""
    sizes = {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("*") if p.is_file()}
    large = {name: size for name, size in sizes.items() if size >= 1_000_000}
    yield from sorted(large.items(), key=lambda part: -part[1])
    yield f"{len(sizes) - len(large)} smaller files", sum(sizes.values()) - sum(large.values())


def report(root: pathlib.Path, compress: bool) -> Iterator[str]:
    total = size_bytes(root)
    for name, size in parts(root):
        yield f"{size / 1e6:8.1f} MB  {name}"
    yield f"{total / 1e6:8.1f} MB  in all, of at most {IMAGE_LIMIT_BYTES / 1e6:.0f} MB for an image"
    fits = "fits" if total <= ZIP_LIMIT_BYTES else "does not fit"
    yield f"             {fits} into a zip package, which may have {ZIP_LIMIT_BYTES / 1e6:.0f} MB unpacked"
    if compress:
        yield f"{compressed_bytes(root) / 1e6:8.1f} MB  compressed, as a registry keeps it"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--worker", type=pathlib.Path, required=True, help="the program splitnet-worker, built for release"
    )
    parser.add_argument("--model", type=parse_model, action="append", required=True, metavar="[NAME=]MODEL.pt")
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="folder of the image; one of before is replaced"
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]SHAPE[:DTYPE]",
        help="as splitnet-worker has it: the models are tried with it, so that what a pass reads is noted, too",
    )
    parser.add_argument("--limit-bytes", type=int, default=IMAGE_LIMIT_BYTES, help="refuse a larger image")
    parser.add_argument("--compressed", action="store_true", help="say also what it takes compressed (20 s)")
    arguments = parser.parse_args()
    try:
        root = assemble(arguments.worker, arguments.model, arguments.out, arguments.input, arguments.limit_bytes)
        for line in report(root, arguments.compressed):
            print(line)
    except AssemblyError as error:
        print(f"assemble_image.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
