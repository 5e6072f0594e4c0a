# SPDX-License-Identifier: Apache-2.0
"""The server with a real worker and S3: labels, numbers of requests, refusals, time-outs, restarts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

import splitnet
from classify.addresses import AddressRule, Endpoint
from classify.fetcher import FetchLimits, open_fetcher
from classify.outcomes import Outcome, OutcomeStore, Request
from classify.server import main, make_app
from classify.service import ClassifyService, Opener, ServiceLimits
from classify.tests.conftest import BUCKET
from classify.tests.hostile_server import Answer, HostileServer, hostile_server, picture, plain, redirect
from common.aws_client import aws_client
from common.package_files import package_file
from common.server_process import running_server
from common.serving import protect
from common.tests.black_png import black_png
from elastic_pool.classifiers import CLASSIFIERS, MODELS, Classifier, classifier
from elastic_pool.photos import varied_photos
from local_aws import LocalAws

Headers = Mapping[str, str]

CAT = package_file("skimage/data/chelsea.png").read_bytes()


@dataclass
class Client:
    """Asks a server about pictures of another one."""

    http: aiohttp.ClientSession
    server: str
    pictures: HostileServer
    service: ClassifyService

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Headers]:
        """Status, body (JSON, or text where it is none), headers."""
        async with self.http.get(f"{self.server}{path}", headers=headers) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text()), answer.headers

    async def classify(self, path: str, model: str = "", **headers: str) -> tuple[int, Any, Headers]:
        """The picture that the other server has at this path."""
        asked = f"/classify?url={self.pictures.url}{path}" + (f"&model={model}" if model else "")
        return await self.get(asked, **headers)


@dataclass
class Fixture:
    """Starts services on one bucket, of which one may take the place of the other."""

    open_session: Opener
    environment: dict[str, str]
    bucket: str
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    models: Mapping[str, Classifier] = field(default_factory=lambda: CLASSIFIERS)
    fetching: FetchLimits = field(default_factory=lambda: FetchLimits(body_bytes=1_000_000))

    @property
    def store(self) -> OutcomeStore:
        return OutcomeStore(self.bucket, self.environment)

    @asynccontextmanager
    async def client(self, pictures: HostileServer) -> AsyncIterator[Client]:
        at = frozenset(Endpoint(address, pictures.port) for address in ("127.0.0.1", "::1"))
        async with open_fetcher(AddressRule(exceptions=at), self.fetching) as fetcher:
            service = ClassifyService(self.store, fetcher, self.open_session, self.limits, self.models)
            app = make_app(service)
            protect(app)
            server = TestServer(app)  # Which cancels for who is gone.
            await server.start_server()
            try:
                async with aiohttp.ClientSession() as http:
                    yield Client(http, str(server.make_url("")), pictures, service)
            finally:
                await server.close()

    def run(self, answers: dict[str, Answer], work: Callable[[Client], Awaitable[None]]) -> None:
        async def run() -> None:
            async with hostile_server(answers) as pictures, self.client(pictures) as client:
                await work(client)

        asyncio.run(run())


@pytest.fixture
def fixture(worker: splitnet.Worker, aws: LocalAws, request: pytest.FixtureRequest) -> Fixture:
    """With a bucket for the test alone."""

    def open_session(model: Classifier) -> splitnet.Session:
        return model.open_session(worker.address, deadline_s=30)

    bucket = request.node.name.replace("_", "-")
    place = {"LocationConstraint": aws.environment["AWS_REGION"]}
    aws_client("s3", aws.environment).create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    return Fixture(open_session, aws.environment, bucket)


def late(answer: Answer, is_ready: asyncio.Event) -> Answer:
    """Not before it is ready."""

    async def wait() -> AsyncIterator[bytes]:
        await is_ready.wait()
        async for part in answer():
            yield part

    return wait


def test_a_label_comes_and_stays(fixture: Fixture) -> None:
    async def work(client: Client) -> None:
        status, answer, headers = await client.classify("/cat")
        assert status == 200 and headers["Content-Type"].startswith("application/json")
        assert answer.pop("probability") > 0.5
        identifier = headers["X-Request-Id"]
        assert answer == {
            "id": identifier,
            "picture": f"{client.pictures.url}/cat",
            "model": "mobilenet_v2",
            "label": "Egyptian cat",
        }
        assert (await client.get(f"/results/{identifier}"))[1]["label"] == "Egyptian cat"
        text = await client.classify("/cat", Accept="text/plain")
        assert text[1] == "Egyptian cat\n" and text[2]["X-Request-Id"] != identifier
        assert (await client.get(f"/results/{identifier}", Accept="text/plain"))[1] == "Egyptian cat\n"

    fixture.run({"/cat": picture(CAT, "text/html")}, work)  # Nobody looks at the content type.


def test_any_model_by_name(fixture: Fixture) -> None:
    face = (MODELS / "emotion_photo.jpg").read_bytes()

    async def work(client: Client) -> None:
        assert (await client.classify("/face", "emotion"))[1]["label"] == "happy"
        status, answer, _ = await client.classify("/cat", "emotion")
        assert status == 415 and "no face was found" in answer["error"]
        status, answer, _ = await client.classify("/cat", "resnet50")
        assert status == 404 and "expected one of mobilenet_v2, efficientnet_lite0" in answer["error"]
        _, known, _ = await client.get("/models")
        assert known["default"] in known["models"] and "emotion" in known["models"]

    fixture.run({"/cat": picture(CAT), "/face": picture(face)}, work)


def test_each_gets_its_own_answer(fixture: Fixture, worker: splitnet.Worker) -> None:
    photos = list(varied_photos(24))
    one = classifier("mobilenet_v2")
    with splitnet.Session(splitnet.Partitioner(one.model_file()), threads=1) as here:
        expected = [one.label(here(one.pixels(photo.file))) for photo in photos]
    assert len({label.name for label in expected}) > 15

    async def work(client: Client) -> None:
        found = await asyncio.gather(*(client.classify(f"/{photo.name}") for photo in photos))
        assert [status for status, _, _ in found] == [200] * len(photos)
        assert [(answer["label"], answer["probability"]) for _, answer, _ in found] == [
            (label.name, round(label.probability, 4)) for label in expected
        ]
        numbers = [headers["X-Request-Id"] for _, _, headers in found]
        assert len(set(numbers)) == len(photos) and client.service.waiting == 0
        stored = await asyncio.gather(*(client.get(f"/results/{number}") for number in numbers))
        assert [answer for _, answer, _ in stored] == [answer for _, answer, _ in found]

    fixture.run({f"/{photo.name}": picture(photo.file) for photo in photos}, work)


BAD = {
    "/classify": 400,
    "/classify?model=emotion": 400,
    "/classify?url=": 400,
    "/classify?url=cat.jpg": 400,
    "/classify?url=file:///etc/passwd": 400,
    "/classify?url=http://a/&url=http://b/": 400,
    "/classify?url=http://example.org/?a=1&b=2": 400,
    "/classify?url=http://user:secret@example.org/": 400,
    "/classify?url=http://127.0.0.1:1/": 403,
    "/classify?url=http://169.254.169.254/latest/meta-data/": 403,
    "/classify?url=http://[::1]/": 403,
    "/classify?url=http://localhost/": 403,
    "/classify?url=PICTURES/inside": 403,
    "/classify?url=PICTURES/missing": 502,
    "/classify?url=PICTURES/large": 413,
    "/classify?url=PICTURES/page": 415,
    "/classify?url=PICTURES/nothing": 415,
    "/classify?url=PICTURES/bomb": 415,
    "/classify?url=PICTURES/bomb&model=emotion": 415,
    "/results/": 404,
    "/results/unknown": 404,
    "/results/AAAAAAAAAAAAAAAAAAAAAA": 404,
    "/results/..%2Fpromised": 404,
    "/pages/..%2Fserver.py": 404,
    "/nothing": 404,
}


def test_refusals_say_why(fixture: Fixture) -> None:
    answers = {
        "/missing": plain(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        "/large": picture(b"x" * 1_000_001),
        "/page": picture(b"<html>a page</html>", "image/png"),
        "/nothing": picture(b""),
        "/inside": redirect("http://127.0.0.1:1/"),
        "/bomb": picture(black_png(5_000, 5_000), "image/png"),
    }

    async def work(client: Client) -> None:
        for path, expected in BAD.items():
            status, answer, headers = await client.get(path.replace("PICTURES", client.pictures.url))
            assert status == expected, (path, answer)
            assert answer["error"] and headers["X-Content-Type-Options"] == "nosniff", path
            assert "label" not in answer
        status, answer, _ = await client.classify("/page", Accept="text/plain")
        assert status == 415 and answer.startswith("error: found 19 bytes that are no picture")
        assert "127.0.0.1" in (await client.classify("/inside"))[1]["error"]
        status, answer, _ = await client.classify("/bomb")
        assert answer["error"] == "the picture has 5000x5000 pixels (PNG), expected at most 24 million"

    fixture.run(answers, work)


def test_pages_of_other_sites_get_nothing(fixture: Fixture) -> None:
    async def work(client: Client) -> None:
        status, _, _ = await client.get("/models", **{"Sec-Fetch-Site": "cross-site"})
        assert status == 403
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert (await client.get("/", **link))[0] == 200
        status, answer, _ = await client.classify("/cat", **link)  # Which would be fetched.
        assert status == 403 and "another site" in answer["error"]
        status, page, headers = await client.get("/", **{"Sec-Fetch-Site": "none"})
        assert status == 200 and "What is at this URL?" in page
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert (await client.http.post(f"{client.server}/classify?url=http://a/")).status == 405

    fixture.run({}, work)


def test_what_is_late_comes_later(fixture: Fixture) -> None:
    fixture.limits = ServiceLimits(answer_s=0.2)

    async def run() -> None:
        is_ready = asyncio.Event()
        answers = {"/cat": late(picture(CAT), is_ready), "/page": late(picture(b"a page"), is_ready)}
        async with hostile_server(answers) as pictures, fixture.client(pictures) as client:
            found = await asyncio.gather(client.classify("/cat"), client.classify("/page"))
            for status, answer, headers in found:
                path = f"/results/{headers['X-Request-Id']}"
                assert status == 504 and answer["error"] == f"there was no label within 0.2 s; it will be at {path}"
                assert (await client.get(path))[0] == 202
            is_ready.set()
            status, answer, _ = await until_there(client, found[0][2]["X-Request-Id"])
            assert status == 200 and answer["label"] == "Egyptian cat"
            status, answer, _ = await until_there(client, found[1][2]["X-Request-Id"])
            assert status == 415 and "no picture" in answer["error"]

    asyncio.run(run())


def test_a_promise_outlives_the_program(fixture: Fixture) -> None:
    fixture.limits = ServiceLimits(answer_s=0.2)

    async def run() -> None:
        is_ready = asyncio.Event()
        async with hostile_server({"/cat": late(picture(CAT), is_ready)}) as pictures:
            async with fixture.client(pictures) as client:
                status, _, headers = await client.classify("/cat")
                assert status == 504
            is_ready.set()
            async with fixture.client(pictures) as client:
                identifier = headers["X-Request-Id"]
                status, answer, _ = await until_there(client, identifier)
                assert status == 200 and answer["label"] == "Egyptian cat" and answer["id"] == identifier
                async with asyncio.timeout(30):
                    while fixture.store.promised():
                        await asyncio.sleep(0.02)

    asyncio.run(run())


def test_who_waits_while_the_program_ends_is_promised_the_result(fixture: Fixture) -> None:
    async def run() -> None:
        is_ready = asyncio.Event()
        async with hostile_server({"/cat": late(picture(CAT), is_ready)}) as pictures:
            async with fixture.client(pictures) as client:
                waiting = asyncio.create_task(client.classify("/cat"))
                async with asyncio.timeout(30):
                    while not client.service.waiting:
                        await asyncio.sleep(0.01)
                client.service.end_waits()
                status, answer, headers = await waiting
                path = f"/results/{headers['X-Request-Id']}"
                assert status == 504 and answer["error"].endswith(f"there was no label yet; it will be at {path}")
            is_ready.set()
            async with fixture.client(pictures) as client:
                status, answer, _ = await until_there(client, headers["X-Request-Id"])
                assert status == 200 and answer["label"] == "Egyptian cat"

    asyncio.run(run())


def test_sigterm_loses_nobody_who_waits(aws: LocalAws) -> None:
    async def run() -> None:
        async with hostile_server({"/cat": late(picture(CAT), asyncio.Event())}) as pictures:
            options = ("--bucket", BUCKET, "--worker", "tcp://127.0.0.1:1", "--allow-address", pictures.url[7:])
            with running_server("classify.server", *options, environment=aws.environment) as started:
                async with aiohttp.ClientSession() as http, asyncio.timeout(60):
                    asking = asyncio.create_task(http.get(f"{started.url}/classify?url={pictures.url}/cat"))
                    while not pictures.requests:
                        await asyncio.sleep(0.01)
                    started.process.terminate()
                    async with await asking as answer:
                        identifier = answer.headers["X-Request-Id"]
                        assert answer.status == 504 and identifier in (await answer.json())["error"]
                assert await asyncio.to_thread(started.process.wait, 30) == 0
        store = OutcomeStore(BUCKET, aws.environment)
        assert identifier in store.promised()
        store.keep_promise(identifier)  # Nobody else is to begin with it.

    asyncio.run(run())


class FailingStore(OutcomeStore):
    """S3 refuses what is named, so often."""

    fails: ClassVar[dict[str, int]] = {}

    def put(self, outcome: Outcome) -> None:
        self._fail("put")
        super().put(outcome)

    def promised_request(self, identifier: str) -> Request | None:
        self._fail("promised_request")
        return super().promised_request(identifier)

    def promise(self, request: Request) -> None:
        self._fail("promise")
        super().promise(request)

    def keep_promise(self, identifier: str) -> None:
        self._fail("keep_promise")
        super().keep_promise(identifier)

    def _fail(self, name: str) -> None:
        if self.fails.get(name, 0):
            self.fails[name] -= 1
            raise ClientError({"Error": {"Code": "SlowDown"}}, name)


def test_a_promise_is_kept_although_s3_fails_for_a_while(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture.limits = ServiceLimits(answer_s=0.2)
    fails = {"put": 2, "keep_promise": 1}
    monkeypatch.setattr(FailingStore, "fails", fails)
    monkeypatch.setattr(Fixture, "store", property(lambda self: FailingStore(self.bucket, self.environment)))

    async def run() -> None:
        is_ready = asyncio.Event()
        async with (
            hostile_server({"/cat": late(picture(CAT), is_ready)}) as pictures,
            fixture.client(pictures) as client,
        ):
            status, _, headers = await client.classify("/cat")
            assert status == 504
            is_ready.set()
            status, answer, _ = await until_there(client, headers["X-Request-Id"])
            assert status == 200 and answer["label"] == "Egyptian cat"
            async with asyncio.timeout(30):
                while client.service.waiting:
                    await asyncio.sleep(0.01)
            assert not any(fails.values()) and fixture.store.promised() == []

    asyncio.run(run())


def test_what_can_not_be_promised_is_not(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture.limits = ServiceLimits(answer_s=0.2)
    monkeypatch.setattr(FailingStore, "fails", {"promise": 1})
    monkeypatch.setattr(Fixture, "store", property(lambda self: FailingStore(self.bucket, self.environment)))

    async def run() -> None:
        is_ready = asyncio.Event()
        async with (
            hostile_server({"/cat": late(picture(CAT), is_ready)}) as pictures,
            fixture.client(pictures) as client,
        ):
            status, answer, _ = await client.classify("/cat")
            assert status == 504 and answer["error"] == "there was no label within 0.2 s"
            is_ready.set()

    asyncio.run(run())


def test_a_slow_host_leaves_room_for_others(fixture: Fixture) -> None:
    fixture.limits = ServiceLimits(pictures=2, pictures_of_one_host=1)
    fixture.fetching = FetchLimits(silence_s=120, total_s=120)

    async def run() -> None:
        is_ready = asyncio.Event()
        answers = {"/slow": late(picture(CAT), is_ready), "/quick": picture(CAT)}
        async with hostile_server(answers) as pictures, fixture.client(pictures) as client:
            waiting = [asyncio.create_task(client.classify("/slow")) for _ in range(2)]
            async with asyncio.timeout(30):
                while client.service.waiting < 2 or not pictures.requests:
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(60):
                status, _, _ = await client.get(f"/classify?url=http://localhost:{pictures.port}/quick")
            assert status == 200 and pictures.paths() == ["/slow", "/quick"]
            is_ready.set()
            assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200, 200]

    asyncio.run(run())


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_that_can_not_be_are_named(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=f"give_up_s: found {value}, expected more than 0"):
        ServiceLimits(give_up_s=value)
    with pytest.raises(ValueError, match=f"total_s: found {value}, expected more than 0"):
        FetchLimits(total_s=value)
    assert main(["--bucket", "x", "--answer-timeout", str(value)]) == 1
    assert "answer_s: found" in capsys.readouterr().err


def test_what_was_answered_is_not_done_again(fixture: Fixture) -> None:
    async def run() -> None:
        async with hostile_server({}) as pictures:
            request = Request("A" * 22, f"{pictures.url}/gone", "mobilenet_v2")
            fixture.store.promise(request)
            fixture.store.put(Outcome(request, "cat", 0.5))
            async with fixture.client(pictures) as client:
                assert (await client.get(f"/results/{request.id}"))[1]["label"] == "cat"
                async with asyncio.timeout(30):
                    while fixture.store.promised():
                        await asyncio.sleep(0.02)
                assert client.service.waiting == 0

    asyncio.run(run())


DAMAGED = ["", "no JSON", "7", "[]", '["a list"]', "{}", '{"id": 1}', '{"id": [], "picture": 1, "model": {}}']


def test_objects_that_nobody_here_has_written_stop_nothing(
    fixture: Fixture, capsys: pytest.CaptureFixture[str]
) -> None:
    store, s3 = fixture.store, aws_client("s3", fixture.environment)
    keys = [f"{kind}/{kind[:1] * 20}{index:02}" for kind in ("promised", "results") for index in range(len(DAMAGED))]
    numbers = [key.partition("/")[2] for key in keys]

    async def run() -> None:
        said = ""
        async with hostile_server({"/cat": picture(CAT)}) as pictures:
            for key, number, body in zip(keys, numbers, DAMAGED * 2, strict=True):
                store.promise(Request(number, f"{pictures.url}/cat", "mobilenet_v2"))
                s3.put_object(Bucket=fixture.bucket, Key=key, Body=body.encode())
            request = Request("F" * 22, f"{pictures.url}/cat", "mobilenet_v2")
            store.promise(request)
            async with fixture.client(pictures) as client, asyncio.timeout(30):
                while not all(f"promised/{number} or its result can't be read" in said for number in numbers):
                    await asyncio.sleep(0.02)
                    said += capsys.readouterr().err
                assert (await until_there(client, request.id))[1]["label"] == "Egyptian cat"
                while request.id in store.promised():
                    await asyncio.sleep(0.02)
                for number in numbers[len(DAMAGED) :]:
                    status, answer, _ = await client.get(f"/results/{number}")
                    assert (status, answer["error"]) == (500, "the service failed; its log says why")
        assert set(store.promised()) == set(numbers), "a program that can read them may come"

    asyncio.run(run())


class HeldStore(OutcomeStore):
    """Says what the results are when it may."""

    may = threading.Event()

    def get(self, identifier: str) -> Outcome | None:
        assert self.may.wait(60)
        return super().get(identifier)


def test_a_start_does_not_wait_for_what_was_promised(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fixture, "store", property(lambda self: HeldStore(self.bucket, self.environment)))
    store = fixture.store

    async def run() -> None:
        async with hostile_server({"/cat": picture(CAT)}) as pictures:
            requests = [Request(f"{index:022}", f"{pictures.url}/cat", "mobilenet_v2") for index in range(12)]
            for request in requests:
                store.promise(request)
            try:
                async with asyncio.timeout(50), fixture.client(pictures) as client:
                    assert (await client.classify("/cat"))[1]["label"] == "Egyptian cat"
                    HeldStore.may.set()
                    for request in requests:
                        assert (await until_there(client, request.id))[1]["label"] == "Egyptian cat"
            finally:
                HeldStore.may.set()

    asyncio.run(run())


def test_a_start_goes_on_although_s3_fails_for_a_while(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FailingStore, "fails", {"keep_promise": 2})
    monkeypatch.setattr(Fixture, "store", property(lambda self: FailingStore(self.bucket, self.environment)))
    store = fixture.store

    async def run() -> None:
        async with hostile_server({}) as pictures:
            request = Request("G" * 22, f"{pictures.url}/gone", "mobilenet_v2")
            store.promise(request)
            store.put(Outcome(request, "cat", 0.5))
            async with fixture.client(pictures), asyncio.timeout(30):
                while store.promised():
                    await asyncio.sleep(0.02)

    asyncio.run(run())


class EndingStore(OutcomeStore):
    """The result comes when it has just been looked for."""

    def get(self, identifier: str) -> Outcome | None:
        found = super().get(identifier)
        if request := self.promised_request(identifier):
            self.put(Outcome(request, "cat", 0.5))
            self.keep_promise(identifier)
        return found


def test_a_result_that_comes_while_it_is_asked_for_is_not_unknown(
    fixture: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(client: Client) -> None:
        request = Request("C" * 22, f"{client.pictures.url}/cat", "mobilenet_v2")
        fixture.store.promise(request)
        assert (await client.get(f"/results/{request.id}"))[1]["label"] == "cat"
        assert fixture.store.promised() == [], "it came while it was asked for"

    monkeypatch.setattr(Fixture, "store", property(lambda self: EndingStore(self.bucket, self.environment)))
    fixture.run({}, work)


def test_a_result_needs_one_look(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 may fail at what else there is to ask."""
    fails = {"promised_request": 1}

    async def work(client: Client) -> None:
        request = Request("D" * 22, f"{client.pictures.url}/cat", "mobilenet_v2")
        fixture.store.put(Outcome(request, "cat", 0.5))
        assert (await client.get(f"/results/{request.id}"))[1]["label"] == "cat"
        assert fails == {"promised_request": 1}
        status, answer, headers = await client.get(f"/results/{'E' * 22}")
        assert status == 503 and headers["Retry-After"] == "5" and "object store" in answer["error"]
        assert (await client.get(f"/results/{'E' * 22}"))[0] == 404

    monkeypatch.setattr(FailingStore, "fails", fails)
    monkeypatch.setattr(Fixture, "store", property(lambda self: FailingStore(self.bucket, self.environment)))
    fixture.run({}, work)


