# SPDX-License-Identifier: Apache-2.0
"""moto's server as a process on loopback: S3, SQS and DynamoDB, and what has to be in them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping

from common.aws_client import aws_client
from common.child_process import start_child, wait_for_answer

from .processes import free_ports

_START_TIMEOUT_S = 20.0


class MotoServer:
    """Started by the constructor, ended by `stop`. Dies with its parent."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = start_child(command, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        """Until it answers; where it doesn't, it is ended. Raises RuntimeError, TimeoutError."""
        try:
            wait_for_answer(self._process, f"{self.url}/moto-api/data.json", _START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

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
