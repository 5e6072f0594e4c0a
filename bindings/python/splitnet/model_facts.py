# SPDX-License-Identifier: Apache-2.0
"""A model in JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splitnet.partitioner import Partitioner


def model_facts(part: Partitioner) -> dict[str, Any]:
    """What every document says about the model. `inputs` is null where it has no example inputs."""
    import splitnet

    graph = part.layers
    return {
        "name": part.name,
        "fingerprint": part.fingerprint,
        "layers": len(graph.layers),
        "inputs": splitnet.inputs_of(graph) if part.example_inputs else None,
    }
