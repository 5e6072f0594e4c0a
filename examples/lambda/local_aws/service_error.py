# SPDX-License-Identifier: Apache-2.0
"""Errors of Lambda's own interface, with the service's types, statuses and texts."""

from __future__ import annotations

import json


class ServiceError(Exception):
    """Answered as JSON with the type in `x-amzn-ErrorType`."""

    def __init__(self, status: int, kind: str, message: str, **fields: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        #: The security layer writes `message`, Lambda itself `Message` and `Type`.
        self.body = json.dumps(fields | {"Message": message} if fields else {"message": message}).encode()


def not_found(arn: str) -> ServiceError:
    return ServiceError(404, "ResourceNotFoundException", f"Function not found: {arn}", Type="User")


def throttled() -> ServiceError:
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    return ServiceError(429, "TooManyRequestsException", "Rate Exceeded.", Reason=reason, Type="User")


def too_large(limit_bytes: int) -> ServiceError:
    text = f"Request must be smaller than {limit_bytes} bytes for the InvokeFunction operation"
    return ServiceError(413, "RequestEntityTooLargeException", text, Type="User")


def event_too_large(size_bytes: int, limit_bytes: int) -> ServiceError:
    text = f"{size_bytes} byte payload is too large for the Event invocation type (limit {limit_bytes} bytes)"
    return ServiceError(413, "RequestEntityTooLargeException", text, Type="User")


def invalid_parameter(message: str) -> ServiceError:
    return ServiceError(400, "InvalidParameterValueException", message, Type="User")


def invalid_content(message: str) -> ServiceError:
    return ServiceError(400, "InvalidRequestContentException", message, Type="User")


def internal(message: str) -> ServiceError:
    return ServiceError(500, "ServiceException", message, Type="Service")
