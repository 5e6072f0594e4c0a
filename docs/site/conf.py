# SPDX-License-Identifier: Apache-2.0
"""Sphinx: the Python reference, and the pages for newcomers. scripts/docs builds it with the package installed."""

import re

import splitnet

project = "splitnet"
copyright = "the developers of splitnet"
version = release = splitnet.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["Doxyfile"]
html_theme = "alabaster"
html_theme_options = {"description": "Runs one neural network in several places", "fixed_sidebar": True}
html_copy_source = False

autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": False}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
myst_heading_anchors = 3


def as_text(app, what, name, obj, options, lines) -> None:
    """Docstrings that come from C++ headers are plain text: indented lines are formulas, and no character is markup."""
    if not name.startswith("splitnet._core"):
        return
    result = []
    in_formula = False
    for line in lines:
        is_formula = line.startswith("  ")
        if is_formula and not in_formula:
            result += ["", "::", ""]
        elif in_formula and not is_formula:
            result.append("")
        in_formula = is_formula
        result.append(line if is_formula else re.sub(r"([*_|\\])", r"\\\1", line))
    lines[:] = result


def is_skipped(app, what, name, obj, skip, options) -> bool | None:
    return True if name.startswith("pybind11_detail") else None


def setup(app) -> None:
    app.connect("autodoc-process-docstring", as_text)
    app.connect("autodoc-skip-member", is_skipped)
