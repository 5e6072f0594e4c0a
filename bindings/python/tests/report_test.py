# SPDX-License-Identifier: Apache-2.0
"""The page as text: what it says, that it is well-formed, that nothing in a document can break out of it."""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli_tools import check
from splitnet import report
from splitnet.cli.report import save_report
from splitnet.report import latency_plot, theme, units, verdict
from splitnet.report.document import Link
from splitnet.report.reading import read

Document = dict[str, Any]

VOID_TAGS = {"meta", "br", "img", "input", "link", "wbr"}
HOSTILE = '</script><x-evil onload="alert(1)">\'"&amp;<!-- {{ 7*7 }} \u2028 ${1}'


class Page(HTMLParser):
    """Tags with their attributes, the text without scripts and styles, and the scripts; raises on tags that do not fit."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in VOID_TAGS:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif "style" not in self._open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]

    def plots(self) -> dict[str, Any]:
        (found,) = [text for attributes, text in self.scripts if attributes.get("id") == "plots"]
        return dict(json.loads(found))


def words(text: str) -> str:
    return " ".join(text.split())


def values_with(key: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a specification's data sets the one whose rows have `key`."""
    (found,) = [values for values in spec["datasets"].values() if values and key in values[0]]
    return list(found)


def test_what_these_tests_read_is_as_the_schema_says(make_document: Callable[..., Document]) -> None:
    check(make_document(), "sweep")
    document = make_document(links=1, name="relu")
    document["sweep"]["links"][0] |= two_plans(0.01, 0.02, chosen=0, best=0, split_wins=False)
    check(document, "sweep")


def test_pages_need_no_torch() -> None:
    words = "import splitnet.report, sys; sys.exit('torch was imported' if 'torch._C' in sys.modules else 0)"
    subprocess.run([sys.executable, "-c", words], check=True)


# ---- The page.


def test_the_page_is_a_well_formed_document_with_language_and_title(html: str) -> None:
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert "<title>Sweep of a_network</title>" in html
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_all_references_have_their_target(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
    references += [str(attributes["href"]).removeprefix("#") for attributes in page.all("a")]
    assert len(references) > 20
    assert set(references) <= set(ids)


def test_the_page_loads_nothing(html: str) -> None:
    page = Page(html)
    assert not [a for _, a in page.tags if "src" in a or not str(a.get("href", "#")).startswith("#")]
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "img", "iframe", "object", "embed", "base", "form"})


def test_the_content_security_policy_allows_the_scripts_of_the_page_and_no_others(html: str) -> None:
    page = Page(html)
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    run = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert policy.startswith("default-src 'none';")
    assert policy.endswith("script-src " + " ".join(f"'sha256-{value}'" for value in hashes))


def test_every_plot_has_words_for_those_who_can_not_see_it(html: str) -> None:
    page = Page(html)
    plots = [attributes for attributes in page.all("div") if attributes.get("class", "").startswith("plot")]  # type: ignore[union-attr]
    assert {str(plot["data-plot"]) for plot in plots} == set(page.plots()["specifications"])
    assert all(len(str(plot["aria-label"])) > 40 and plot["role"] == "img" for plot in plots)


def test_every_link_has_its_own_plots_and_table(html: str) -> None:
    page = Page(html)
    keys = set(page.plots()["specifications"])
    assert keys == {"links", "regret", "prediction", "map", "fidelity"} | {
        f"{plot}-{link}" for plot in ("latency", "pareto") for link in range(8)
    }
    assert len([a for a in page.all("table") if str(a.get("aria-labelledby")).startswith("table-plans-")]) == 8


def test_the_page_names_machines_links_and_versions(html: str) -> None:
    text = words(Page(html).text)
    for expected in (
        "Some Processor, 2 cores",
        "shaped://up=12Mbit,down=40Mbit@tcp://10.200.0.2:7070",
        "12.0\N{NO-BREAK SPACE}Mbit/s",
        "splitnet 0.1.0",
        "torch 2.13.0",
        "bf3c663cb6680ede7b7c037c26dd890a",
        "f32[1, 3, 224, 224]",
    ):
        assert words(expected) in text


def test_the_table_says_why_a_plan_was_not_measured(html: str) -> None:
    assert "predicted to take longer than 0.6 s" in Page(html).text


