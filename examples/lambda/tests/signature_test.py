# SPDX-License-Identifier: Apache-2.0
"""Who may invoke: every way in which Signature Version 4 can be wrong."""

from __future__ import annotations

import datetime
import http.client
import json
from typing import Any

import botocore.exceptions  # type: ignore[import-untyped]
import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from local_aws import LocalAws

from .conftest import EXPIRED_TOKEN, Clients

PATH = "/2015-03-31/functions/plain/invocations"


def refusal(clients: Clients, **changes: str) -> tuple[str, str]:
    """Code and message."""
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        clients.client("lambda", **changes).invoke(FunctionName="plain", Payload=b"{}")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def test_wrong_secret(clients: Clients) -> None:
    code, message = refusal(clients, AWS_SECRET_ACCESS_KEY="another")
    assert code == "InvalidSignatureException"
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


def test_unknown_key(clients: Clients) -> None:
    code, message = refusal(clients, AWS_ACCESS_KEY_ID="AKIDNOBODY")
    assert (code, message) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


def test_expired_session(clients: Clients) -> None:
    code, message = refusal(clients, AWS_SESSION_TOKEN=EXPIRED_TOKEN)
    assert (code, message) == ("ExpiredTokenException", "The security token included in the request is expired")


def test_other_session_is_welcome(clients: Clients) -> None:
    client = clients.client("lambda", AWS_SESSION_TOKEN="a-session-that-lasts")
    assert client.invoke(FunctionName="plain", Payload=b"[1]")["Payload"].read() == b"[1]"


def test_wrong_region(clients: Clients) -> None:
    code, message = refusal(clients, AWS_REGION="us-west-2")
    assert code == "InvalidSignatureException"
    assert message.startswith("Credential should be scoped to a valid region")


def test_service_whose_clock_is_off(aws: LocalAws, clients: Clients) -> None:
    aws.fail("plain", clock_skew_s=400)
    code, message = refusal(clients)
    assert code == "InvalidSignatureException" and message.startswith("Signature expired: ")
    aws.fail("plain", clock_skew_s=-400)
    code, message = refusal(clients)
    assert code == "InvalidSignatureException" and message.startswith("Signature not yet current: ")
    aws.fail("plain", clock_skew_s=200)
    assert clients.invoke("plain", {"a": 1})["value"] == {"a": 1}


def send(aws: LocalAws, headers: dict[str, str], body: bytes, path: str = PATH) -> tuple[int, str | None, Any]:
    """Status, error type, document."""
    connection = http.client.HTTPConnection(aws.environment["AWS_ENDPOINT_URL_LAMBDA"].removeprefix("http://"))
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer.status, answer.headers.get("x-amzn-ErrorType"), json.loads(found)


def signed(
    aws: LocalAws, body: bytes, headers: dict[str, str], at: datetime.datetime | None = None, path: str = PATH
) -> dict[str, str]:
    """Headers as botocore signs them, at another time if wanted."""
    known = aws.environment
    request = AWSRequest("POST", known["AWS_ENDPOINT_URL_LAMBDA"] + path, headers=headers, data=body)
    credentials = Credentials(known["AWS_ACCESS_KEY_ID"], known["AWS_SECRET_ACCESS_KEY"])
    auth = SigV4Auth(credentials, "lambda", known["AWS_REGION"])
    if at is None:
        auth.add_auth(request)
        return dict(request.headers)
    request.context["timestamp"] = request.headers["X-Amz-Date"] = at.strftime("%Y%m%dT%H%M%SZ")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return dict(request.headers)


def test_missing_and_unreadable(aws: LocalAws) -> None:
    assert send(aws, {}, b"{}") == (
        403,
        "MissingAuthenticationTokenException",
        {"message": "Missing Authentication Token"},
    )
    status, kind, _ = send(aws, {"Authorization": "AWS4-HMAC-SHA256 nonsense"}, b"{}")
    assert (status, kind) == (400, "IncompleteSignatureException")


@pytest.mark.parametrize(("minutes", "begin"), [(-6, "Signature expired: "), (6, "Signature not yet current: ")])
def test_client_whose_clock_is_off(aws: LocalAws, minutes: int, begin: str) -> None:
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    status, kind, document = send(aws, signed(aws, b"{}", {}, at), b"{}")
    assert (status, kind) == (403, "InvalidSignatureException")
    assert document["message"].startswith(begin)


def test_clock_that_is_a_little_off(aws: LocalAws) -> None:
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=4)
    assert send(aws, signed(aws, b"[1]", {}, at), b"[1]") == (200, None, [1])


def test_changed_on_the_way(aws: LocalAws) -> None:
    """Body, a signed header, the hash header, the path: each is under the signature."""
    headers = signed(aws, b"[1]", {"X-Amz-Client-Context": "e30="})
    assert send(aws, headers, b"[1]")[0] == 200
    for changed, body, path in [
        (headers, b"[2]", PATH),
        (headers | {"X-Amz-Client-Context": "e319"}, b"[1]", PATH),
        (headers | {"X-Amz-Content-SHA256": "0" * 64}, b"[1]", PATH),
        (headers, b"[1]", PATH + "?Qualifier=%24LATEST"),
        (headers, b"[1]", PATH.replace("plain", "pair")),
    ]:
        assert send(aws, changed, body, path)[:2] == (403, "InvalidSignatureException")


def test_query_and_escaped_path_are_signed_as_sent(aws: LocalAws) -> None:
    path = PATH.replace("plain", "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Aplain")
    path += "?Qualifier=%24LATEST"
    assert send(aws, signed(aws, b"[1]", {}, path=path), b"[1]", path) == (200, None, [1])
