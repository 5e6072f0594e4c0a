# SPDX-License-Identifier: Apache-2.0
"""Runs one neural network in several places.

    import splitnet

    part = splitnet.Partitioner("classifier.pt", example_inputs=[x])
    plan = splitnet.plan(part, worker="tcp://127.0.0.1:7070")
    print(plan.explain())
    with splitnet.Session(part, plan) as session:
        y = session(x)
"""

from splitnet import _torch_version

_torch_version.check()

from splitnet._build_info import VERSION as __version__  # noqa: E402
from splitnet._core import *  # noqa: E402, F403
from splitnet.errors import *  # noqa: E402, F403
