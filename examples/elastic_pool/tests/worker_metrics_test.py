# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from elastic_pool.worker_metrics import WorkerMetrics, parse

TEXT = """# HELP splitnet_worker_requests_total Requests that have ended
# TYPE splitnet_worker_requests_total counter
splitnet_worker_requests_total{model="a",outcome="answered"} 7
splitnet_worker_requests_total{model="b",outcome="failed",code="overloaded"} 2
splitnet_worker_queued_requests 3
splitnet_worker_running_requests 1
splitnet_worker_slice_seconds_sum{model="a"} 0.5
splitnet_worker_decode_seconds_sum{model="a"} 0.25
splitnet_worker_run_seconds_count{model="a"} 5
splitnet_worker_run_seconds_count{model="b"} 1
splitnet_worker_run_seconds_sum{model="a"} 1.5
splitnet_worker_run_seconds_sum{model="b"} 1.25e-1
splitnet_worker_run_seconds_bucket{model="a",le="0.0001"} 5
"""


def test_it_adds_up_models_and_outcomes() -> None:
    assert parse(TEXT) == WorkerMetrics(ended=9, answered=6, work_s=2.375, held=4)


@pytest.mark.parametrize("text", ["", "<html>", "splitnet_worker_requests_total 5", "up 1\n"])
def test_what_are_no_metrics(text: str) -> None:
    with pytest.raises(ValueError, match="expected the metrics of a splitnet-worker"):
        parse(text)
