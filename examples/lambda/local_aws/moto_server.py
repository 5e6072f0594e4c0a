# SPDX-License-Identifier: Apache-2.0
"""moto's server as a process on loopback: S3, SQS and DynamoDB, and what has to be in them."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Mapping

from common.aws_client import aws_client

from .processes import free_ports

_START_TIMEOUT_S = 20.0


class MotoServer:
    """Started by the constructor, ended by `stop`. Dies with its parent."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "moto.server"),
                *("--host", "127.0.0.1", "--port", str(self.port)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Until it answers. Raises OSError."""
        until_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < until_s:
            if self._process.poll() is not None:
                raise OSError(f"moto's server ended with status {self._process.returncode}, expected it at {self.url}")
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=5).close()
                return
            except OSError:
                time.sleep(0.02)
        raise OSError(f"moto's server did not answer at {self.url} in {_START_TIMEOUT_S} s")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def create(
    environment: Mapping[str, str],
    buckets: Iterable[str],
    tables: Iterable[tuple[str, str]],
    queues: Iterable[str],
) -> None:
    """Buckets, tables (name, partition key, a string) and queues."""
    s3 = aws_client("s3", environment)
    for bucket in buckets:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": environment["AWS_REGION"]})
    dynamodb = aws_client("dynamodb", environment)
    for name, key in tables:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    sqs = aws_client("sqs", environment)
    for queue in queues:
        sqs.create_queue(QueueName=queue)
