# SPDX-License-Identifier: Apache-2.0
"""The SAM templates: valid, and no more allowed, kept or spent than they say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]
from moto import mock_aws

from common.aws_client import aws_client

EXAMPLE = Path(__file__).resolve().parents[1]
WORKER = EXAMPLE.parents[1] / "build/release/splitnet-worker"
TEMPLATES = ("template.yaml", "baseline.yaml")


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("cfn-lint")
    return subprocess.run([program, path], capture_output=True, text=True)


def load(name: str) -> dict[str, Any]:
    template: dict[str, Any] = cfn_yaml.load(str(EXAMPLE / name))
    return template


def resources(name: str, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for title, resource in load(name)["Resources"].items():
        if resource["Type"] == kind:
            yield title, resource["Properties"]


def evaluated(value: Any, parameters: dict[str, str]) -> list[str]:
    """The words that CloudFormation (moto's) makes of a property of the template which is a list of them."""
    template = load("template.yaml")
    some = {"Queue": {"Type": "AWS::SQS::Queue"}}  # A stack has some.
    output = {"Words": {"Value": {"Fn::Join": ["\n", value]}}}
    kept = {name: template[name] for name in ("Parameters", "Conditions")}
    given = {"ImageUri": "an-image", "Token": 32 * "x", **parameters}
    with mock_aws():
        client = aws_client("cloudformation", {"AWS_REGION": "eu-central-1"})
        stack = client.create_stack(
            StackName="evaluated",
            TemplateBody=json.dumps({**kept, "Resources": some, "Outputs": output}),
            Parameters=[{"ParameterKey": name, "ParameterValue": one} for name, one in given.items()],
        )
        (found,) = client.describe_stacks(StackName=stack["StackId"])["Stacks"]
    words: str = found["Outputs"][0]["OutputValue"]
    return words.split("\n")


def allowed(policy: dict[str, Any]) -> Iterator[tuple[list[str], list[str]]]:
    """Actions and resources (as text) of each statement that allows something."""
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            action, resource = statement["Action"], statement.get("Resource", [])
            actions = [action] if isinstance(action, str) else list(action)
            yield actions, [str(one) for one in (resource if isinstance(resource, list) else [resource])]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_valid(name: str) -> None:
    ends = lint(EXAMPLE / name)
    assert ends.returncode == 0, ends.stdout


def test_a_slip_would_be_found(tmp_path: Path) -> None:
    slip = tmp_path / "template.yaml"
    slip.write_text((EXAMPLE / "template.yaml").read_text().replace("MemorySize:", "MemorySise:"))
    ends = lint(slip)
    assert ends.returncode != 0 and "MemorySise" in ends.stdout


@pytest.mark.parametrize("name", TEMPLATES)
def test_functions_may_do_what_they_need(name: str) -> None:
    for title, role in resources(name, "AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role, f"{title}: managed policies allow more than this function needs"
        for policy in role["Policies"]:
            for actions, places in allowed(policy["PolicyDocument"]):
                assert not [action for action in actions if "*" in action], f"{title} may do {actions}"
                assert places and "*" not in places, f"{title} may do {actions} anywhere"
                for place in places:
                    assert "s3" not in actions[0] or actions == ["s3:ListBucket"] or "/" in place, (
                        f"{title} may do {actions} in all of a bucket: {place}"
                    )


def test_functions_that_read_objects_hear_that_one_is_gone() -> None:
    """Without s3:ListBucket it is a 403, which would be tried again."""
    roles = dict(resources("baseline.yaml", "AWS::IAM::Role"))
    assert len(roles) == 2
    for title, role in roles.items():
        found = [one for policy in role["Policies"] for one in allowed(policy["PolicyDocument"])]
        (read,) = [places for actions, places in found if actions == ["s3:GetObject"]]
        (listed,) = [places for actions, places in found if actions == ["s3:ListBucket"]]
        assert read[0].startswith(listed[0].removesuffix("'}")), title


def test_callers_may_call_and_no_more() -> None:
    policies = dict(resources("template.yaml", "AWS::IAM::ManagedPolicy"))
    may = {
        title: {action for actions, _ in allowed(policy["PolicyDocument"]) for action in actions}
        for title, policy in policies.items()
    }
    bodies = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    assert may.pop("CallerPolicy") == bodies | {"lambda:InvokeFunction"}
    assert may.pop("QueueCallerPolicy") >= bodies | {"sqs:SendMessage", "sqs:ReceiveMessage"}
    assert not may
    for actions, places in allowed(policies["QueueCallerPolicy"]["PolicyDocument"]):
        if {"sqs:CreateQueue", "sqs:DeleteQueue", "sqs:ReceiveMessage", "sqs:DeleteMessage"} & set(actions):
            assert all("-replies-*" in place for place in places), "callers must not take the requests of others"


QUEUE_PARTS = {
    "Requests", "DeadRequests", "QueuesOnlyEncrypted", "QueueRights", "QueueSource", "QueueCallerPolicy"
}  # fmt: skip


def test_the_queue_is_an_option_as_a_whole() -> None:
    template = load("template.yaml")
    optional = {title for title, one in template["Resources"].items() if one.get("Condition") == "HasQueue"}
    assert optional == QUEUE_PARTS
    others = {title: one for title, one in template["Resources"].items() if title not in QUEUE_PARTS}
    assert not [part for part in QUEUE_PARTS if f"'{part}'" in str(others)]
    for title, output in template["Outputs"].items():
        assert (output.get("Condition") == "HasQueue") == any(part in str(output["Value"]) for part in QUEUE_PARTS), (
            title
        )
    assert template["Parameters"]["WithQueue"]["Default"] == "no"


def test_the_queue_goes_to_the_function_and_only_what_failed_comes_again() -> None:
    ((_, source),) = resources("template.yaml", "AWS::Lambda::EventSourceMapping")
    assert source["FunctionName"] == {"Ref": "Function"}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    given = load("template.yaml")["Parameters"]
    assert given["VisibilitySeconds"]["Default"] >= 6 * given["TimeoutSeconds"]["Default"]
    assert given["QueueConcurrency"]["Default"] < given["MaxConcurrency"]["Default"]


def test_queues_are_encrypted_and_the_worker_writes_the_dead_letters() -> None:
    queues = dict(resources("template.yaml", "AWS::SQS::Queue"))
    assert len(queues) == 2
    for title, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True and "RedrivePolicy" not in queue, title
    ((_, policy),) = resources("template.yaml", "AWS::SQS::QueuePolicy")
    assert {one["Ref"] for one in policy["Queues"]} == queues.keys()
    assert "aws:SecureTransport" in str(policy["PolicyDocument"])
    assert queues["Requests"]["QueueName"] == {"Ref": "AWS::StackName"}
    assert queues["DeadRequests"]["QueueName"] == {"Fn::Sub": "${AWS::StackName}-dead"}, "as the worker calls it"
    ((_, rights),) = resources("template.yaml", "AWS::IAM::RolePolicy")
    dead, replies = (one for one in allowed(rights["PolicyDocument"]) if "sqs:SendMessage" in one[0])
    assert set(dead[0]) == {"sqs:GetQueueAttributes", "sqs:SendMessage"} and "DeadRequests" in str(dead[1])
    assert list(replies[0]) == ["sqs:SendMessage"] and "-replies-*" in str(replies[1])


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_function_has_limits_and_a_log_that_ends(name: str) -> None:
    template = load(name)
    given = template.get("Globals", {}).get("Function", {})
    logs = dict(resources(name, "AWS::Logs::LogGroup"))
    assert all("RetentionInDays" in log for log in logs.values())
    functions = dict(resources(name, "AWS::Serverless::Function"))
    assert functions
    for title, function in functions.items():
        whole = {**given, **function}
        assert {"ReservedConcurrentExecutions", "MemorySize", "Timeout", "Role", "Architectures"} <= whole.keys(), title
        assert whole["LoggingConfig"]["LogGroup"]["Ref"] in logs


@pytest.mark.parametrize("name", TEMPLATES)
def test_buckets_are_private_encrypted_and_forget(name: str) -> None:
    buckets = dict(resources(name, "AWS::S3::Bucket"))
    encrypted_roads = {
        policy["Bucket"]["Ref"]
        for _, policy in resources(name, "AWS::S3::BucketPolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}
    }
    assert buckets
    for title, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) <= {True, "true"}, title
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4, title
        assert bucket["BucketEncryption"]
        assert title in encrypted_roads, f"{title} can be read in clear text"
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        assert rule["Status"] == "Enabled" and rule["ExpirationInDays"] == 1


def test_the_road_without_credentials_asks_for_a_token() -> None:
    """The HTTP API has no authorizer, so the function must never be without a token."""
    template = load("template.yaml")
    token = template["Parameters"]["Token"]
    assert token["NoEcho"] is True and token["MinLength"] >= 32 and "Default" not in token
    ((_, function),) = resources("template.yaml", "AWS::Serverless::Function")
    assert function["Environment"]["Variables"]["SPLITNET_TOKEN"] == {"Ref": "Token"}
    assert "FunctionUrlConfig" not in function, "the API is the one road in, beside Invoke"


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({}, []),
        ({"Input": "1x3x224x224"}, ["--input", "1x3x224x224"]),
        ({"Cuts": "input"}, ["--cut", "input"]),
        (
            {"Input": "1x8", "Cuts": "features.14,max_pool2d#4,input", "Threads": "2"},
            ["--input", "1x8", "--cut", "features.14", "--cut", "max_pool2d#4", "--cut", "input"],
        ),
    ],
)
def test_the_worker_understands_its_command(parameters: dict[str, str], options: list[str]) -> None:
    ((_, function),) = resources("template.yaml", "AWS::Serverless::Function")
    command = evaluated(function["ImageConfig"]["Command"], parameters)
    assert command == ["/models/model.pt", "--threads", parameters.get("Threads", "1"), *options]
    ends = subprocess.run(
        [WORKER, *command, "--listen", "lambda-runtime://"],
        capture_output=True, text=True, env={"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9"},
    )  # fmt: skip
    # Everything is understood, up to the model, which lies in the image only.
    assert ends.returncode == 1 and "can't load /models/model.pt: there is no such file" in ends.stderr


def test_bodies_lie_where_the_function_may_put_them() -> None:
    ((_, function),) = resources("template.yaml", "AWS::Serverless::Function")
    store = function["Environment"]["Variables"]["SPLITNET_STORE"]["Fn::Sub"]
    assert store == load("template.yaml")["Outputs"]["Store"]["Value"]["Fn::Sub"] == "s3://${Bodies}/bodies"
    ((_, role),) = resources("template.yaml", "AWS::IAM::Role")
    assert "${Bodies.Arn}/bodies/*" in str(role["Policies"])


def test_the_detection_table_has_the_key_that_the_function_writes() -> None:
    ((_, table),) = resources("baseline.yaml", "AWS::DynamoDB::Table")
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["picture_url"]
