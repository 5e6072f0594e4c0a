# SPDX-License-Identifier: Apache-2.0
"""Lambda's Invoke API, by boto3."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import math
import time
from collections.abc import Callable
from typing import Any

import botocore.exceptions  # type: ignore[import-untyped]
import pytest

from local_aws import LocalAws

from .conftest import Clients

MAX_EVENT_BYTES = 6 * 2**20


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        call()
    code: str = raised.value.response["Error"]["Code"]
    return code


def wait_for(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.02)


def test_first_call_is_cold_and_next_hot(aws: LocalAws, clients: Clients) -> None:
    aws.recycle("plain")
    before = len(aws.invocations("plain"))
    first = clients.invoke("plain", {"do": "sleep", "seconds": 0.05})
    second = clients.invoke("plain", {"do": "sleep", "seconds": 0.05})
    assert first["value"]["pid"] == second["value"]["pid"]
    cold, hot = aws.invocations("plain")[before:]
    assert (cold.is_cold, hot.is_cold) == (True, False)
    assert cold.init_s > 0.01 and hot.init_s == 0.0
    assert 0.05 <= hot.duration_s < 1.0
    assert cold.billed_s == math.ceil((cold.init_s + cold.duration_s) * 1e3) / 1e3
    assert 2**20 < hot.peak_memory_bytes < 200 * 2**20
    assert cold.request_id == first["ResponseMetadata"]["RequestId"]
    assert first["ExecutedVersion"] == "$LATEST"


def test_recycled_function_is_another_process(aws: LocalAws, clients: Clients) -> None:
    first = clients.invoke("plain", {"do": "sleep", "seconds": 0})["value"]["pid"]
    assert aws.recycle("plain") == 1
    assert clients.invoke("plain", {"do": "sleep", "seconds": 0})["value"]["pid"] != first


def test_report_line_and_tail(aws: LocalAws, clients: Clients) -> None:
    answer = clients.invoke("plain", {"do": "print", "text": "seen by the function"}, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode().splitlines()
    invocation = aws.invocations("plain")[-1]
    assert tail[0] == f"START RequestId: {invocation.request_id} Version: $LATEST"
    assert "seen by the function" in tail
    assert tail[-1].startswith(f"REPORT RequestId: {invocation.request_id}\tDuration: ")
    assert f"Billed Duration: {round(invocation.billed_s * 1e3)} ms\tMemory Size: 1769 MB" in tail[-1]
    assert aws.log("plain")[-1] == tail[-1]


def test_environment_of_a_function(aws: LocalAws, clients: Clients) -> None:
    found = clients.invoke("plain", {"do": "environment"})["value"]
    assert found["COLOUR"] == "blue"
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "plain"
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "1769"
    assert found["AWS_ENDPOINT_URL_S3"] == aws.environment["AWS_ENDPOINT_URL_S3"]
    assert found["AWS_SESSION_TOKEN"]
    assert "HOME" not in found  # Nothing of the machine's.


@pytest.mark.parametrize(
    "name", ["plain", "123456789012:function:plain", "arn:aws:lambda:eu-central-1:123456789012:function:plain"]
)
def test_names_of_a_function(clients: Clients, name: str) -> None:
    assert clients.invoke(name, {"a": 1})["value"] == {"a": 1}


def test_unknown_function_and_version(clients: Clients) -> None:
    assert code_of(lambda: clients.invoke("nobody", {})) == "ResourceNotFoundException"
    assert code_of(lambda: clients.invoke("plain", {}, Qualifier="7")) == "ResourceNotFoundException"
    assert clients.invoke("plain", {}, Qualifier="$LATEST")["StatusCode"] == 200


def test_dry_run_runs_nothing(aws: LocalAws, clients: Clients) -> None:
    before = len(aws.invocations("plain"))
    assert clients.invoke("plain", {}, InvocationType="DryRun")["StatusCode"] == 204
    assert len(aws.invocations("plain")) == before


def test_not_json(clients: Clients) -> None:
    raw = clients.client("lambda")
    assert code_of(lambda: raw.invoke(FunctionName="plain", Payload=b"\x00raw")) == "InvalidRequestContentException"


def test_two_at_a_time_and_no_third(aws: LocalAws, clients: Clients) -> None:
    begun = sum(line.startswith("START") for line in aws.log("pair"))
    event = {"do": "sleep", "seconds": 1.0}
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        running = [threads.submit(clients.invoke, "pair", event) for _ in range(2)]
        wait_for(lambda: sum(line.startswith("START") for line in aws.log("pair")) == begun + 2)
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            clients.invoke("pair", event)
        one, other = (call.result()["value"] for call in running)
    answer = raised.value.response
    assert answer["Error"]["Code"] == "TooManyRequestsException"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert one["pid"] != other["pid"]
    assert max(one["begun_s"], other["begun_s"]) < min(one["ended_s"], other["ended_s"])
    assert clients.invoke("pair", {"a": 1})["value"] == {"a": 1}


def test_error_object(aws: LocalAws, clients: Clients) -> None:
    answer = clients.invoke("plain", {"do": "fail", "message": "no such layer"})
    assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled"
    assert answer["value"] == {"errorType": "FunctionError", "errorMessage": "no such layer"}
    assert aws.invocations("plain")[-1].error == "FunctionError: no such layer"


def test_answer_that_looks_like_an_error_is_none(clients: Clients) -> None:
    looks = {"errorType": "FunctionError", "errorMessage": "quoted"}
    answer = clients.invoke("plain", looks)
    assert answer["value"] == looks and "FunctionError" not in answer


def test_time_out_and_the_next_call_answers(aws: LocalAws, clients: Clients) -> None:
    clients.invoke("brief", {})
    answer = clients.invoke("brief", {"do": "sleep", "seconds": 5})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Sandbox.Timedout"
    assert answer["value"]["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert aws.invocations("brief")[-1].duration_s == 1.0
    assert clients.invoke("brief", {"a": 1})["value"] == {"a": 1}
    assert aws.invocations("brief")[-1].is_cold


def test_crash_and_the_next_call_answers(aws: LocalAws, clients: Clients) -> None:
    answer = clients.invoke("plain", {"do": "exit", "status": 3})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Runtime.ExitError"
    assert answer["value"]["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert clients.invoke("plain", {"a": 1})["value"] == {"a": 1}
    assert aws.invocations("plain")[-1].is_cold


@pytest.mark.parametrize(
    ("function", "kind", "end"),
    [
        ("exits", "Runtime.ExitError", "Runtime exited with error: exit status 7"),
        ("fails", "Test.NoModel", "no model"),
        ("hangs", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    ],
)
def test_runtime_that_does_not_come_up(clients: Clients, function: str, kind: str, end: str) -> None:
    for _ in range(2):
        answer = clients.invoke(function, {})
        assert answer["FunctionError"] == "Unhandled"
        assert answer["value"]["errorType"] == kind
        assert answer["value"]["errorMessage"].endswith(end)


def test_largest_event_and_one_byte_more(clients: Clients) -> None:
    event = "x" * (MAX_EVENT_BYTES - 2)
    assert clients.invoke("plain", event)["value"] == event
    raw = clients.client("lambda")
    too_large = json.dumps(event + "x")
    assert code_of(lambda: raw.invoke(FunctionName="plain", Payload=too_large)) == "RequestEntityTooLargeException"
    far_too_large = b'"' + b"x" * 20 * 2**20 + b'"'
    assert code_of(lambda: raw.invoke(FunctionName="plain", Payload=far_too_large)) == "RequestEntityTooLargeException"


def test_answer_too_large(clients: Clients) -> None:
    answer = clients.invoke("plain", {"do": "answer", "bytes": 6_291_557})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Function.ResponseSizeTooLarge"
    assert clients.invoke("plain", {"do": "answer", "bytes": 6_291_000})["value"] == "x" * 6_291_000


def test_asynchronous_invocation_is_tried_three_times(aws: LocalAws, clients: Clients) -> None:
    before = len(aws.invocations("plain"))
    answer = clients.invoke("plain", {"do": "fail", "message": "again"}, InvocationType="Event")
    assert answer["StatusCode"] == 202
    wait_for(lambda: len(aws.invocations("plain")) == before + 3)
    assert clients.invoke("plain", {"a": 1}, InvocationType="Event")["StatusCode"] == 202
    wait_for(lambda: len(aws.invocations("plain")) == before + 4)
    assert [one.error for one in aws.invocations("plain")[before:]] == ["FunctionError: again"] * 3 + [None]
    large = json.dumps("x" * 2**20)
    raw = clients.client("lambda")
    assert (
        code_of(lambda: raw.invoke(FunctionName="plain", Payload=large, InvocationType="Event"))
        == "RequestEntityTooLargeException"
    )