def test_a_promise_for_an_unknown_model_is_left_to_who_knows_it(fixture: Fixture) -> None:
    async def run() -> None:
        async with hostile_server({"/cat": picture(CAT)}) as pictures:
            request = Request("B" * 22, f"{pictures.url}/cat", "mobilenet_v1")
            fixture.store.promise(request)
            async with fixture.client(pictures) as client:
                status, answer, _ = await client.get(f"/results/{request.id}")
                words = "won't come from this service: no model is called 'mobilenet_v1', expected one of mobilenet_v2"
                assert status == 404 and words in answer["error"] and client.service.waiting == 0
            assert fixture.store.promised() == [request.id] and fixture.store.get(request.id) is None
            assert pictures.requests == []
            fixture.models = {"mobilenet_v1": classifier("mobilenet_v2")}
            async with fixture.client(pictures) as client:
                status, answer, _ = await until_there(client, request.id)
                assert status == 200 and (answer["label"], answer["model"]) == ("Egyptian cat", "mobilenet_v1")

    asyncio.run(run())


async def until_there(client: Client, identifier: str) -> tuple[int, Any, Headers]:
    async with asyncio.timeout(30):
        while (found := await client.get(f"/results/{identifier}"))[0] == 202:
            await asyncio.sleep(0.02)
    return found


