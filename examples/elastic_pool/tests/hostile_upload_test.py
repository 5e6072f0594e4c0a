# SPDX-License-Identifier: Apache-2.0
"""What strangers upload: each gets an answer in words, everybody else is served, and memory stays bounded."""

from __future__ import annotations

import contextlib
import io
import socket
import urllib.parse
from collections.abc import Iterator, Sequence

import pytest
from PIL import Image

from common.aws_client import aws_client
from common.server_process import ServerProcess
from common.tests.black_png import black_png
from elastic_pool.photos import varied_photos
from elastic_pool.tests.places import BUCKET
from elastic_pool.web_client import NotTaken, WebClient, form
from local_aws import LocalAws

TIMEOUT_S = 120.0
PHOTO = next(varied_photos(1)).file
MEBI = 2**20


def gif_named_jpg() -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(PHOTO)).save(stream, "GIF")
    return stream.getvalue()


@pytest.fixture
def client(web: ServerProcess) -> Iterator[WebClient]:
    """At the end a photo is still answered."""
    client = WebClient(web.url)
    yield client
    (only,) = client.follow(client.upload([("photo.jpg", PHOTO)]), TIMEOUT_S)
    assert only.label == "bull mastiff"


def test_files_that_are_no_pictures(client: WebClient) -> None:
    photo = ("a photo.jpg", PHOTO)
    files = {
        "words.jpg": b"no picture at all\n" * 100,
        "empty.png": b"",
        "bomb.png": black_png(50_000, 50_000, 2000),
        "large.png": black_png(5_000, 5_000, 5_000),
        "half.jpg": PHOTO[: len(PHOTO) // 2],
        "page.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "zeros.jpg": bytes(MEBI + 1),
    }
    job = client.upload([photo, *files.items(), ("really a GIF.jpg", gif_named_jpg())])
    results = {one.picture: one for one in client.follow(job, TIMEOUT_S)}
    first, last = results.pop("a photo.jpg"), results.pop("really a GIF.jpg")
    assert first.label == "bull mastiff" and not first.error and last.label, "the name's ending says nothing"
    assert {name: one.error for name, one in results.items() if one.label} == {}
    words = {
        "words.jpg": "no picture",
        "empty.png": "empty file",
        "bomb.png": "too large",
        "large.png": "5000x5000 pixels (PNG), expected at most 24 million",
        "half.jpg": "damaged",
        "page.svg": "no picture",
        "zeros.jpg": f"expected at most {MEBI} bytes",
    }
    for name, expected in words.items():
        assert expected in results[name].error
    rows = dict(client.labels(job)[1:])
    assert rows["empty.png"] == "error: found an empty file, expected a picture"
    assert client.request("GET", f"{job}/pictures/1").status == 404, "no picture: nothing of it is shown"


def test_names_are_words(client: WebClient) -> None:
    names = [
        "../../../etc/cron.d/x.jpg",
        'a"b.jpg',
        "two\r\nlines.jpg",
        "=cmd|' /C calc'!A0",
        "<script>.jpg",
        "💥.jpg",
        "..",
    ]
    job = client.upload((name, PHOTO) for name in names)
    list(client.follow(job, TIMEOUT_S))
    found = [row[0] for row in client.labels(job)[1:]]
    assert found == ["x.jpg", 'a"b.jpg', "two%0D%0Alines.jpg", "C calc'!A0", "<script>.jpg", "💥.jpg", "picture 7"]


def test_two_of_one_name_are_told_apart(client: WebClient) -> None:
    job = client.upload([("a/cat.jpg", PHOTO), ("b/cat.jpg", b"no picture")])
    results = {one.picture: one for one in client.follow(job, TIMEOUT_S)}
    assert results["cat.jpg"].label == "bull mastiff" and "no picture" in results["cat (2).jpg"].error
    assert [row[0] for row in client.labels(job)] == ["picture", "cat.jpg", "cat (2).jpg"]


def test_a_name_may_not_become_a_formula(client: WebClient) -> None:
    job = client.upload([("=HYPERLINK(1).jpg", PHOTO)])
    list(client.follow(job, TIMEOUT_S))
    assert client.labels(job)[1][0] == "'=HYPERLINK(1).jpg"


def test_ten_thousand_files(client: WebClient, web: ServerProcess, aws: LocalAws) -> None:
    before, kept = web.peak_memory_bytes, objects(aws)
    with pytest.raises(NotTaken, match="413: found more than 300 pictures, expected at most so many at once"):
        client.upload((f"{index}.jpg", PHOTO[:3000]) for index in range(10_000))
    assert web.peak_memory_bytes - before < 64 * MEBI
    assert objects(aws) == kept, "nothing of it is left"


def test_a_large_upload_takes_little_memory(client: WebClient, web: ServerProcess) -> None:
    before = web.peak_memory_bytes
    job = client.upload((f"{index}", bytes(MEBI)) for index in range(60))
    assert len(list(client.follow(job, TIMEOUT_S))) == 60
    with pytest.raises(NotTaken, match=f"413: the upload is too large, expected at most {64 * MEBI} bytes in all"):
        client.upload((f"{index}", bytes(MEBI)) for index in range(65))
    assert web.peak_memory_bytes - before < 48 * MEBI


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"{}", "application/json", "415: found application/json, expected multipart/form-data"),
        (b"nothing", "multipart/form-data", "400: the upload is no multipart/form-data"),
        (b"nothing", "multipart/form-data; boundary=b", "400: the upload is no multipart/form-data"),
        (form("b", []), "multipart/form-data; boundary=b", "400: found no picture"),
        (form("b", [("", b"")]), "multipart/form-data; boundary=b", "400: found no picture"),
        (form("b", [("a.jpg", PHOTO)])[:-100], "multipart/form-data; boundary=b", "400: the upload is no multipart"),
        (
            form("b", [("a.jpg", PHOTO)]).replace(b'name="pictures"', b'name="pwned"'),
            "multipart/form-data; boundary=b",
            "400: found the field 'pwned', expected files in the field pictures only",
        ),
        (
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
            "400: found parts in parts, expected files",
        ),
        (b"--b\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", "multipart/form-data; boundary=b", "400: "),
        (b"--b\r\nX: " + b"y" * 10**6 + b"\r\n\r\n", "multipart/form-data; boundary=b", "400: "),
    ],
)
def test_what_is_no_upload(client: WebClient, body: bytes, kind: str, words: str) -> None:
    reply = client.request("POST", "/jobs", body, kind)
    assert f"{reply.status}: {reply.error}".startswith(words)


