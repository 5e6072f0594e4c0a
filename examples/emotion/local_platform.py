# SPDX-License-Identifier: Apache-2.0
"""The local platform: looks at the device, the worker and the link, decides how many layers run here, and runs them.

Only what crosses the cut leaves the device, never the photo nor a face: at least the first block runs here.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy
import torch

import splitnet
from common.prices import planner_price
from common.wire_bytes import on_wire
from common.worker_token import worker_token
from emotion.device import DeviceCheck, check_device
from emotion.faces import FACE_SIDE
from emotion.network import blocks_of
from emotion.settings import Settings

_CODECS = ["f16", "int8:per=channel;lossless=zstd", "int4:per=channel;lossless=zstd"]
_ONE_THREAD = splitnet.StageOptions(threads=1)  # Five milliseconds of work are not worth a second one.


@dataclass(frozen=True)
class Choice:
    """Where the network runs, and what the planner says of it."""

    head_layers: int  #: On the device; all of them: nothing is sent.
    codec: str  #: Of the boundary.
    predicted_s: float | None  #: For the network alone, without the search for faces; None: nothing was measured.
    predicted_bytes: float  #: Up the link.


@dataclass(frozen=True)
class Recognition:
    """The answer for one face, and what it took."""

    probabilities: list[float]  #: Seven, in the order of LABELS.
    choice: Choice
    device_s: float  #: The head, and what the device finished.
    transfer_s: float  #: There and back, with encoding and decoding, the start of a cold function, and waiting in vain.
    worker_s: float  #: The tail, and waiting for its turn.
    total_s: float
    sent_bytes: int  #: The boundary, encoded, as it is on the wire; once for each request.
    received_bytes: int  #: The answer, likewise.
    answered_by: str  #: Endpoint of the worker; empty: the device.
    trouble: str  #: Why the device finished what the worker should have; empty: it did not have to.


@dataclass(frozen=True)
class Findings:
    """What was found out about device, worker and link the last time that this was asked."""

    device: splitnet.DeviceProfile
    plan: splitnet.TwoTierPlan | None
    trouble: str  #: Why there is no plan; empty: there is one.


class LocalPlatform:
    """One for each process; thread-safe. Close it, or use it in a `with`.

    Workers that ask for a token are shown that of the environment, SPLITNET_TOKEN. Raises splitnet.Error when the model
    can't be loaded, FileNotFoundError when it is not there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        examples = example_faces(settings.models)
        self.part = splitnet.Partitioner(settings.models / "emotion.pt", [examples[0]])
        self.blocks = blocks_of(self.part)
        self.layers = len(self.part.layers.layers)
        self._token = worker_token()
        self._calibration = _calibrated(self.part, examples, settings.models / "emotion_calibration.json")
        self._sessions: dict[tuple[int, str], splitnet.Session] = {}
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self.findings = self._measure()

    def check(self) -> DeviceCheck:
        """Looks at the device."""
        return check_device(self.findings.device)

    def make_plan(self) -> None:
        """Measures device, worker and link anew, and chooses cut and codec. Without a worker all runs here."""
        with self._measuring:  # Two at a time would slow each other down.
            self.findings = self._measure()

    @property
    def plan(self) -> splitnet.TwoTierPlan | None:
        """None: there is no worker, or none that fits."""
        return self.findings.plan

    def _measure(self) -> Findings:
        settings = self.settings
        worker = splitnet.Tier(
            name="worker",
            price=planner_price(settings.memory_megabytes),
            cold_start_probability=settings.cold_start_probability,
            cold_start_s=settings.cold_start_s,
        )
        once = splitnet.ProfileOptions(stage=_ONE_THREAD)
        device = splitnet.profile_device(self.part, self.part.example_inputs, once)
        options = splitnet.TwoTierOptions(
            device=splitnet.Tier(name="device", profile=device),
            worker=worker,
            link_options=splitnet.LinkProbeOptions(max_bytes=1 << 20),
        )
        try:
            plan = splitnet.plan(
                self.part,
                settings.worker,
                settings.objective,
                max_accuracy_loss=settings.max_accuracy_loss,
                min_head_layers=settings.min_head_layers,
                calibration=self._calibration,
                planning=options,
                threads=1,
                token=self._token,
            )
        except splitnet.Error as error:
            return Findings(device, None, str(error))
        return Findings(device, plan, "")

    @property
    def chosen(self) -> Choice:
        """What the planner picked; everything here when there is no plan."""
        picked = None if self.plan is None else self.plan.plan.chosen
        return self.choice(self.layers) if picked is None else self._choice_of(picked)

    def choice(self, head_layers: int) -> Choice:
        """The fastest that the planner knows for a cut behind so many layers. Raises InvalidArgument: the photo would leave."""
        if not self.settings.min_head_layers <= head_layers <= self.layers:
            raise splitnet.InvalidArgument(
                f"{head_layers} layers on the device: expected {self.settings.min_head_layers} (or the photo would "
                f"leave it) to {self.layers}"
            )
        plan = self.plan
        candidates = [] if plan is None else plan.plan.candidates
        fitting = [one for one in candidates if not one.violates and self._head_layers(one) == head_layers]
        if not fitting:
            return Choice(head_layers, "raw", None, 0)
        return self._choice_of(min(fitting, key=lambda one: one.cost.latency_s))

    def _choice_of(self, candidate: splitnet.Candidate) -> Choice:
        hops, codecs = candidate.cost.hops, candidate.assignment.codecs
        return Choice(
            self._head_layers(candidate),
            codecs[0] if codecs else "raw",
            candidate.cost.latency_s,
            hops[0].bytes_up if hops else 0,
        )

    def recognise(self, face: torch.Tensor, choice: Choice) -> Recognition:
        """Runs the network on one face (1x1x64x64). Always answers: the device finishes what the worker does not."""
        trouble = ""
        try:
            session = self._session(choice)
        except splitnet.Error as error:
            trouble = str(error)
            session = self._session(self.choice(self.layers))
        answer = session.run(face)
        if choice.head_layers < self.layers and not answer.answered_by and not trouble:
            trouble = f"{self.settings.worker} did not answer"
        times = answer.times
        transfer_s = times.encode_s + times.transport_s + times.decode_s
        transfer_s += 0.0 if answer.answered_by else times.device_wait_s
        worker_s = times.queue_s + times.tail_s if answer.answered_by else 0.0
        share = on_wire(self.settings.worker)
        return Recognition(
            probabilities=answer.output[0].tolist(),
            choice=choice,
            device_s=times.total_s - transfer_s - worker_s,
            transfer_s=transfer_s,
            worker_s=worker_s,
            total_s=times.total_s,
            sent_bytes=round(times.boundary_bytes * answer.requests * share),
            received_bytes=round(sum(hop.reply_bytes for hop in times.hops) * share),
            answered_by=answer.answered_by,
            trouble=trouble,
        )

    def close(self) -> None:
        """Closes the connections. Idempotent."""
        with self._lock:
            for session in self._sessions.values():
                session.close()
            self._sessions.clear()

    def __enter__(self) -> LocalPlatform:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _head_layers(self, candidate: splitnet.Candidate) -> int:
        heads = candidate.assignment.heads
        return len(heads[0]) if heads else self.layers

    def _session(self, choice: Choice) -> splitnet.Session:
        key = (choice.head_layers, choice.codec)
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = self._open(choice)
            return self._sessions[key]

    def _open(self, choice: Choice) -> splitnet.Session:
        if choice.head_layers == self.layers:
            return splitnet.Session(self.part, threads=1)
        return splitnet.Session(
            self.part,
            worker=self.settings.worker,
            cut=choice.head_layers - 1,
            codec=choice.codec,
            deadline_s=self.settings.deadline_s,
            threads=1,
            token=self._token,
        )