def test_too_many_are_refused_and_who_leaves_makes_room(fixture: Fixture) -> None:
    fixture.limits = ServiceLimits(requests=2)

    async def run() -> None:
        is_ready = asyncio.Event()
        async with (
            hostile_server({"/cat": late(picture(CAT), is_ready)}) as pictures,
            fixture.client(pictures) as client,
        ):
            waiting = [asyncio.create_task(client.classify("/cat")) for _ in range(2)]
            async with asyncio.timeout(30):
                while client.service.waiting < 2:
                    await asyncio.sleep(0.01)
            status, answer, headers = await client.classify("/cat")
            assert status == 503 and headers["Retry-After"] == "5" and "2 requests wait" in answer["error"]
            waiting[0].cancel()
            async with asyncio.timeout(30):
                while client.service.waiting == 2:
                    await asyncio.sleep(0.01)
            is_ready.set()
            found = [await waiting[1], await client.classify("/cat")]
            assert [status for status, _, _ in found] == [200, 200], found

    asyncio.run(run())


def begun(body: bytes, is_ready: asyncio.Event) -> Answer:
    """All but the end, which comes when it is ready."""

    async def answer() -> AsyncIterator[bytes]:
        yield f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-2000]
        await is_ready.wait()
        yield body[-2000:]

    return answer


