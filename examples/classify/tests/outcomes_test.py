# SPDX-License-Identifier: Apache-2.0
"""What lies in the bucket, and for how long."""

from __future__ import annotations

import json
import re
from pathlib import Path

from classify.outcomes import Outcome, OutcomeStore, Request
from common.aws_client import aws_client
from local_aws import LocalAws

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_rule_for_the_bucket_ends_promises_and_no_results(aws: LocalAws) -> None:
    found = re.search(r"--lifecycle-configuration \\\n  '(.*)'\n", README.read_text())
    assert found
    s3, bucket = aws_client("s3", aws.environment), "with-a-rule"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.environment["AWS_REGION"]})
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=json.loads(found[1]))
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["Status"] == "Enabled" and rule["Expiration"]["Days"] == 7

    store = OutcomeStore(bucket, aws.environment)
    store.promise(Request("A" * 22, "http://pictures/cat", "forgotten"))
    store.put(Outcome(Request("B" * 22, "http://pictures/cat", "mobilenet_v2"), "cat", 0.5))
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    ended = [key for key in keys if key.startswith(rule["Filter"]["Prefix"])]
    assert len(keys) == 2 and ended == [f"promised/{'A' * 22}"]
