# SPDX-License-Identifier: Apache-2.0
"""What scripts/demo says of the examples."""

from __future__ import annotations

import re
import subprocess

from common.package_files import ROOT


def said(argument: str) -> tuple[int, str, list[tuple[str, str]]]:
    """Exit status, what is said on standard error, and the names with their words, wherever they are listed."""
    told = subprocess.run([ROOT / "scripts/demo", argument], capture_output=True, text=True)
    listed = re.findall(r"^  ([a-z]+) +([A-Z].*\S)$", told.stdout + told.stderr, re.MULTILINE)
    return told.returncode, told.stderr, listed


def test_names_are_listed_as_it_takes_them() -> None:
    status, complaint, listed = said("--help")
    folders = [run.parent.name for run in ROOT.glob("examples/*/run")]
    assert (status, complaint) == (0, "")
    assert [name for name, _ in listed] == sorted(folder.partition("_")[0] for folder in folders)
    assert dict(listed)["elastic"].startswith("Many pictures in, labels out")
    for name, words in listed:
        assert words.endswith("."), f"{name}: a sentence that ends on its line"
    status, complaint, expected = said("nonsense")
    assert status == 1 and complaint.startswith("demo: there is no example 'nonsense', expected one of\n")
    assert expected == listed
