# SPDX-License-Identifier: Apache-2.0
"""splitnet on a Ray cluster, for those who have one: a pipeline of actors, and workers behind Ray Serve.

    import ray, splitnet.ray

    ray.init()
    with splitnet.ray.Pipeline(part, cuts=["blocks.3"], replicas=[1, 2]) as pipeline:
        y = pipeline(x)

    ray.serve.run(splitnet.ray.deployment("classifier.pt"), route_prefix="/classifier")
    session = splitnet.Session(part, worker="http://127.0.0.1:8000/classifier", cut="blocks.3")

Ray is not a part of splitnet: `pip install 'splitnet[ray]'` installs it too, and nothing but this module imports it.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

if importlib.util.find_spec("ray") is None:
    raise ImportError("splitnet.ray needs Ray, and there is no ray here: run `pip install 'splitnet[ray]'`")

from splitnet.ray.pipeline import Pipeline as Pipeline, PipelineStats as PipelineStats
from splitnet.ray.stage_pool import StageStats as StageStats

if TYPE_CHECKING:
    from splitnet.ray.serving import deployment as deployment


def __getattr__(name: str) -> object:
    """Imports Ray Serve, which takes more than a second, when it is asked for: actors of a pipeline don't need it."""
    if name != "deployment":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from splitnet.ray.serving import deployment

    return deployment
