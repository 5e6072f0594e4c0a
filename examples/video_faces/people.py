# SPDX-License-Identifier: Apache-2.0
"""The people of the example: who is enrolled from which pictures, and their records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from video_faces import faces
from video_faces.faces import Frame
from video_faces.gallery import Gallery
from video_faces.placing import PHOTO_SIDE, Sessions
from video_faces.records import Record
from video_faces.video import Video, read_photo

CALLER = "The caller"  #: The man of the clip; his record is made up.
ENROLLED_EVERY = 20  #: Of his frames each so-and-so-many-th is enrolled; all others are there to be recognised.
#: Enrolled from one photo each: name, file.
PHOTOS = (("Barack Obama", "obama"), ("Joe Biden", "biden"), ("Eileen Collins", "astronaut"))
#: Photos of people of the gallery that were not enrolled.
OTHER_PHOTOS = tuple(
    ("Barack Obama", name) for name in ("obama2", "obama3", "obama_partial_face", "obama_partial_face2")
)
RECORDS = (
    Record(CALLER, "Telecommunications", "senior"),
    Record("Barack Obama", "Political science", "1983"),
    Record("Joe Biden", "History and political science", "1965"),
    Record("Eileen Collins", "Mathematics and economics", "1978"),
)


class EnrollmentError(ValueError):
    """A picture to enroll from has no face, or several."""


@dataclass(frozen=True)
class Figures:
    """How the faces of some pictures were named."""

    pictures: int
    faces: int  #: That were found in them.
    right: int  #: Named rightly: with their name, or as unknown where they are nobody's of the gallery.
    wrong: int  #: Given somebody else's name, or taken for somebody of the gallery.

    @property
    def accuracy(self) -> float:
        """Of all pictures of one face each: a face that was not found is not right either."""
        return self.right / max(self.pictures, self.faces)


def enroll(sessions: Sessions, models: Path) -> Gallery:
    """Everybody. Raises EnrollmentError."""
    folder = models / "video_faces"
    known = [
        (CALLER, _only_face(sessions, frame, faces.DETECTOR_SIDE, f"frame {number} of the clip"))
        for number, frame in enumerate(clip_frames(models))
        if number % ENROLLED_EVERY == 0
    ]
    known += [(name, enrolled_from(sessions, folder / f"people/{file}.jpg")) for name, file in PHOTOS]
    return Gallery.of(known)


def enrolled_from(sessions: Sessions, photo: Path) -> torch.Tensor:
    """1x128: of the one face in a photo. Raises EnrollmentError, PictureError."""
    return _only_face(sessions, read_photo(photo), PHOTO_SIDE, photo.name)


def clip_frames(models: Path) -> Iterator[Frame]:
    """Of the clip with the caller."""
    with Video(str(models / "video_faces/caller.mp4")) as video:
        yield from video.frames()


def recognised_photos(sessions: Sessions, gallery: Gallery, models: Path) -> Figures:
    """Photos of people of the gallery that were not enrolled, one face each."""
    folder = models / "video_faces/people"
    return _figures(sessions, gallery, [(name, folder / f"{file}.jpg") for name, file in OTHER_PHOTOS])


def strangers_named(sessions: Sessions, gallery: Gallery, models: Path) -> Figures:
    """Photos of people who are nobody of the gallery: right is "unknown"."""
    return _figures(
        sessions, gallery, [("", file) for file in sorted((models / "video_faces/strangers").glob("*.jpg"))]
    )


def _figures(sessions: Sessions, gallery: Gallery, photos: Sequence[tuple[str, Path]]) -> Figures:
    found = [
        (name, gallery.nearest(descriptor).name)
        for name, photo in photos
        for _, descriptor in sessions.faces_in(read_photo(photo))
    ]
    return Figures(
        pictures=len(photos),
        faces=len(found),
        right=sum(name == given for name, given in found),
        wrong=sum(bool(given) and name != given for name, given in found),
    )


def _only_face(sessions: Sessions, frame: Frame, side: int, what: str) -> torch.Tensor:
    found = sessions.faces_in(frame, side)
    if len(found) != 1:
        raise EnrollmentError(f"{what}: found {len(found)} faces, expected one to enroll")
    return found[0][1]