def test_a_sweep_that_lost_its_worker_says_so(make_document: Callable[..., Document], html: str) -> None:
    assert "The worker was lost." not in html
    document = make_document(links=1)
    document["sweep"]["failure"] = "Connection refused <here>"
    page = report.render(document)
    assert "The worker was lost." in page
    assert "Connection refused &lt;here&gt;" in page


def test_an_interrupted_sweep_says_so(make_document: Callable[..., Document], html: str) -> None:
    assert "Interrupted." not in html
    assert "Interrupted." in report.render(make_document(links=1) | {"interrupted": True})


def test_what_is_not_in_the_document_is_said_to_be_missing(make_document: Callable[..., Document]) -> None:
    page = Page(report.render(make_document(links=1) | {"codecs": [], "map": None, "pareto": []}))
    text = words(page.text)
    assert "made without a calibration of codecs" in text
    assert "No map of the best plan" in text
    assert "No Pareto front of this link" in text
    assert {"fidelity", "map", "pareto-0"}.isdisjoint(page.plots()["specifications"])


# ---- Text of a document is data.


def strings_replaced(value: Any, text: str, keep: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: strings_replaced(inner, text, keep) for key, inner in value.items()}
    if isinstance(value, list):
        return [strings_replaced(inner, text, keep) for inner in value]
    return f"{value}{text}" if isinstance(value, str) and value not in keep else value


def test_no_text_of_a_document_becomes_markup(make_document: Callable[..., Document]) -> None:
    benign = make_document(links=2)
    hostile = strings_replaced(benign, HOSTILE, keep=("",))
    hostile["versions"] = {f"torch{HOSTILE}": HOSTILE}
    page = Page(report.render(hostile))
    assert "x-evil" not in {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if "onload" in attributes]
    assert [a for a, _ in page.scripts] == [a for a, _ in Page(report.render(benign)).scripts]
    assert "a_network</script><x-evil" in page.text
    assert "{{ 7*7 }}" in page.text
    values = values_with("throughput", page.plots()["specifications"]["pareto-0"])
    assert values[0]["codec"].endswith(HOSTILE)


def test_json_in_the_page_has_nothing_that_html_reads_as_markup(make_document: Callable[..., Document]) -> None:
    document = strings_replaced(make_document(links=1), HOSTILE, keep=("", "device only", "worker only"))
    (found,) = [text for a, text in Page(report.render(document)).scripts if a.get("id") == "plots"]
    assert not set("<>&\u2028") & set(found)
    assert "\\u003c/script\\u003e" in found


