# SPDX-License-Identifier: Apache-2.0
"""What an invocation does not take lies in S3 as long as its call takes, on either way; without a store nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import splitnet
from common.aws_client import aws_client
from local_aws import LocalAws

from .conftest import BUCKET, TOKEN

EIGHT = torch.arange(8, dtype=torch.float32).reshape(1, 8) - 3
PHOTOS = torch.rand((2_500, 3, 16, 16), generator=torch.Generator().manual_seed(2))  # 7.7 MB.
INPUT = splitnet.Cut.at_input()
SPREAD = splitnet.Cut.after("spread")


def opened(model: Path, function: str, cut: splitnet.Cut) -> splitnet.Session:
    """What the function does not answer is seen."""
    return splitnet.Session(
        splitnet.Partitioner(model), worker=f"lambda://{function}", cut=cut, threads=1, finish_on_device=False
    )


def expected(model: Path, tensor: torch.Tensor) -> torch.Tensor:
    """Of the model in one piece."""
    (whole,) = splitnet.Partitioner(model).stages([], splitnet.StageOptions(threads=1))
    answer: torch.Tensor = whole.run([tensor])[0]
    return answer


def objects() -> list[str]:
    found = aws_client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [one["Key"] for one in found]


@pytest.mark.parametrize(
    ("function", "cut", "tensor"),
    [
        pytest.param("small", INPUT, PHOTOS, id="request"),
        pytest.param("wide", INPUT, EIGHT, id="reply"),
        pytest.param("wide", SPREAD, EIGHT, id="both"),
    ],
)
def test_it_lies_in_the_store_meanwhile(
    aws: LocalAws,
    models: Path,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    cut: splitnet.Cut,
    tensor: torch.Tensor,
) -> None:
    monkeypatch.setenv("SPLITNET_STORE", store)
    model = models / f"{function}.pt"
    with opened(model, function, cut) as session:
        answers = [session(tensor) for _ in range(2)]
    for answer in answers:
        assert torch.equal(answer, expected(model, tensor))
    assert objects() == [], "the end of a call removes its objects"
    assert all(one.error is None for one in aws.invocations(function))


def test_without_a_store_a_large_request_is_not_sent(aws: LocalAws, model: Path, photo: torch.Tensor) -> None:
    with opened(model, "small-bare", INPUT) as session:
        session(photo)
        aws.fail("small-bare", status=500)  # Who sends something meets it.
        with pytest.raises(splitnet.TooLarge, match="SPLITNET_STORE"):
            session(PHOTOS)
        with pytest.raises(splitnet.Unavailable, match="500"):
            splitnet.Session(splitnet.Partitioner(model), worker="lambda://small-bare", cut=INPUT)
        assert torch.equal(session(photo), expected(model, photo))


def test_without_a_store_of_the_function_a_large_reply_is_refused(
    aws: LocalAws, wide_model: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITNET_STORE", store)
    with opened(wide_model, "wide-bare", INPUT) as session:
        with pytest.raises(splitnet.TooLarge, match="SPLITNET_STORE"):
            session(EIGHT)
    assert objects() == []
    assert all(one.error is None for one in aws.invocations("wide-bare")), "it is an answer, not a crash"


def test_over_a_url_there_is_no_store(aws: LocalAws, model: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITNET_STORE", store)
    part = splitnet.Partitioner(model)
    url = aws.function_url("small")
    with splitnet.Session(part, worker=url, cut=INPUT, token=TOKEN, finish_on_device=False) as session:
        with pytest.raises(splitnet.TooLarge):
            session(PHOTOS)
    assert objects() == []


def test_a_store_that_is_not_there_is_named(
    aws: LocalAws, model: Path, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITNET_STORE", "s3://nowhere/bodies")
    with opened(model, "small", INPUT) as session:
        with pytest.raises(splitnet.InvalidArgument, match="nowhere.*NoSuchBucket"):
            session(PHOTOS)
        assert torch.equal(session(photo), expected(model, photo))
