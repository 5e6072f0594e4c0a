# SPDX-License-Identifier: Apache-2.0
"""Who is nearest, and galleries as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from video_faces import people
from video_faces.cloud import Cloud
from video_faces.faces import Frame
from video_faces.gallery import Gallery
from video_faces.people import EnrollmentError
from video_faces.placing import Sessions


def at(*numbers: float) -> torch.Tensor:
    """A descriptor that begins so."""
    return torch.tensor([*numbers, *[0.0] * (128 - len(numbers))]).reshape(1, -1)


@pytest.fixture
def two() -> Gallery:
    return Gallery.of([("Ada", at(0, 0)), ("Ada", at(1, 0)), ("Bob", at(0, 2))])


@pytest.mark.parametrize(
    ("numbers", "name", "distance"),
    [((0, 0), "Ada", 0.0), ((1, 0.3), "Ada", 0.3), ((0, 1.5), "Bob", 0.5), ((0, 1), "", 1.0), ((9, 9), "", 8602)],
)
def test_the_nearest_within_the_threshold_gives_the_name(
    two: Gallery, numbers: tuple[float, float], name: str, distance: float
) -> None:
    match = two.nearest(at(*numbers))
    assert match.name == name
    if distance < 10:
        assert match.distance == pytest.approx(distance, abs=1e-6)


def test_exactly_at_the_threshold_is_another_person() -> None:
    assert Gallery.of([("Ada", at(0))], threshold=0.5).nearest(at(0.5)).name == ""


def test_nobody_is_known_to_an_empty_gallery() -> None:
    match = Gallery.of([]).nearest(at(0))
    assert match.name == "" and match.distance == float("inf")


def test_a_gallery_comes_back_from_its_bytes(two: Gallery) -> None:
    again = Gallery.from_bytes(two.to_bytes())
    assert again.names == two.names and again.threshold == two.threshold
    assert torch.equal(again.descriptors, two.descriptors)
    assert again.people == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Expecting value"),
        (b"[]", "list indices"),
        (b'{"format": "another"}', "found format 'another'"),
        (
            json.dumps({"format": "video_faces gallery 1", "threshold": 0.6, "faces": [{"name": "A"}]}).encode(),
            "descriptor",
        ),
        (
            json.dumps(
                {"format": "video_faces gallery 1", "threshold": 0.6, "faces": [{"name": "A", "descriptor": [1, 2]}]}
            ).encode(),
            "found 1x2 numbers for 1 names, expected 128 each",
        ),
        (
            json.dumps(
                {
                    "format": "video_faces gallery 1",
                    "threshold": 0.6,
                    "faces": [{"name": "A", "descriptor": [1e999] * 128}],
                }
            ).encode(),
            "not finite",
        ),
        (
            json.dumps(
                {"format": "video_faces gallery 1", "threshold": 0.6, "faces": [{"name": "", "descriptor": [1] * 128}]}
            ).encode(),
            "without a name",
        ),
    ],
)
def test_what_is_no_gallery_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match="gallery: ") as refused:
        Gallery.from_bytes(data)
    assert words in str(refused.value)


def test_it_is_kept_in_s3(started: Cloud, two: Gallery) -> None:
    started.save_gallery(two)
    assert started.load_gallery().names == two.names


def test_frames_that_were_not_enrolled_are_recognised(here: Sessions, gallery: Gallery, frames: list[Frame]) -> None:
    for number in range(5, 120, 15):
        ((_, descriptor),) = here.faces_in(frames[number], 192)
        assert gallery.nearest(descriptor).name == people.CALLER, number


def test_photos_are_named_and_strangers_are_not(here: Sessions, gallery: Gallery, models: Path) -> None:
    photos = people.recognised_photos(here, gallery, models)
    assert photos.right >= 3 and photos.wrong == 0 and photos.pictures == 4
    strangers = people.strangers_named(here, gallery, models)
    assert strangers.faces >= 18 and strangers.right >= 0.9 * strangers.faces


def test_a_picture_without_a_face_is_not_enrolled(here: Sessions, models: Path) -> None:
    with pytest.raises(EnrollmentError, match="sample6.jpg: found [2-9] faces, expected one to enroll"):
        people.enrolled_from(here, models / "video_faces/strangers/sample6.jpg")
