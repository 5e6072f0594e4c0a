# SPDX-License-Identifier: Apache-2.0
"""Known people: descriptors of their faces with their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from video_faces.networks import DESCRIPTOR_NUMBERS

#: Descriptors of one person are less than this apart (dlib's documentation of the network, and face-api's default).
SAME_PERSON = 0.6
MAX_FILE_BYTES = 64 * 2**20
_FORMAT = "video_faces gallery 1"


@dataclass(frozen=True)
class Match:
    """Who is nearest."""

    name: str  #: Empty: nobody that is known.
    distance: float  #: Euclidean, to the nearest face of the gallery; infinite where that is empty.


class Gallery:
    """A plain value, safe to use from several threads."""

    def __init__(self, names: Sequence[str], descriptors: torch.Tensor, threshold: float = SAME_PERSON) -> None:
        """A name for each row of Nx128; a person may have several. Raises ValueError."""
        if descriptors.shape != (len(names), DESCRIPTOR_NUMBERS):
            found = "x".join(str(size) for size in descriptors.shape)
            raise ValueError(
                f"gallery: found {found} numbers for {len(names)} names, expected {DESCRIPTOR_NUMBERS} each"
            )
        if not bool(descriptors.isfinite().all()):
            raise ValueError("gallery: found a descriptor with a number that is not finite")
        if not all(names):
            raise ValueError("gallery: found a face without a name")
        self.names = tuple(names)
        self.descriptors = descriptors.float()
        self.threshold = threshold

    @staticmethod
    def of(faces: Iterable[tuple[str, torch.Tensor]], threshold: float = SAME_PERSON) -> Gallery:
        """From names and 1x128 descriptors."""
        known = list(faces)
        if not known:
            return Gallery((), torch.empty(0, DESCRIPTOR_NUMBERS), threshold)
        return Gallery([name for name, _ in known], torch.cat([one for _, one in known]), threshold)

    @property
    def people(self) -> list[str]:
        """In alphabetical order."""
        return sorted(set(self.names))

    def nearest(self, descriptor: torch.Tensor) -> Match:
        """Of a 1x128 descriptor."""
        if not self.names:
            return Match("", float("inf"))
        distances = (self.descriptors - descriptor.reshape(1, -1)).norm(dim=1)
        at = int(distances.argmin())
        distance = float(distances[at])
        return Match(self.names[at] if distance < self.threshold else "", distance)

    def to_bytes(self) -> bytes:
        """JSON."""
        faces = [
            {"name": name, "descriptor": row} for name, row in zip(self.names, self.descriptors.tolist(), strict=True)
        ]
        return json.dumps({"format": _FORMAT, "threshold": self.threshold, "faces": faces}).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Gallery:
        """Raises ValueError: no gallery, a damaged one, or one that is too large."""
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"gallery: found {len(data)} bytes, expected at most {MAX_FILE_BYTES}")
        try:
            document = json.loads(data)
            if document["format"] != _FORMAT:
                raise ValueError(f"found format {document['format']!r}, expected {_FORMAT!r}")
            names = [str(face["name"]) for face in document["faces"]]
            rows = [torch.tensor(face["descriptor"], dtype=torch.float32).reshape(1, -1) for face in document["faces"]]
            threshold = float(document["threshold"])
            return Gallery.of(zip(names, rows, strict=True), threshold)
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise ValueError(f"gallery: {error}, in {len(data)} bytes") from None
