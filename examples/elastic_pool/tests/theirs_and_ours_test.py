# SPDX-License-Identifier: Apache-2.0
"""The one table of the three demos, of documents as they write them."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from classify import report as classify_report
from classify.asking import Reply
from classify.measure import Run as ClassifyRun
from elastic_pool import report, theirs_and_ours
from elastic_pool.measure import Run
from video_faces.live import Latencies
from video_faces.measure import Measured, RunFigures
from video_faces.people import Figures
from video_faces.report import THEIRS


def elastic() -> dict[str, Any]:
    calm = Run("20", 20, 20, 0.2, 1.0, 2.71, 1, 0, 0, 0, 2**20, [], [])
    troubled = Run("300, trouble", 300, 299, 2.0, 4.0, 31.94, 12, 10, 1, 3, 2**20, ["ran out of memory"], [])
    return report.document([calm, troubled])


def classify() -> dict[str, Any]:
    replies = [Reply(200, 1.0 + number, label="cat") for number in range(3)]
    return classify_report.document([ClassifyRun("3, warm", replies, 3, [], 3.5, 2, 1)])


def recording(what: str, by_workers: int) -> dict[str, Any]:
    latency = {"mean_s": 0.25, "p50_s": 0.2, "p95_s": 0.4, "max_s": 0.5}
    assert set(latency) == {one.name for one in fields(Latencies)}
    found = {"what": what, "sent": 50, "answered": 48, "failed": 1, "seconds": 4.0, "latency": latency}
    return found | {"to_be_named": 40, "named": 30, "finished_by_workers": by_workers}


def video() -> dict[str, Any]:
    runs = [recording("on the workers", 96), recording("as planned", 0)]
    assert set(runs[0]) <= {one.name for one in fields(RunFigures)}
    figures = {"pictures": 8, "faces": 9, "right": 7, "wrong": 1}
    assert set(figures) == {one.name for one in fields(Figures)}
    found = {"runs": runs, "people": 6, "other_photos": figures, "strangers": figures}
    assert set(found) <= {one.name for one in fields(Measured)}
    return found | {"theirs": THEIRS}


def written(folder: Path, **documents: Any) -> list[str]:
    """The files that the program takes."""
    found = {"elastic": elastic(), "classify": classify(), "video": video()} | documents
    for name, document in found.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return [str(folder / f"{name}.json") for name in found]


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert theirs_and_ours.main(written(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["| experiment | theirs | ours |", "| --- | --- | --- |"]
    assert lines[2:5] == [
        "| S2: 20 pictures at once | 230 s | 2.7 s; 20 of 20 right; 1 worker |",
        "| S2: 300 pictures at once, trouble |  | 31.9 s; 299 of 300 right; 12 workers, 10 of them killed, queue "
        "restarted once; second answers refused: 3; 1 dead letter |",
        "| S4: 3, warm |  | 3 of 3 answered, 3 right; 2.0 s on average, longest 3.0 s; 1 worker killed |",
    ]
    rest = "\n".join(lines[5:])
    assert "| 2 (one of each half-second chunk) | on the workers: 12.0; as planned: 12.0 |" in rest
    assert "| mostly under 2 s | on the workers: 250 and 500 ms; as planned: 250 and 500 ms, nothing sent |" in rest
    assert "95th percentile |  | on the workers: 400 ms |" in rest
    assert "| S3: frames lost | 0 | on the workers: 1; as planned: 1 |" in rest
    assert "| 60 to 68 % | on the workers: 30 of 40 (75%); as planned: 30 of 40 (75%) |" in rest
    assert "gallery, 6 people |  | 7 of 8 other photos right, 1 with another's name; 7 of 9 strangers unknown |" in rest
    assert all(line.count(" | ") == 2 for line in lines)


def test_theirs_stands_beside_as_many_requests() -> None:
    document = classify()
    first, second = (dict(document["runs"][0]) | {"name": name, "requests": 40} for name in ("40, cold", "40, warm"))
    rows = theirs_and_ours.classify_rows(document | {"runs": [document["runs"][0], first, second]})
    assert [row[1] for row in rows] == ["", "38 of 40 answered, about 50 s on average", ""]


def test_a_file_of_something_else_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    not_of_video: list[Any] = [elastic(), [], {"runs": {}}]
    for wrong in not_of_video:
        assert theirs_and_ours.main(written(tmp_path, video=wrong)) == 1
        assert "video.json: found no " in capsys.readouterr().err
    files = written(tmp_path)
    Path(files[0]).write_text("{")
    assert theirs_and_ours.main(files) == 1
    assert "elastic.json: " in capsys.readouterr().err
    Path(files[0]).unlink()
    assert theirs_and_ours.main(files) == 1
    assert "elastic.json" in capsys.readouterr().err
