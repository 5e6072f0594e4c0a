# SPDX-License-Identifier: Apache-2.0
"""The notebooks of examples/ run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "build" / "models" / "mobilenet_v2.pt"


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "examples" / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_notebook(notebook: Path) -> None:
    assert MODEL.exists(), f"{MODEL.relative_to(ROOT)} is not there: scripts/demo makes it"
    document = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    assert not any(cell.get("outputs") for cell in document.cells), "outputs are not kept in the tree"
    NotebookClient(document, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    tables = [
        output.data["text/html"]
        for cell in document.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(tables) >= 3, "layers, plan and sweep are shown as tables"