def test_who_stops_sending_is_let_go(client: WebClient, web: ServerProcess, aws: LocalAws) -> None:
    kept = objects(aws)
    with begun_upload(web) as connection:
        assert b" 408 " in connection.recv(4096)
    assert objects(aws) == kept


def test_who_breaks_off_leaves_nothing(client: WebClient, web: ServerProcess, aws: LocalAws) -> None:
    kept = objects(aws)
    begun_upload(web).close()
    (only,) = client.follow(client.upload([("photo.jpg", PHOTO)]), TIMEOUT_S)
    assert only.label
    with begun_upload(web) as connection:  # Answered when the other one has been given up for long.
        assert b" 408 " in connection.recv(4096)
    assert {key for key in objects(aws) - kept if "/inputs/" in key} == {f"jobs/{only_job(aws, kept)}/inputs/00000"}


def test_who_trickles_is_let_go(client: WebClient, web: ServerProcess) -> None:
    """A byte now and then is no upload."""
    with begun_upload(web, [("a.jpg", bytes(2000))], 1500) as connection:
        connection.settimeout(0.05)
        for _ in range(600):
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                assert b" 408 " in (answer := connection.recv(4096)) and b"too slow" in answer
                return
    pytest.fail("it was not refused")


def begun_upload(
    web: ServerProcess, pictures: Sequence[tuple[str, bytes]] = (("a.jpg", PHOTO), ("b.jpg", PHOTO)), missing: int = 500
) -> socket.socket:
    """All but the last bytes."""
    at = urllib.parse.urlsplit(web.url)
    connection = socket.create_connection((str(at.hostname), at.port or 0), timeout=30)
    body = form("b", pictures)
    head = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}"
    connection.sendall(f"{head}\r\n\r\n".encode() + body[:-missing])
    return connection


def test_too_many_uploads_at_once(client: WebClient, web: ServerProcess) -> None:
    under_way = [begun_upload(web) for _ in range(4)]
    try:
        reply = client.request("POST", "/jobs", form("b", [("a.jpg", PHOTO)]), "multipart/form-data; boundary=b")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
        assert all(b" 408 " in one.recv(4096) for one in under_way)
    finally:
        for one in under_way:
            one.close()


def test_another_sites_page_can_not_upload(client: WebClient, web: ServerProcess) -> None:
    at = urllib.parse.urlsplit(web.url)
    with socket.create_connection((str(at.hostname), at.port or 0), timeout=30) as connection:
        head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 403 " in connection.recv(4096)


@pytest.mark.parametrize(
    "path", ["/jobs/nobody", f"/jobs/{'x' * 22}", "/pages/../web.py", "/jobs/..%2f..%2fetc/results"]
)
def test_there_is_nothing_else(client: WebClient, path: str) -> None:
    reply = client.request("GET", path)
    assert reply.status == 404 and reply.error


@pytest.mark.parametrize("after", ["-1", "x", "1e9", "9" * 30])
def test_a_number_of_results_that_is_none(client: WebClient, after: str) -> None:
    job = client.upload([("a.jpg", PHOTO)])
    reply = client.request("GET", f"{job}/results?after={after}")
    assert reply.status == 400 and "after: found" in reply.error


def objects(aws: LocalAws) -> set[str]:
    pages = aws_client("s3", aws.environment).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {one["Key"] for page in pages for one in page.get("Contents", [])}


def only_job(aws: LocalAws, before: set[str]) -> str:
    (job,) = {key.split("/")[1] for key in objects(aws) - before if key.startswith("jobs/")}
    return job
