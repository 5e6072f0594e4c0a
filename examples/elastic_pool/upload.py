# SPDX-License-Identifier: Apache-2.0
"""Takes many pictures in one request, `multipart/form-data`, and has them in the bucket before the job is acknowledged.

Whatever is sent, an upload holds no more than Limits.held_bytes and one picture of it in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http import HttpProcessingError

from common.option_checks import expect_more_than_0
from elastic_pool.job_store import STORE_ERRORS, JobList, JobStore, Picture, new_job_id
from elastic_pool.labels import DistinctNames, shown_name

FIELD = "pictures"

_CHUNK_BYTES = 2**16
_LEAST_BYTES_PER_S = 2**15  #: Of pictures: whoever is slower would keep the place from others for long.

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Limits:
    """Of one upload."""

    pictures: int = 1000
    picture_bytes: int = 20 * 2**20  #: A larger one becomes an error in the results; the others are taken.
    total_bytes: int = 1000 * 2**20
    held_bytes: int = 32 * 2**20  #: On the way to the bucket.
    silence_s: float = 30.0
    """Longest time until a bit more of a picture, or the whole head of the next, is there; and that an upload may take beyond
    what it does at the least rate. What S3 takes counts for neither."""
    total_s: float = 900.0
    uploads: int = 4  #: At once.

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        expect_more_than_0(self)


class Refused(Exception):
    """The whole upload is; says why, for whoever sent it."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Uploads:
    """Of one web tier. Belongs to an event loop; S3 is waited for in `threads`."""

    def __init__(self, store: JobStore, threads: Executor, limits: Limits) -> None:
        self.limits = limits
        self._store = store
        self._threads = threads
        self._under_way = 0

    async def take(self, request: web.Request) -> JobList:
        """A job whose pictures and list are in the bucket.

        Raises Refused: nobody is told of a job. Of the upload only that stays which S3 doesn't let be removed: pictures, or,
        where it failed while the list was being written, a list whose pictures are gone.
        """
        if self._under_way >= self.limits.uploads:
            raise Refused(503, f"{self._under_way} uploads are under way, as many as may be: try again")
        self._under_way += 1
        upload = _Upload(self._store, self._threads, self.limits)
        try:
            async with asyncio.timeout(self.limits.total_s):
                return await upload.take(request)
        except TimeoutError:
            raise Refused(408, f"the upload was not there within {self.limits.total_s:g} s") from None
        except STORE_ERRORS as error:
            raise Refused(503, f"the pictures can't be kept: {error}; try again") from None
        finally:
            self._under_way -= 1


class _Upload:
    def __init__(self, store: JobStore, threads: Executor, limits: Limits) -> None:
        self._job = new_job_id()
        self._store = store
        self._threads = threads
        self._limits = limits
        self._pictures: list[Picture] = []
        self._names = DistinctNames()
        self._came_bytes = 0
        self._waited_s = 0.0  # For them.
        self._putting: dict[asyncio.Future[None], int] = {}  # Bytes held by each.

    async def take(self, request: web.Request) -> JobList:
        try:
            await self._read(request)
            while self._putting:
                await self._one_put()
            return await self._acknowledge()
        except BaseException:
            await asyncio.shield(self._undo())
            raise

    async def _read(self, request: web.Request) -> None:
        if request.content_type != "multipart/form-data":
            raise Refused(415, f"found {request.content_type}, expected multipart/form-data with {FIELD}")
        if (request.content_length or 0) > self._limits.total_bytes + 2**20:
            raise self._too_much()
        try:
            parts = await request.multipart()
            while (part := await self._soon(parts.next())) is not None:
                await self._take_part(part)
        except (ValueError, HttpProcessingError) as error:  # What aiohttp raises at broken multipart data.
            raise Refused(400, f"the upload is no multipart/form-data: {error}") from None
        if not self._pictures:
            raise Refused(400, f"found no picture, expected files in the field {FIELD}")

    async def _take_part(self, part: MultipartReader | BodyPartReader) -> None:
        if not isinstance(part, BodyPartReader) or part.name != FIELD or part.filename is None:
            found = "parts in parts" if isinstance(part, MultipartReader) else f"the field {str(part.name)[:80]!r}"
            raise Refused(400, f"found {found}, expected files in the field {FIELD} only")
        index = len(self._pictures)
        if index == self._limits.pictures:
            raise Refused(413, f"found more than {index} pictures, expected at most so many at once")
        data = await self._content(part)
        if not part.filename and not data:
            return  # A form in which nobody has chosen a file.
        name = self._names.take(shown_name(part.filename.replace("%22", '"'), index))  # A quote as browsers send it.
        if data is None:
            self._pictures.append(Picture(name, _too_large(self._limits.picture_bytes)))
            return
        while self._putting and sum(self._putting.values()) + len(data) > self._limits.held_bytes:
            await self._one_put()
        self._pictures.append(Picture(name))
        put = asyncio.get_running_loop().run_in_executor(
            self._threads, self._store.put_input, self._job, index, bytes(data)
        )
        self._putting[put] = len(data)

    async def _content(self, part: BodyPartReader) -> bytearray | None:
        """None: the picture is too large; the rest of it is thrown away as it comes."""
        data: bytearray | None = bytearray()
        while not part.at_eof():
            chunk = await self._soon(part.read_chunk(_CHUNK_BYTES))
            self._came_bytes += len(chunk)
            if self._came_bytes > self._limits.total_bytes:
                raise self._too_much()
            if data is not None and len(data) + len(chunk) > self._limits.picture_bytes:
                data = None
            if data is not None:
                data += chunk
        return data

    async def _soon(self, coming: Awaitable[_Value]) -> _Value:
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.silence_s):
                found = await coming
        except TimeoutError:
            raise Refused(408, f"nothing came for {self._limits.silence_s:g} s") from None
        self._waited_s += time.monotonic() - begun_s
        if self._came_bytes < (self._waited_s - self._limits.silence_s) * _LEAST_BYTES_PER_S:
            raise Refused(
                408, f"the upload is too slow, expected at least {_LEAST_BYTES_PER_S} bytes of pictures a second"
            )
        return found

    async def _one_put(self) -> None:
        """Waits until one more picture is in the bucket. Raises what writing it has failed with."""
        done, _ = await asyncio.wait(self._putting, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            del self._putting[one]
            one.result()

    async def _acknowledge(self) -> JobList:
        job = JobList(self._job, time.time(), tuple(self._pictures))
        await asyncio.get_running_loop().run_in_executor(self._threads, self._store.put_list, job)
        return job

    async def _undo(self) -> None:
        """Removes the pictures, as far as S3 lets it."""
        if self._putting:
            await asyncio.wait(self._putting)
        kept = [index for index, one in enumerate(self._pictures) if not one.refused]
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            loop.run_in_executor(self._threads, self._store.remove_inputs, self._job, kept), return_exceptions=True
        )

    def _too_much(self) -> Refused:
        return Refused(413, f"the upload is too large, expected at most {self._limits.total_bytes} bytes in all")


def _too_large(most_bytes: int) -> str:
    return f"the file is too large, expected at most {most_bytes} bytes"
