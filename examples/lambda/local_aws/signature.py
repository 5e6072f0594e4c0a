# SPDX-License-Identifier: Apache-2.0
"""Checks requests that are signed by Signature Version 4 (IAM user guide, "Create a signed AWS API request").

The signature is computed again with botocore from what arrived; of the time, five minutes of difference are allowed.
"""

from __future__ import annotations

import datetime
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.compat import HTTPHeaders  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from .service_error import ServiceError

_SKEW = datetime.timedelta(minutes=5)
_FORMAT = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/([^/, ]*)/([^/, ]*)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Account:
    """Who may call, and where."""

    access_key_id: str
    secret_access_key: str
    region: str
    service: str
    expired_session_tokens: frozenset[str] = frozenset()


class _Checker(SigV4Auth):  # type: ignore[misc]
    """botocore's signer, over the headers that the sender has signed."""

    def __init__(self, account: Account, names: list[str], sha256: str) -> None:
        super().__init__(Credentials(account.access_key_id, account.secret_access_key), account.service, account.region)
        self._names = names
        self._sha256 = sha256

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name in self._names:
            headers[name] = request.headers.get(name, "")
        return headers

    def payload(self, request: AWSRequest) -> str:
        return self._sha256


def check_signature(
    account: Account, method: str, target: str, headers: Mapping[str, str], sha256: str, skew_s: float = 0.0
) -> None:
    """`target`: path and query as they came; `sha256`: of the body, in hexadecimal; `skew_s`: how far our clock is ahead.

    Raises ServiceError.
    """
    authorization = headers.get("Authorization")
    if authorization is None:
        raise ServiceError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    parts = _AUTHORIZATION.fullmatch(authorization)
    if parts is None:
        raise ServiceError(
            400,
            "IncompleteSignatureException",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
            f"Authorization header requires 'SignedHeaders' parameter. Authorization={authorization.split(' ')[0]}",
        )
    key, date, region, service, names, signature = parts.groups()
    if key != account.access_key_id:
        raise ServiceError(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    _check_scope(account, region, service)
    stamp = headers.get("X-Amz-Date", "")
    _check_time(stamp, date, skew_s)
    if headers.get("X-Amz-Security-Token") in account.expired_session_tokens:
        raise ServiceError(403, "ExpiredTokenException", "The security token included in the request is expired")
    if headers.get("X-Amz-Content-SHA256", sha256) != sha256:
        raise _mismatch()
    checker = _Checker(account, names.split(";"), sha256)
    request = AWSRequest(method, f"http://localhost{target}", headers=dict(headers))
    request.context["timestamp"] = stamp
    canonical = checker.canonical_request(request)
    expected = checker.signature(checker.string_to_sign(request, canonical), request)
    if not hmac.compare_digest(expected, signature):
        raise _mismatch()


def _check_scope(account: Account, region: str, service: str) -> None:
    if region != account.region:
        raise _invalid(f"Credential should be scoped to a valid region, not '{region}'. ")
    if service != account.service:
        raise _invalid(f"Credential should be scoped to correct service: '{account.service}'. ")


def _check_time(stamp: str, date: str, skew_s: float) -> None:
    try:
        at = datetime.datetime.strptime(stamp, _FORMAT).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise _invalid(
            f"Date must be in ISO-8601 'basic format'. Got '{stamp}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ) from None
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=skew_s)
    now_text, bound = now.strftime(_FORMAT), _SKEW.seconds // 60
    if at < now - _SKEW:
        earliest = (now - _SKEW).strftime(_FORMAT)
        raise _invalid(f"Signature expired: {stamp} is now earlier than {earliest} ({now_text} - {bound} min.)")
    if at > now + _SKEW:
        latest = (now + _SKEW).strftime(_FORMAT)
        raise _invalid(f"Signature not yet current: {stamp} is still later than {latest} ({now_text} + {bound} min.)")
    if not stamp.startswith(date):
        raise _invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{stamp[:8]}', from '{stamp}'."
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError(403, "InvalidSignatureException", message)


def _mismatch() -> ServiceError:
    return _invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )
