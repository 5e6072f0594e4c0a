# SPDX-License-Identifier: Apache-2.0
"""What codecs do to the answers, from calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt

from splitnet.names import ANY_CUT

from . import theme, units
from .document import CodecEffect
from .plot import Choice, Plot, data, log_axis, specification

EVERY_CUT = "every cut"

_CHANGED = "answers that change (%, square root)"
# So many settings of one codec on one cut are joined by a line.
_FEWEST_ON_A_CURVE = 3


def fidelity(codecs: Sequence[CodecEffect]) -> Plot:
    """How many answers change against how much smaller the boundary is."""
    families = [name for name, _ in Counter(map(_family, codecs)).most_common()]
    base = (
        alt.Chart(data(_values(codecs)))
        .transform_filter(f"cut == cuts_all || datum.cut == cut || datum.cut == '{ANY_CUT}'")
        .encode(x=_smaller(codecs), color=_family_color(families))
    )
    chart = alt.layer(_intervals(base), _curves(base), _dots(base)).add_params(
        alt.param(name="cuts_all", value=EVERY_CUT), alt.param(name="cut", value=EVERY_CUT)
    )
    description = (
        f"Share of answers that change against how many times smaller the boundary is, for {len(codecs)} codecs and "
        f"cuts; families: {', '.join(families)}."
    )
    cuts = list(dict.fromkeys(codec.cut for codec in codecs if codec.cut != ANY_CUT))
    return Plot(
        name="fidelity",
        title="Rate and fidelity of the codecs",
        caption="Towards the right and the bottom is better. Vertical lines: intervals of 95 %. A line joins the "
        "settings of one codec on one cut.",
        description=description,
        spec=specification(chart, description, height=340),
        choices=[Choice("cut", "Cut", [EVERY_CUT, *cuts])] if len(cuts) > 1 else [],
    )


# ---- Which values.


def _family(codec: CodecEffect) -> str:
    return codec.name.partition(":")[0]


def _values(codecs: Sequence[CodecEffect]) -> list[dict[str, Any]]:
    settings = Counter((codec.cut, _family(codec)) for codec in codecs)
    return [_value(codec, settings[codec.cut, _family(codec)] >= _FEWEST_ON_A_CURVE) for codec in codecs]


def _value(codec: CodecEffect, on_a_curve: bool) -> dict[str, Any]:
    return {
        "family": _family(codec),
        "codec": codec.name,
        "cut": codec.cut,
        "curve": on_a_curve,
        "smaller": 1 / codec.ratio,
        "changed": 100 * max(0.0, 1 - codec.agreement),
        "low": 100 * max(0.0, 1 - codec.agreement_high),
        "high": 100 * max(0.0, 1 - codec.agreement_low),
        "loss": units.percent_text(codec.accuracy_loss),
        "divergence": "" if codec.divergence_nat is None else units.significant(codec.divergence_nat),
    }


# ---- The layers of the plot and its axes.


def _smaller(codecs: Sequence[CodecEffect]) -> alt.X:
    times = [1 / codec.ratio for codec in codecs]
    scale, axis = log_axis(min(times), max(times))
    return alt.X("smaller:Q", title="boundary bytes: times smaller than raw (logarithmic)", scale=scale, axis=axis)


def _changed() -> alt.Y:
    return alt.Y("changed:Q", title=_CHANGED, scale=alt.Scale(type="sqrt"))


def _family_color(families: Sequence[str]) -> alt.Color:
    colors = [theme.SERIES[index % len(theme.SERIES)] for index in range(len(families))]
    scale = alt.Scale(domain=list(families), range=colors)
    return alt.Color("family:N", scale=scale, legend=alt.Legend(title=None))


def _intervals(base: alt.Chart) -> alt.Chart:
    rules = base.mark_rule(strokeWidth=1, opacity=0.5)
    chart: alt.Chart = rules.encode(y=alt.Y("low:Q", title=_CHANGED), y2="high:Q")
    return chart


def _curves(base: alt.Chart) -> alt.Chart:
    lines = base.transform_filter("datum.curve").mark_line(strokeWidth=1.5)
    chart: alt.Chart = lines.encode(y=_changed(), detail="cut:N")
    return chart


def _dots(base: alt.Chart) -> alt.Chart:
    chart: alt.Chart = base.mark_point(size=70, filled=True, opacity=1).encode(
        y=_changed(),
        tooltip=[
            "codec:N",
            "cut:N",
            alt.Tooltip("smaller:Q", title="times smaller", format=".3~f"),
            alt.Tooltip("changed:Q", title="answers that change (%)", format=".3~f"),
            alt.Tooltip("loss:N", title="accuracy loss"),
            alt.Tooltip("divergence:N", title="divergence (nat)"),
        ],
    )
    return chart
