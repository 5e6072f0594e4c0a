# SPDX-License-Identifier: Apache-2.0
"""What AWS charges: list prices of us-east-1 on x86-64 beyond the free tier, in dollars.

They change, and differ from region to region: look them up at the sources before you rely on a sum.
"""

from __future__ import annotations

import math

import splitnet

REGION = "us-east-1"
AS_OF = "2025-08-01"  #: Since then the start of an execution environment is billed for every kind of function.
SOURCES = (
    "https://aws.amazon.com/lambda/pricing/",
    "https://aws.amazon.com/s3/pricing/",
    "https://aws.amazon.com/dynamodb/pricing/on-demand/",
    "https://aws.amazon.com/api-gateway/pricing/",
    "https://aws.amazon.com/ec2/pricing/on-demand/ (machines, data transfer)",
)

FUNCTION_REQUEST = 0.20e-6  #: One invocation.
FUNCTION_GIGABYTE_SECOND = 16.6667e-6  #: A gigabyte is 1,024 MB here.
FUNCTION_BILLING_UNIT_S = 0.001
OBJECT_PUT = 0.005e-3  #: One PUT, COPY, POST or LIST request to S3 Standard.
OBJECT_GET = 0.0004e-3
OBJECT_GIGABYTE_MONTH = 0.023
TABLE_WRITE = 0.625e-6  #: One item up to 1 KB, on demand.
TABLE_READ = 0.125e-6  #: Up to 4 KB, strongly consistent; half of that otherwise.
GATEWAY_REQUEST = 1.00e-6  #: One call of an HTTP API, up to 512 KB.
EGRESS_BYTE = 0.09e-9  #: Out to the internet; in is free.
MACHINE_CORE_SECOND = 0.085 / 2 / 3600  #: A virtual processor of c5.large or c6i.large (two, 4 GiB), Linux, on demand.


def function_dollars(billed_s: float, memory_megabytes: int) -> float:
    """One invocation, which is billed in whole milliseconds, the start of a cold one with it."""
    units = math.ceil(round(billed_s / FUNCTION_BILLING_UNIT_S, 6))
    return FUNCTION_REQUEST + units * FUNCTION_BILLING_UNIT_S * memory_megabytes / 1024 * FUNCTION_GIGABYTE_SECOND


def planner_price(memory_megabytes: int) -> splitnet.Price:
    """The same for the planner: `planning=TwoTierOptions(worker=Tier(price=…))`."""
    return splitnet.Price(
        request_dollar=FUNCTION_REQUEST,
        gigabyte_second_dollar=FUNCTION_GIGABYTE_SECOND,
        memory_gigabyte=memory_megabytes / 1024,
        billing_unit_s=FUNCTION_BILLING_UNIT_S,
        egress_dollar_per_byte=EGRESS_BYTE,
    )
