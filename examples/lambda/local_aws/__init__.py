# SPDX-License-Identifier: Apache-2.0
"""AWS on loopback: real Lambda runtimes under AWS's own Runtime Interface Emulator behind Lambda's HTTP interfaces, and
S3, SQS and DynamoDB from moto. `python -m local_aws --help` is the same for a person.
"""

from .configuration import REGION, Configuration, Function, S3Trigger, SqsSource
from .invocation import Invocation
from .stack import LocalAws
from .tail_function import image_function, tail_function

__all__ = [
    "REGION",
    "Configuration",
    "Function",
    "Invocation",
    "LocalAws",
    "S3Trigger",
    "SqsSource",
    "image_function",
    "tail_function",
]