def expressions(spec: Any) -> Iterator[str]:
    """All of a specification but its data, where text of a document may not stand."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key in ("expr", "filter", "calculate", "test", "labelExpr") and isinstance(value, str):
                yield value
            yield from expressions(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from expressions(value)


def test_no_text_of_a_document_is_run_as_an_expression(make_document: Callable[..., Document]) -> None:
    benign, hostile = make_document(links=1), make_document(links=1)
    hostile = strings_replaced(hostile, "' + warn(1) + '", keep=("",))
    specifications = [Page(report.render(found)).plots()["specifications"] for found in (benign, hostile)]
    found = [list(expressions(one)) for one in specifications]
    assert len(found[0]) > 5
    assert found[0] == found[1]


# ---- Latency against cut.


def link_of(document: Document, index: int = 0) -> Link:
    return read(document).links[index]


def latency_values(link: Link) -> list[dict[str, Any]]:
    return values_with("layers", latency_plot.latency(link).spec)


def test_bars_have_the_terms_of_the_document(document: Document) -> None:
    row = document["sweep"]["links"][4]["rows"][3]
    row["measured"] |= {"head_s": 0.001, "encode_s": 0.002, "transport_s": 0.003, "decode_s": 0.004, "tail_s": 0.005}
    (found,) = [
        value
        for value in latency_values(link_of(document, 4))
        if value["layers"] == row["head_layers"] and value["name"] == row["codec"] and value["kind"] == "measured"
    ]
    assert [found[term] for term in ("head", "encode", "wire", "decode", "tail")] == [1, 2, 3, 4, 5]


def test_one_bar_of_each_cut_is_that_of_the_codec_with_the_best_prediction(document: Document) -> None:
    link = link_of(document, 3)
    best = {value["layers"]: value["name"] for value in latency_values(link) if value["best"]}
    assert sorted(best) == list(range(21))
    for layers, codec in best.items():
        rows = [row for row in link.rows if row.head_layers == layers]
        assert codec == min(rows, key=lambda row: row.predicted.total_s).codec


def test_a_plan_that_was_not_measured_has_a_prediction_only(document: Document) -> None:
    link = link_of(document, 0)
    assert link.has_unmeasured
    unmeasured = [value for value in latency_values(link) if value["kind"] == "measured" and value["label"] == "–"]
    assert len(unmeasured) == sum(not row.measured for row in link.rows)
    assert all(value["head"] == value["wire"] == value["tail"] == 0 for value in unmeasured)


def test_the_axis_shows_what_matters_when_some_plans_take_hundred_times_as_long(document: Document) -> None:
    link = link_of(document, 0)
    assert max(row.predicted.total_s for row in link.rows) > 50 * link.chosen.latency_s
    plot = latency_plot.latency(link)
    (domain,) = {
        tuple(layer["encoding"]["x"]["scale"]["domain"])
        for layer in plot.spec["layer"]
        if "scale" in layer["encoding"]["x"]
    }
    assert domain[1] == pytest.approx(4e3 * link.chosen.latency_s)
    assert "longer bars are cut off" in plot.caption
    assert "Beyond its end: worker only, raw" in plot.caption


def test_cuts_with_the_same_name_stay_apart(make_document: Callable[..., Document]) -> None:
    values = latency_values(link_of(make_document(links=1, name="relu")))
    names = {value["layers"]: value["cut"] for value in values}
    assert len(set(names.values())) == len(names) == 21


def test_codecs_that_read_the_same_share_a_bar(document: Document) -> None:
    rows = document["sweep"]["links"][4]["rows"]
    twin = copy.deepcopy(rows[-1])
    twin["codec"] = "transform:tables=ffffffffffffffffffffffffffffffff;coarseness=-8"
    twin["predicted"]["total_s"] += 1
    rows.append(twin)
    values = latency_values(link_of(document, 4))
    bars = [(value["layers"], value["codec"], value["kind"]) for value in values]
    assert len(bars) == len(set(bars))
    assert twin["codec"] not in {value["name"] for value in values}


def test_every_term_has_a_colour_of_its_own() -> None:
    assert list(theme.TERMS) == ["head", "encode", "wire", "decode", "tail"]
    assert len(set(theme.TERMS.values())) == 5


# ---- Verdicts.


def two_plans(
    device_s: float, split_s: float, *, chosen: int, best: int, split_wins: bool, spread: float = 0
) -> Document:
    """One link with device only as row 0 and a split as row 1."""
    rows = []
    for layers, cut, total_s in ((20, "device only", device_s), (5, "after features.4", split_s)):
        times = {"head_s": total_s, "encode_s": 0, "transport_s": 0, "decode_s": 0, "tail_s": 0, "total_s": total_s}
        rows.append(
            {
                "head_layers": layers,
                "cut": cut,
                "codec": "raw" if cut == "device only" else "f16",
                "bytes_up": 0,
                "predicted": times,
                "profiled_s": total_s,
                "measured": times,
                "first_s": [total_s * (1 + spread)],
                "second_s": [total_s],
                "not_measured": "",
            }
        )
    regret = rows[chosen]["second_s"][0] / rows[best]["second_s"][0] - 1  # type: ignore[index]
    return {"rows": rows, "chosen": chosen, "best": best, "regret": regret, "split_wins": split_wins}


@pytest.mark.parametrize(
    ("plans", "headline", "details"),
    [
        (
            two_plans(0.01, 0.02, chosen=0, best=0, split_wins=False),
            "Don't split",
            "takes 20.0 ms. No measured plan was faster",
        ),
        (
            two_plans(0.02, 0.01, chosen=1, best=1, split_wins=True),
            "Split",
            "It is 2.0 times as fast as device only (20.0 ms)",
        ),
        (
            two_plans(0.01, 0.008, chosen=1, best=1, split_wins=True),
            "Split",
            "It is 20.0 % faster than device only (10.0 ms)",
        ),
        (
            two_plans(0.01, 0.011, chosen=1, best=0, split_wins=False),
            "Split, but it does not win",
            "It is 10.0 % slower than device only (10.0 ms). Fastest measured: device only; regret 10.0 %",
        ),
        (
            two_plans(0.01, 0.008, chosen=0, best=1, split_wins=True),
            "Don't split, though a split was faster",
            "Fastest measured: after features.4, f16; regret 25.0 %",
        ),
        (
            two_plans(0.0101, 0.01, chosen=1, best=1, split_wins=True, spread=0.02),
            "Split",
            "It is as fast as device only (10.1 ms) within the repetition error",
        ),
    ],
)
def test_the_verdict_is_honest(document: Document, plans: Document, headline: str, details: str) -> None:
    document["sweep"]["links"][0] |= plans
    link = link_of(document)
    assert verdict.headline(link) == headline
    assert details in verdict.details(link).replace("\N{NO-BREAK SPACE}", " ")


def test_a_comparison_with_what_was_not_measured_says_so(document: Document) -> None:
    text = verdict.details(link_of(document, 0))
    assert "predicted, not measured" in text


def test_the_summary_counts_verdicts_errors_and_regret(document: Document) -> None:
    for link in document["sweep"]["links"]:
        link |= two_plans(0.01, 0.011, chosen=1, best=0, split_wins=False)
    document["sweep"]["links"][7] |= two_plans(0.02, 0.01, chosen=1, best=1, split_wins=True)
    document["pareto"] = []
    text = " ".join(verdict.summary(read(document))).replace("\N{NO-BREAK SPACE}", " ")
    assert "On 8 links the planner chose a split on 8; measured, a split is fastest on 1 of them." in text
    assert "over 16 measured plans: median error 0 %, worst 0 %" in text
    assert "median 10.0 %, worst 10.0 %" in text


# ---- Documents that are none.


def without(*path: str | int) -> Callable[[Document], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


def with_value(value: Any, *path: str | int) -> Callable[[Document], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


LINK = ("sweep", "links", 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value(2, "schema_version"), "document.schema_version is 2, expected 1"),
        (with_value(7, "sweep", "schema_version"), "document.sweep.schema_version is 7, expected 1"),
        (without("model"), "document.model is missing, expected an object"),
        (with_value([], "sweep"), "document.sweep is a list, expected an object"),
        (with_value([], "sweep", "links"), "document.sweep.links has none, expected at least one link"),
        (with_value([], *LINK, "rows"), "document.sweep.links[2].rows has none, expected at least one plan"),
        (without(*LINK, "rows", 0, "cut"), "document.sweep.links[2].rows[0].cut is missing, expected a string"),
        (with_value(99, *LINK, "chosen"), "document.sweep.links[2].chosen is 99, expected one of the 81 rows"),
        (with_value(0, "sweep", "links", 0, "best"), "document.sweep.links[0].best is row 0 without a measurement, expected one that was measured"),
        (with_value("slow", *LINK, "link", "rtt_s"), "document.sweep.links[2].link.rtt_s is the string 'slow', expected a finite number"),
        (with_value(float("nan"), *LINK, "regret"), "document.sweep.links[2].regret is nan, expected a finite number"),
        (with_value(0, *LINK, "link", "up_bytes_per_s"), "document.sweep.links[2].link.up_bytes_per_s is 0, expected a number above 0"),
        (with_value(True, "model", "layers"), "document.model.layers is True, expected an integer"),
        (with_value("no", "interrupted"), "document.interrupted is the string 'no', expected true or false"),
        (with_value(8, "pareto", 0, "link"), "document.pareto[0].link is 8, expected one of the 8 links"),
        (with_value(None, "codecs"), "document.codecs is null, expected a list"),
    ],
)  # fmt: skip
def test_a_bad_document_is_refused_in_one_sentence(
    document: Document, change: Callable[[Document], None], message: str
) -> None:
    change(document)
    with pytest.raises(ValueError) as error:
        report.render(document)
    assert str(error.value) == message


# ---- Files.


def test_save_writes_what_render_gives(document: Document, html: str, tmp_path: Path) -> None:
    report.save(document, tmp_path / "sweep.html")
    assert (tmp_path / "sweep.html").read_text(encoding="utf-8") == html
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.html"]


def test_when_the_file_can_not_be_written_the_old_one_stays_and_no_half_one(document: Document, tmp_path: Path) -> None:
    path = tmp_path / "sweep.html"
    path.write_text("old", encoding="utf-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError):
            report.save(document, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_a_file_stays_one(document: Document, html: str, tmp_path: Path) -> None:
    (tmp_path / "latest.html").symlink_to(tmp_path / "sweep.html")
    report.save(document, tmp_path / "latest.html")
    report.save(document, tmp_path / "latest.html")
    assert (tmp_path / "latest.html").is_symlink()
    assert (tmp_path / "sweep.html").read_text(encoding="utf-8") == html


@contextmanager
def reader_of(pipe: Path, copy: Path) -> Iterator[None]:
    """What is written to the pipe, until its writer closes it, is in `copy` at the end."""
    with copy.open("wb") as output, subprocess.Popen(["cat", pipe], stdout=output) as process:
        try:
            yield
            process.wait(timeout=60)
        finally:
            process.kill()


@pytest.mark.parametrize("save", [report.save, save_report])
def test_a_pipe_or_a_device_is_written_to_and_not_replaced(
    document: Document, html: str, tmp_path: Path, save: Callable[[Document, Path], None]
) -> None:
    pipe, copied = tmp_path / "pipe", tmp_path / "copy.html"
    os.mkfifo(pipe)
    with reader_of(pipe, copied):
        save(document, pipe)
    assert pipe.is_fifo()
    assert copied.read_text(encoding="utf-8") == html


def test_save_to_a_folder_that_is_not_there_is_an_os_error(document: Document, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        report.save(document, tmp_path / "nowhere" / "sweep.html")


def test_a_bad_document_leaves_no_file(document: Document, tmp_path: Path) -> None:
    document["schema_version"] = 2
    with pytest.raises(ValueError):
        report.save(document, tmp_path / "sweep.html")
    assert list(tmp_path.iterdir()) == []


def test_pngs_are_named_after_plot_and_link_and_have_twice_the_size(
    make_document: Callable[..., Document], tmp_path: Path
) -> None:
    document = make_document(links=2)
    document["model"]["name"] = "../../evil"
    paths = report.save_pngs(document, tmp_path / "pngs")
    assert sorted(path.name for path in paths) == [
        "fidelity.png",
        "latency-1-1-0-4-0-mbit-s-80-ms.png",
        "latency-2-4-0-16-mbit-s-50-ms.png",
        "links.png",
        "map.png",
        "pareto-1-1-0-4-0-mbit-s-80-ms.png",
        "pareto-2-4-0-16-mbit-s-50-ms.png",
        "prediction.png",
        "regret.png",
    ]
    for path in paths:
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(content[16:20], "big") == 2 * 760


# ---- Units.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.time_text(0), "0"),
        (units.time_text(3.1e-4), "310 µs"),
        (units.time_text(0.0123), "12.3 ms"),
        (units.time_text(1.317), "1.32 s"),
        (units.time_text(4321), "4321 s"),
        (units.time_text(-0.002), "−2.00 ms"),
        (units.size_text(0), "0 B"),
        (units.size_text(9456), "9.46 KB"),
        (units.size_text(602112), "602 KB"),
        (units.size_text(1.5e9), "1.50 GB"),
        (units.bandwidth_text(11975852), "12.0 Mbit/s"),
        (units.bandwidth_text(1e9), "1.00 Gbit/s"),
        (units.bandwidth_text(992653), "993 kbit/s"),
        (units.percent_text(0.00954), "1.0 %"),
        (units.percent_text(-0.0123), "−1.2 %"),
        (units.percent_text(-0.00001), "0 %"),
        (units.percent_text(1.5), "150 %"),
        (units.codec_text("transform:tables=b419;coarseness=-24"), "transform:coarseness=-24"),
        (units.codec_text("x" * 50), "x" * 39 + "…"),
        (units.short_cut("after features.3.conv"), "features.3.conv"),
        (units.short_cut("device only"), "device only"),
        (units.short_cut("after backbone.stages.12.blocks.attention.projection"), "b.s.12.b.attention.projection"),
        (units.short_cut("after " + "x" * 50), "x" * 14 + "…" + "x" * 15),
    ],
)
def test_units_and_names(text: str, expected: str) -> None:
    assert text.replace("\N{NO-BREAK SPACE}", " ") == expected
