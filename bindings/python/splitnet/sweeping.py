# SPDX-License-Identifier: Apache-2.0
"""Measures plans instead of predicting them: every cut, on every link, beside what the cost model said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splitnet import _core
from splitnet.arguments import check_codec_profiles, check_endpoint, check_model, given
from splitnet.planning import planning_options


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C in a sweep; `sweep` has what was measured until then."""

    def __init__(self, sweep: _core.Sweep) -> None:
        super().__init__("the sweep was interrupted")
        self.sweep = sweep


def sweep(
    model: _core.Model,
    workers: str | Sequence[str],
    *,
    max_cuts: int | None = None,
    repetitions: int | None = None,
    max_plan_s: float | None = None,
    codecs: Sequence[_core.CodecProfile] = (),
    calibration: _core.Calibration | None = None,
    planning: _core.TwoTierOptions | None = None,
    threads: int | None = None,
    token: str = "",
    progress: Callable[[str, int, int], None] | None = None,
    registry: _core.TransportRegistry | None = None,
    options: _core.SweepOptions | None = None,
) -> _core.Sweep:
    """Runs every plan over every link, and says how right the predictions were.

    `workers` are endpoints, one for each link, of the same worker (`shaped://` gives links). What is given by keyword
    stands in place of what `options` has, and codecs beside those of its `planning`. `max_cuts` takes an even sample of
    so many cuts, and the best few by prediction; 0: every legal cut. Each plan is measured twice `repetitions` times.
    Plans predicted to take longer than `max_plan_s` are listed, not measured. `progress` is called with the link's
    endpoint, inferences measured and to measure, on a thread of the sweep.

    Ctrl-C raises SweepInterrupted, which has what was measured until then; a second one ends at once. Raises as `plan`.
    """
    endpoints = [workers] if isinstance(workers, str) else list(workers)
    check_model(model)
    check_codec_profiles(codecs)
    for endpoint in endpoints:
        check_endpoint(endpoint)
    settings = options or _core.SweepOptions()
    run = _core.SweepRun(
        model,
        settings.replace(
            workers=endpoints,
            planning=planning_options(planning or settings.planning, [*codecs, *sweepable(calibration)]),
            **given(
                max_cuts=max_cuts,
                repetitions=repetitions,
                max_plan_s=max_plan_s,
                threads=threads,
                connect=_core.ConnectOptions(token=token) if token else None,
                progress=progress,
                registry=registry,
            ),
        ),
    )
    try:
        return _result_of(run)
    except KeyboardInterrupt:
        run.stop()
        raise SweepInterrupted(_result_of(run)) from None
    except BaseException:
        run.stop()
        raise


def sweepable(calibration: _core.Calibration | None) -> list[_core.CodecProfile]:
    """Its codecs without those that ask again about close answers: one example can't tell how often."""
    return [] if calibration is None else [one for one in calibration.profiles() if one.refinement is None]


def _result_of(run: _core.SweepRun) -> _core.Sweep:
    """Waits in short steps, so that signals are handled."""
    while not run.wait(0.1):
        pass
    return run.result()
