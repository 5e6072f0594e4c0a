# SPDX-License-Identifier: Apache-2.0
"""boto3 clients of an AWS that need not be the one of this process's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

#: What clients raise when a service refuses, can't be reached, or breaks off in the middle of an answer.
AWS_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError, ResponseParserError)

_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 5.0
_VARIABLES = {
    "region_name": "AWS_REGION",
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}


def aws_client(
    service: str,
    environment: Mapping[str, str] | None = None,
    *,
    timeout_s: float = _TIMEOUT_S,
    attempts: int = 1,
    connections: int = 10,
) -> Any:
    """`timeout_s`: for each answer, and for connecting (5 s at most); `connections`: as many are kept. What `environment`
    doesn't say (as LocalAws.environment: region, endpoint, credentials) boto3 finds where it always does, the region also in
    AWS_REGION, as splitnet. Its clients may be used by several threads."""
    settings = _settings(service, environment, timeout_s, attempts, connections)
    return boto3.session.Session().client(service, **settings)


def aws_table(name: str, environment: Mapping[str, str] | None = None, *, attempts: int = 1) -> Any:
    """A table of DynamoDB as boto3's resources have it, with values of Python in its items; found as by `aws_client`. For
    one thread."""
    settings = _settings("dynamodb", environment, _TIMEOUT_S, attempts, connections=1)
    return boto3.session.Session().resource("dynamodb", **settings).Table(name)


def _settings(
    service: str, environment: Mapping[str, str] | None, timeout_s: float, attempts: int, connections: int
) -> dict[str, Any]:
    """As boto3's sessions take them."""
    said = dict(environment or {})
    if "AWS_REGION" in os.environ:
        said.setdefault("AWS_REGION", os.environ["AWS_REGION"])
    found: dict[str, Any] = {name: said[variable] for name, variable in _VARIABLES.items() if variable in said}
    for variable in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
        if variable in said:
            found.setdefault("endpoint_url", said[variable])
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=min(_CONNECT_TIMEOUT_S, timeout_s),
        read_timeout=timeout_s,
        max_pool_connections=connections,
    )
    return found | {"config": config}
