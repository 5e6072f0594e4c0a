# SPDX-License-Identifier: Apache-2.0
"""Faults that tests ask for, met by both interfaces."""

from __future__ import annotations

import email.utils
import http.client
import time

import botocore.exceptions  # type: ignore[import-untyped]
import pytest

from common.aws_client import aws_client
from local_aws import LocalAws

from .conftest import Clients
from .function_url_test import ask


def test_throttled_twice_then_answered(aws: LocalAws, clients: Clients) -> None:
    aws.fail("plain", status=429, times=2, retry_after_s=3)
    for _ in range(2):
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            clients.invoke("plain", {})
        assert raised.value.response["Error"]["Code"] == "TooManyRequestsException"
        assert raised.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "3"
    assert clients.invoke("plain", [1])["value"] == [1]


def test_retrying_client_gets_through(aws: LocalAws) -> None:
    aws.fail("plain", status=500, times=2)
    client = aws_client("lambda", aws.environment, attempts=3)
    answer = client.invoke(FunctionName="plain", Payload=b"[1]")
    assert answer["Payload"].read() == b"[1]"
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2


def test_delay(aws: LocalAws, clients: Clients) -> None:
    clients.invoke("plain", {})
    aws.fail("plain", delay_s=0.5)
    begun_s = time.monotonic()
    assert clients.invoke("plain", [1])["value"] == [1]
    assert time.monotonic() - begun_s >= 0.5


def test_dropped_connection(aws: LocalAws, clients: Clients) -> None:
    aws.fail("plain", drop=True, times=2)
    with pytest.raises(botocore.exceptions.HTTPClientError):
        clients.invoke("plain", {})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(aws, {"answer": 1})
    assert clients.invoke("plain", [1])["value"] == [1]


def test_date_that_is_off(aws: LocalAws, clients: Clients) -> None:
    aws.fail("plain", clock_skew_s=-250)
    answer = clients.invoke("plain", [1])
    date = email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert 240 < time.time() - date.timestamp() < 262


def test_function_url_meets_them_too(aws: LocalAws) -> None:
    aws.fail("plain", status=429, retry_after_s=0.5)
    status, headers, _ = ask(aws, {"answer": 1})
    assert (status, headers["Retry-After"]) == (429, "0.5")
    aws.fail("plain", status=503)
    assert ask(aws, {"answer": 1})[::2] == (503, b'{"message": "Service Unavailable"}')
    assert ask(aws, {"answer": 1})[0] == 200


def test_unknown_function(aws: LocalAws) -> None:
    with pytest.raises(ValueError, match="no function 'nobody', expected one of"):
        aws.fail("nobody", status=500)
