# SPDX-License-Identifier: Apache-2.0
"""The photo never leaves: what passes between the platform and a worker is the boundary, and nothing of the photo."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import splitnet
from emotion.faces import Face
from emotion.local_platform import Choice, LocalPlatform
from emotion.settings import parse
from emotion.tests.leaks import leaks
from emotion.wire import Wire


@pytest.fixture(scope="module")
def wire(worker: splitnet.Worker) -> Iterator[Wire]:
    with Wire(worker.address.removeprefix("tcp://"), record=True) as watched:
        yield watched


@pytest.fixture(scope="module")
def platform(wire: Wire, models: Path) -> Iterator[LocalPlatform]:
    arguments = ["--worker", f"tcp://{wire.address}", "--models", str(models)]
    with LocalPlatform(parse(arguments, "test", "")) as opened:
        yield opened


def test_only_the_boundary_passes(platform: LocalPlatform, wire: Wire, photo: bytes, face: Face) -> None:
    wire.forget()  # So far the link was measured, and there was no photo yet.
    for block in platform.blocks:
        choice = Choice(block.end, "raw", None, 0)  # What tells most.
        platform.recognise(face.pixels, choice)  # Opens the session.
        before = wire.sent_bytes
        found = platform.recognise(face.pixels, choice)
        assert not found.trouble
        assert bool(found.answered_by) == (block.end < platform.layers)
        assert found.sent_bytes <= wire.sent_bytes - before <= found.sent_bytes + (1024 if found.sent_bytes else 0)
    assert len(wire.sent) > 2 * sum(block.output_bytes for block in platform.blocks) * 0.99, "raw, twice each"
    assert leaks(wire.sent, photo, face) == []


def test_the_planner_never_sends_a_face(platform: LocalPlatform) -> None:
    assert platform.plan is not None
    allowed = [one for one in platform.plan.plan.candidates if not one.violates]
    assert min(len(one.assignment.heads[0]) for one in allowed if one.assignment.heads) == 2
    for layers in (0, 1):
        with pytest.raises(splitnet.InvalidArgument, match="the photo would leave"):
            platform.choice(layers)


# ---- That the watch notices when it does leave.


@pytest.mark.parametrize(("codec", "form"), [("raw", "face, f32"), ("f16", "face, f16")])
def test_a_face_that_is_sent_is_noticed(
    part: splitnet.Partitioner, wire: Wire, photo: bytes, face: Face, codec: str, form: str
) -> None:
    wire.forget()
    with splitnet.Session(part, worker=f"tcp://{wire.address}", cut=splitnet.Cut.at_input(), codec=codec) as session:
        session.run(face.pixels)
    assert form in leaks(wire.sent, photo, face)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_photo_that_is_sent_is_noticed(photo: bytes, face: Face, as_json: bool) -> None:
    body = json.dumps({"splitnet": base64.b64encode(b"header" + photo).decode()}).encode() if as_json else photo
    with socket.create_server(("127.0.0.1", 0)) as server:
        with Wire("{}:{}".format(*server.getsockname()), record=True) as wire:
            with socket.create_connection(("127.0.0.1", int(wire.address.rpartition(":")[2]))) as client:
                client.sendall(b"PUT /photo HTTP/1.1\r\n\r\n" + body)
                accepted, _ = server.accept()
                client.shutdown(socket.SHUT_WR)
                while accepted.recv(65536):
                    pass
                accepted.close()
            assert leaks(wire.sent, photo, face) == ["file"]