def example_faces(models: Path) -> list[torch.Tensor]:
    """A hundred faces of Labeled Faces in the Wild, each 1x1x64x64 float32 in -1..1."""
    faces = numpy.load(models / "emotion_faces.npy")
    return [
        torch.from_numpy(cv2.resize(face, (FACE_SIDE, FACE_SIDE)).astype("float32") / 127.5 - 1)[None, None]
        for face in faces
    ]


def _calibrated(part: splitnet.Partitioner, faces: list[torch.Tensor], file: Path) -> splitnet.Calibration:
    """What codecs do to the answers at each block's boundary: measured once, then read."""
    heads = [block.end for block in blocks_of(part)[:-1]]
    with contextlib.suppress(splitnet.Error):
        found = splitnet.Calibration.from_file(str(file))
        found.check_fits(part.layers)
        if _is_of(found, heads):
            return found
    options = splitnet.CalibrationOptions(
        output=splitnet.OutputKind.probabilities,
        cuts=[splitnet.Cut.after_index(layers - 1) for layers in heads],
        codecs=_CODECS,
        coarsenesses=[],
        refined_losses=[],
        stage=_ONE_THREAD,
    )
    measured = splitnet.calibrate(part, [[face] for face in faces], options)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")  # Another process may be reading it.
    measured.save(str(unfinished))
    unfinished.rename(file)
    return measured


def _is_of(calibration: splitnet.Calibration, heads: Sequence[int]) -> bool:
    """Whether it has all these codecs behind so many layers each."""
    profiles = [one.profile for one in calibration.codecs]
    found = {(one.name, len(one.head)) for one in profiles if one.head is not None}
    return found >= {(codec, layers) for codec in _CODECS for layers in heads}
