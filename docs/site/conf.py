# SPDX-License-Identifier: Apache-2.0
"""Sphinx: the Python reference, and the pages for newcomers. scripts/docs builds it with the package installed."""

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