def test_files_take_bounded_memory(fixture: Fixture) -> None:
    fixture.limits = ServiceLimits(held_bytes=len(CAT) + 1000)
    fixture.fetching = FetchLimits(silence_s=120, total_s=120)

    async def run() -> None:
        is_ready = asyncio.Event()
        async with (
            hostile_server({"/begun": begun(CAT, is_ready), "/cat": picture(CAT)}) as pictures,
            fixture.client(pictures) as client,
        ):
            holding = asyncio.create_task(client.classify("/begun"))
            async with asyncio.timeout(30):
                while client.service.held_bytes < len(CAT) - 2000:
                    await asyncio.sleep(0.01)
            status, answer, headers = await client.classify("/cat")
            assert status == 503 and headers["Retry-After"] == "5", answer
            assert "bytes are held already, as many as may be" in answer["error"]
            is_ready.set()
            assert [(await holding)[0], (await client.classify("/cat"))[0]] == [200, 200]
            assert client.service.held_bytes == 0

    asyncio.run(run())


def test_what_is_promised_waits_for_memory(fixture: Fixture) -> None:
    fixture.limits = ServiceLimits(held_bytes=len(CAT) + 1000, answer_s=0.2)
    fixture.fetching = FetchLimits(silence_s=120, total_s=120)

    async def run() -> None:
        is_first, is_second = asyncio.Event(), asyncio.Event()
        answers = {"/cat": late(picture(CAT), is_first), "/begun": begun(CAT, is_second)}
        async with hostile_server(answers) as pictures, fixture.client(pictures) as client, asyncio.timeout(60):
            promises = [await client.classify("/cat"), await client.classify("/begun")]
            while client.service.held_bytes < len(CAT) - 2000:
                await asyncio.sleep(0.01)
            is_first.set()
            while pictures.paths().count("/cat") < 2:  # It was refused, and comes again.
                await asyncio.sleep(0.01)
            is_second.set()
            for status, _, headers in promises:
                assert status == 504
                assert (await until_there(client, headers["X-Request-Id"]))[1]["label"] == "Egyptian cat"

    asyncio.run(run())


