# SPDX-License-Identifier: Apache-2.0
"""Says in a sentence that the torch which is there is another one than the library was built with.

The library is linked to torch's own libraries; with others the import would end in a symbol that is not found.
"""

from __future__ import annotations

from splitnet import _build_info


def check() -> None:
    """Imports torch. Raises ImportError: there is none, or it is another version."""
    built = _build_info.TORCH_VERSION
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ImportError(
            f"splitnet needs torch {built}, and there is no torch here: run `pip install torch=={built}`"
        ) from error
    found = str(torch.__version__)
    if found.split("+")[0] != built:
        raise ImportError(
            f"this splitnet was built for torch {built}, and found torch {found} in {_folder_of(torch.__file__)}: "
            f"run `pip install torch=={built}`, or build splitnet anew with "
            "`pip install --no-build-isolation` and the torch that is there"
        )


def _folder_of(file: str | None) -> str:
    return "an unknown place" if file is None else file.rpartition("/")[0]
