# SPDX-License-Identifier: Apache-2.0
"""AWS list prices in dollars, region us-east-1, without the free tier, as the pages named said in October 2025."""

from __future__ import annotations

import splitnet

# https://aws.amazon.com/lambda/pricing/ (x86; the start of an environment is billed like the rest since August 2025)
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GIGABYTE_S = 0.0000166667
# https://aws.amazon.com/s3/pricing/ (Standard); deleting costs nothing
S3_PUT = 0.005e-3
S3_GET = 0.0004e-3
S3_GIGABYTE_MONTH = 0.023
# https://aws.amazon.com/ec2/pricing/on-demand/ (data transfer); what comes in costs nothing
EGRESS_BYTE = 0.09e-9


def lambda_price(memory_megabytes: int) -> splitnet.Price:
    """Of a function with so much memory."""
    return splitnet.Price(
        request_dollar=LAMBDA_REQUEST,
        gigabyte_second_dollar=LAMBDA_GIGABYTE_S,
        memory_gigabyte=memory_megabytes / 1024,
        egress_dollar_per_byte=EGRESS_BYTE,
    )


def lambda_dollars(billed_s: float, memory_megabytes: int) -> float:
    """Compute of one invocation, without the request."""
    return billed_s * memory_megabytes / 1024 * LAMBDA_GIGABYTE_S
