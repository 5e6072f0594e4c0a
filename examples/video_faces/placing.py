# SPDX-License-Identifier: Apache-2.0
"""Where the two networks run: on this device, with a worker, or split, each as its own plan says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import splitnet
from common.package_files import ROOT
from common.worker_token import worker_token
from video_faces import faces
from video_faces.faces import Box, Frame
from video_faces.video import Video, read_photo

MODELS = ROOT / "build/models"
DETECTOR = "face_detector"  #: By these names workers and sessions know the networks.
DESCRIPTOR = "face_descriptor"
#: What a codec may change raw head and descriptor by: mean relative error. Descriptors are about 1.4 long, so that this
#: moves them by a tenth of what separates persons.
MAX_ACCURACY_LOSS = 0.04
PHOTO_SIDE = 416  #: Of the detector's square for photos, in which faces are smaller than in front of a camera.

_CODECS = ["f16", "int8:per=channel;lossless=zstd"]
_CALIBRATION_FRAMES = 12


@dataclass(frozen=True)
class Networks:
    """The two, ready to be cut."""

    detector: splitnet.Partitioner
    descriptor: splitnet.Partitioner

    def by_name(self) -> dict[str, splitnet.Partitioner]:
        return {DETECTOR: self.detector, DESCRIPTOR: self.descriptor}


@dataclass(frozen=True)
class Sessions:
    """One for each network. Close them, or use them in a `with`."""

    detector: splitnet.Session
    descriptor: splitnet.Session

    def close(self) -> None:
        self.detector.close()
        self.descriptor.close()

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def faces_in(self, frame: Frame, side: int = PHOTO_SIDE) -> list[tuple[Box, torch.Tensor]]:
        """Box and 1x128 descriptor of each face, best first, one after the other: for photos."""
        head = self.detector(faces.detector_input(frame, side))
        boxes = faces.boxes_in(head, frame.shape[1], frame.shape[0], side)
        return [(box, self.descriptor(faces.face_input(frame, box))) for box in boxes]


def model_files(models: Path = MODELS) -> list[Path]:
    """Of both networks, detector first. Raises FileNotFoundError."""
    files = [models / f"{name}.pt" for name in (DETECTOR, DESCRIPTOR)]
    for file in files:
        if not file.exists():
            raise FileNotFoundError(
                f"{file} is missing: .venv/bin/python examples/video_faces/export_model.py makes it"
            )
    return files


def load(models: Path = MODELS) -> Networks:
    """Their example inputs are a frame of the clip and the face in it. Raises FileNotFoundError, splitnet.Error."""
    files = model_files(models)
    with Video(str(models / "video_faces/caller.mp4")) as video:
        frame = next(video.frames())
    pixels = faces.detector_input(frame)
    detector = splitnet.Partitioner(files[0], [pixels])
    stage = detector.make_stage(splitnet.StageKey(), splitnet.StageOptions(threads=1))
    box = faces.boxes_in(stage.run([pixels])[0], frame.shape[1], frame.shape[0])[0]
    return Networks(detector, splitnet.Partitioner(files[1], [faces.face_input(frame, box)]))


def worker_inputs(networks: Networks) -> list[str]:
    """As `--input` of a worker takes them: sessions that plan need them."""
    return [
        f"{name}={'x'.join(str(size) for size in part.example_inputs[0].shape)}"
        for name, part in networks.by_name().items()
    ]


def on_device(networks: Networks) -> Sessions:
    """Nothing is sent."""
    return Sessions(*(splitnet.Session(part, threads=1) for part in (networks.detector, networks.descriptor)))


def make_plan(
    part: splitnet.Partitioner,
    worker: str,
    calibration: splitnet.Calibration,
    device: splitnet.DeviceProfile | None = None,
) -> splitnet.TwoTierPlan:
    """The fastest place, cut and codec under MAX_ACCURACY_LOSS. `device`: what is known of it, else it is measured.

    Raises splitnet.Error.
    """
    planning = splitnet.TwoTierOptions(link_options=splitnet.LinkProbeOptions(max_bytes=1 << 20))
    if device is not None:
        planning = planning.replace(device=splitnet.Tier(name="device", profile=device))
    return splitnet.plan(
        part,
        worker,
        max_accuracy_loss=MAX_ACCURACY_LOSS,
        calibration=calibration,
        planning=planning,
        threads=1,
        token=worker_token(),
    )


def open_planned(
    part: splitnet.Partitioner, plan: splitnet.TwoTierPlan, spare_workers: Sequence[str] = (), adaptive: bool = False
) -> splitnet.Session:
    """As the plan says; `adaptive`: it may say otherwise before each inference, as the link and the workers are."""
    return splitnet.Session(
        part, plan, spare_workers=spare_workers, token=worker_token(), policy="adaptive" if adaptive else None
    )


def calibrated(networks: Networks, models: Path = MODELS) -> dict[str, splitnet.Calibration]:
    """What codecs do to the answers of each network, by its name: from a file beside it, or measured now."""
    found = {}
    for name, part in networks.by_name().items():
        path = models / f"{name}_calibration.json"
        sources = [Path(__file__), Path(faces.__file__), models / f"{name}.pt"]
        if not path.exists() or path.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            _calibrate(part, _examples(networks, models)[name]).save(str(path))
        found[name] = splitnet.Calibration.from_file(str(path))
    return found


def _calibrate(part: splitnet.Partitioner, inputs: list[torch.Tensor]) -> splitnet.Calibration:
    """At the boundaries that are small, and for the picture itself."""
    cuts = part.cuts()
    small = [one for one in cuts if not one.refusal and one.boundary_bytes < part.example_inputs[0].nbytes]
    # Of several that are as large, the last: more is done on the device for the same bytes.
    last = {one.boundary_bytes: one for one in small}
    return splitnet.calibrate(
        part,
        [[one] for one in inputs],
        splitnet.CalibrationOptions(
            output=splitnet.OutputKind.numbers,
            cuts=[splitnet.Cut.after_index(one.index) for one in list(last.values())[-6:]],
            codecs=_CODECS,
            coarsenesses=[],
            qualities=[95, 85],
            refined_losses=[],
            pixels="mean=0,0,0;std=1,1,1",
            stage=splitnet.StageOptions(threads=1),
        ),
    )


def _examples(networks: Networks, models: Path) -> dict[str, list[torch.Tensor]]:
    """Frames of the clip and photos of strangers, and the faces in them."""
    with Video(str(models / "video_faces/caller.mp4")) as video:
        frames = list(video.frames())
    frames = frames[:: len(frames) // _CALIBRATION_FRAMES][:_CALIBRATION_FRAMES]
    frames += [read_photo(file) for file in sorted((models / "video_faces/strangers").glob("*.jpg"))]
    inputs = [faces.detector_input(frame) for frame in frames]
    with splitnet.Session(networks.detector, threads=1) as detector:
        heads = [detector(one) for one in inputs]
    crops = [
        faces.face_input(frame, box)
        for frame, head in zip(frames, heads, strict=True)
        for box in faces.boxes_in(head, frame.shape[1], frame.shape[0])
    ]
    return {DETECTOR: inputs, DESCRIPTOR: crops}
