# SPDX-License-Identifier: Apache-2.0
"""The page: words, tables and plots in one file that needs nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import vl_convert
from markupsafe import Markup

from . import fidelity_plot, latency_plot, map_plot, pareto_plot, sweep_plots, theme, units, verdict
from .document import Link, Report
from .plot import Plot

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class LinkPlots:
    """A link with the plots that are about it alone."""

    link: Link
    latency: Plot
    pareto: Plot | None


@dataclass(frozen=True)
class Plots:
    """All plots of a report, in the page's order."""

    links: Plot
    regret: Plot
    prediction: Plot
    by_link: Sequence[LinkPlots]
    plan_map: Plot | None
    fidelity: Plot | None

    def by_key(self) -> dict[str, Plot]:
        """Under the id that each has in the page: its name, and the number of its link from 0."""
        overall = (self.links, self.regret, self.prediction, self.plan_map, self.fidelity)
        found = {plot.name: plot for plot in overall if plot}
        for one in self.by_link:
            found |= {f"{plot.name}-{one.link.index}": plot for plot in (one.latency, one.pareto) if plot}
        return found


def plots(report: Report) -> Plots:
    return Plots(
        links=sweep_plots.glance(report),
        regret=sweep_plots.regret(report),
        prediction=sweep_plots.prediction(report),
        by_link=[_plots_of(report, link) for link in report.links],
        plan_map=map_plot.plan_map(report.plan_map) if report.plan_map else None,
        fidelity=fidelity_plot.fidelity(report.codecs) if report.codecs else None,
    )


def html(report: Report) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "time": units.time_text,
        "size": units.size_text,
        "bandwidth": units.bandwidth_text,
        "percent": units.percent_text,
        "number": units.significant,
        "plain": lambda value: f"{value:.6g}",
        "short_cut": units.short_cut,
        "codec": lambda name: _breakable(units.codec_text(name)),
        "breakable": _breakable,
    }
    drawn = plots(report)
    scripts = [_library(), (_FOLDER / "report.js").read_text(encoding="utf-8")]
    return environment.get_template("template.html.j2").render(
        report=report,
        plots=drawn,
        front={one.link.index: [p for p in report.front if p.link == one.link.index] for one in drawn.by_link},
        plots_json=_json_for_script(
            {
                "specifications": {key: plot.spec for key, plot in drawn.by_key().items()},
                "configurations": {"wide": theme.CONFIG, "narrow": theme.NARROW_CONFIG},
            }
        ),
        scripts=[Markup(script) for script in scripts],
        script_sources=" ".join(_source_of(script) for script in scripts),
        theme=theme,
        verdict=verdict,
    )


def vega_lite_version() -> str:
    """As "6.4": that of the specifications."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def _plots_of(report: Report, link: Link) -> LinkPlots:
    points = [point for point in report.front if point.link == link.index]
    return LinkPlots(link, latency_plot.latency(link), pareto_plot.pareto(link, points) if points else None)


def _breakable(codec: str) -> Markup:
    """In tables lines may end between the options."""
    return Markup("<wbr>").join(re.split("(?<=[:;])", codec))


@functools.cache
def _library() -> str:
    """Vega-Embed with Vega-Lite and Vega as one script."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=vega_lite_version())
    if "</script" in script or "<!--" in script:
        raise RuntimeError("the plots' library can't stand in a page: it has a tag of HTML in it")
    return script


def _json_for_script(value: Mapping[str, Any]) -> Markup:
    """JSON that no text in it can end: what HTML reads as markup is escaped as JSON does."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _source_of(script: str) -> str:
    """What the page's content security policy calls this script; no other may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
