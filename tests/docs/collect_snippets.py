#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes one source file of the C++ that README and docs show, to be compiled: collect_snippets.py ROOT OUTPUT.cpp DEPENDENCIES.d.

Each block becomes a function. What blocks leave out stands in snippet_names.hpp.
Left out: what a file shows in its place already (the conformance suite of examples/custom_transport).
"""

import pathlib
import re
import sys

FENCE = re.compile(r"^```cpp\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def wrapped(code: str, name: str) -> str:
    code = re.sub(r"^#include.*\n", "", code, flags=re.MULTILINE)
    if "int main()" in code:
        return code.replace("int main()", f"void {name}()")  # Only `main` may end without a return.
    return f"void {name}() {{\n{code}}}"


def main() -> None:
    root, output, dependencies = map(pathlib.Path, sys.argv[1:])
    pages = [root / "README.md", *sorted(root.glob("docs/*.md"))]
    parts = ['#include "snippet_names.hpp"']
    for page in pages:
        for number, code in enumerate(FENCE.findall(page.read_text())):
            if "INSTANTIATE_TEST_SUITE_P" not in code:
                parts.append(f'// {page.relative_to(root)}\n{wrapped(code, f"{page.stem}_{number}")}')
    if len(parts) < 9:
        sys.exit(f"found C++ in {len(parts) - 1} places of README and docs, expected more")
    output.write_text("\n\n".join(parts) + "\n")
    dependencies.write_text(f"{output}: {' '.join(map(str, pages))}\n")


if __name__ == "__main__":
    main()
