# SPDX-License-Identifier: Apache-2.0
"""One stage of a model in a process of Ray's."""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

from ray.util.metrics import Histogram

from splitnet import _core
from splitnet.ray.memory import keep_memory_of_passes
from splitnet.ray.values import Packed, pack, unpack


class StageActor:
    """Runs the stage of a file that `Stage.save` wrote. Has the parameters of this stage alone.

    Ray reports `splitnet_stage_seconds`, how long the passes took, by pipeline and stage.
    """

    def __init__(self, file: bytes, threads: int, pipeline: str) -> None:
        # Inputs lie in the object store, where nobody may write. No stage does: it copies what it changes.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        keep_memory_of_passes()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stage"
            path.write_bytes(file)
            self._stage = _core.load_stage(str(path), _core.StageOptions(threads=threads))
        self._info = self._stage.info
        self._name = f"{pipeline}, stage {self._info.index + 1} of {self._info.stage_count}"
        self._seconds = Histogram(
            "splitnet_stage_seconds",
            "How long passes of a stage took",
            boundaries=[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
            tag_keys=("pipeline", "stage"),
        )
        self._seconds.set_default_tags({"pipeline": pipeline, "stage": str(self._info.index)})

    def ready(self) -> str:
        """The fingerprint of the model: the stage is loaded."""
        return self._info.fingerprint

    def run(self, inputs: Packed) -> tuple[Packed, Packed]:
        """One pass: the boundary behind the stage, and the results that it knows. Raises as Stage.run."""
        begun_s = time.perf_counter()
        outputs = self._stage.run(unpack(inputs, copy=False))
        self._seconds.observe(time.perf_counter() - begun_s)
        count = self._info.boundary_count
        return pack(outputs[:count]), pack(outputs[count:])

    def __repr__(self) -> str:
        """What stands before its lines in Ray's logs."""
        return self._name
