# SPDX-License-Identifier: Apache-2.0
"""Pictures to the local server."""

from __future__ import annotations

import base64
import time
import uuid
from typing import Any

import requests

from detection.boxes import Detection
from detection.route import NotAnswered, Outcome, PictureRefused

_REFUSALS = (413, 422)


class ServerRoute:
    """`POST /object-detection` at an URL. With `details`, asks for boxes (they are all 0 else) and for steps."""

    def __init__(self, url: str, timeout_s: float = 60.0, details: bool = False) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._query = {"details": "1"} if details else {}
        self._http = requests.Session()
        self._http.trust_env = False  # No proxy stands before a server on this machine.

    def send(self, name: str, data: bytes) -> Outcome:
        identifier = str(uuid.uuid4())
        body = {"id": identifier, "image_data": base64.b64encode(data).decode()}
        begun_s = time.perf_counter()
        try:
            reply = self._http.post(self._url, json=body, params=self._query, timeout=self._timeout_s)
            call_s = time.perf_counter() - begun_s
            found = reply.json()
        except requests.RequestException as error:
            raise NotAnswered(f"{self._url}: {error}") from None
        try:
            return self._outcome(reply.status_code, found, identifier, call_s)
        except (KeyError, TypeError, ValueError):
            raise NotAnswered(f"{self._url}: found {found!r:.200}, expected id, objects and inference_time") from None

    def _outcome(self, status: int, found: Any, identifier: str, call_s: float) -> Outcome:
        """Raises KeyError, TypeError, ValueError: it is of another form."""
        if status in _REFUSALS:
            raise PictureRefused(found["error"])
        if status != 200:
            raise NotAnswered(f"{self._url} answered {status}: {found['error']}")
        if found["id"] != identifier:
            raise NotAnswered(f"{self._url}: found the answer to {found['id']}, expected that to {identifier}")
        times_s = {"inference": float(found["inference_time"]) / 1e3, "whole call": call_s}
        return Outcome([_detection(one) for one in found["objects"]], times_s, found.get("steps", {}))


def _detection(found: dict[str, Any]) -> Detection:
    left, top, right, bottom = found.get("box", (0.0, 0.0, 0.0, 0.0))
    return Detection(found["label"], found["accuracy"], (left, top, right, bottom))
