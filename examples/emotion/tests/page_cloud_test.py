# SPDX-License-Identifier: Apache-2.0
"""The page with the function behind it: from a headless Chromium through the gateway and AWS's emulator to the worker and
back, with a watch on all that the page sends to AWS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from common.server_process import ServerProcess
from emotion.cloud import BUCKET, TAIL, WHOLE
from emotion.faces import Face
from emotion.page_server import running_page
from emotion.tests.leaks import leaks
from emotion.tests.page import Show, choose, table_rows, upload
from emotion.wire import Wire
from local_aws import LocalAws


@pytest.fixture(scope="module")
def wires(aws: LocalAws) -> Iterator[dict[str, Wire]]:
    """By variable: in front of each endpoint of AWS."""
    variables = [name for name in aws.environment if name.startswith("AWS_ENDPOINT_URL")]
    opened = {name: Wire(aws.environment[name].removeprefix("http://"), record=True) for name in variables}
    yield opened
    for wire in opened.values():
        wire.close()


@pytest.fixture(scope="module")
def server(aws: LocalAws, wires: dict[str, Wire], models: Path) -> Iterator[ServerProcess]:
    """All that it knows of AWS are the wires."""
    environment = {**aws.environment, **{name: f"http://{wire.address}" for name, wire in wires.items()}}
    arguments = ["--worker", f"lambda://{TAIL}", "--bucket", BUCKET, "--models", str(models)]
    with running_page(arguments, environment) as started:
        yield started


def test_a_forced_cut_runs_in_the_function_and_the_photo_stays(
    show: Show, aws: LocalAws, wires: dict[str, Wire], photo: bytes, face: Face
) -> None:
    page = show()
    expect(page.get_by_text(f"Worker: lambda://{TAIL}, round trip")).to_be_visible()
    upload(page, "astronaut.jpg", photo)
    expect(page.get_by_role("heading", name="happy, 99.8%")).to_be_visible()
    page.get_by_text("Choose the cut myself").click()
    before = len(aws.invocations(TAIL))
    choose(page, "after blocks.0")
    expect(page.get_by_text("13 layers run on this device, 30 on the worker.")).to_be_visible()
    expect(page.get_by_role("cell", name="30 layers")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("happy, 99"))).to_be_visible()
    said = page.get_by_text(re.compile(r"Sent [\d,]+ bytes; the photo has 68,052")).inner_text()
    sent_bytes = int(said.split()[1].replace(",", ""))

    search, device, transfer, worker, together = table_rows(page)[1:]
    assert search[:2] == ["this device", "search for faces"]
    assert device[:2] == ["this device", "13 layers"]
    assert transfer[:2] == ["transfer", f"{sent_bytes:,} bytes sent"]
    assert worker[:2] == ["worker", "30 layers"]
    assert together[:2] == ["together", "43 layers"]
    assert all(float(row[2]) > 0 for row in (search, device, transfer, worker))
    assert float(together[2]) == pytest.approx(
        sum(float(row[2]) for row in (search, device, transfer, worker)), abs=0.3
    )

    calls = aws.invocations(TAIL)[before:]
    assert calls and all(call.error is None for call in calls)
    passed = wires["AWS_ENDPOINT_URL_LAMBDA"].sent
    assert len(passed) > sent_bytes > 4000, "the boundary passed, in base64"
    everything = b"".join(wire.sent for wire in wires.values())
    assert everything == passed, "nothing went anywhere else"
    assert leaks(everything, photo, face) == []


def test_sending_the_photo_is_a_person_s_switch_and_done_once(
    show: Show, aws: LocalAws, wires: dict[str, Wire], photo: bytes, face: Face
) -> None:
    page = show()
    upload(page, "astronaut.jpg", photo)
    expect(page.get_by_role("heading", name="happy, 99.8%")).to_be_visible()
    page.get_by_text("Send the photo, for comparison").click()
    expect(page.get_by_text("By way of S3 it says: happy.")).to_be_visible()
    expect(page.get_by_role("cell", name="68,052")).to_be_visible()
    everything = b"".join(wire.sent for wire in wires.values())
    assert leaks(everything, photo, face) == ["file"], "the watch notices a photo that leaves"
    calls = len(aws.invocations(WHOLE))
    to_s3 = wires["AWS_ENDPOINT_URL_S3"].sent_bytes
    page.get_by_text("Choose the cut myself").click()
    choose(page, "after conv2")
    expect(page.get_by_text(re.compile(r"Sent [\d,]{5,} bytes"))).to_be_visible()
    expect(page.get_by_text("By way of S3 it says: happy.")).to_be_visible()
    assert (len(aws.invocations(WHOLE)), wires["AWS_ENDPOINT_URL_S3"].sent_bytes) == (calls, to_s3)