def test_no_worker_yet_is_waited_for(fixture: Fixture) -> None:
    opened: list[str] = []
    open_session = fixture.open_session

    def not_at_once(model: Classifier) -> splitnet.Session:
        opened.append(model.name)
        if len(opened) < 3:
            raise splitnet.Unavailable("nobody is there")
        return open_session(model)

    async def work(client: Client) -> None:
        answers = await asyncio.gather(client.classify("/cat"), client.classify("/cat"))
        assert [status for status, _, _ in answers] == [200, 200]
        assert len(opened) == 3  # One session for both.

    fixture.open_session = not_at_once
    fixture.run({"/cat": picture(CAT)}, work)


def test_what_no_worker_can_do_is_said(fixture: Fixture) -> None:
    def open_session(model: Classifier) -> splitnet.Session:
        raise splitnet.Incompatible("the worker has another model")

    async def work(client: Client) -> None:
        status, answer, _ = await client.classify("/cat")
        assert status == 500 and answer["error"] == "the picture could not be classified: the worker has another model"

    fixture.open_session = open_session
    fixture.run({"/cat": picture(CAT)}, work)


def test_labels_come_while_s3_is_away(fixture: Fixture) -> None:
    fixture.environment = {**fixture.environment, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}

    async def run() -> None:
        async with hostile_server({"/cat": picture(CAT)}) as pictures:
            rule = AddressRule(exceptions=frozenset({Endpoint("127.0.0.1", pictures.port)}))
            async with open_fetcher(rule) as fetcher:
                service = ClassifyService(fixture.store, fetcher, fixture.open_session)
                outcome = await service.classify(f"{pictures.url}/cat", "mobilenet_v2")
                assert outcome.label == "Egyptian cat"
                await service.close()

    asyncio.run(run())
