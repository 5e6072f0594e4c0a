#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the type stub of splitnet._core from the module that is installed: make_stubs.py [--check].

pybind11-stubgen does the work; what it can't know is put right here. The stub has signatures only: docstrings are in
the module, and come from the headers. --check compares, and fails when the stub in the package is another one.
"""

import ast
import pathlib
import subprocess
import sys
import tempfile

STUB = pathlib.Path(__file__).parent / "splitnet" / "_core.pyi"
HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Written by make_stubs.py.\n"
# What converts to a Cut where one is expected.
CUT_LIKE = "CutLike: typing.TypeAlias = Cut | str | int | list[int]"
NUMBERS = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
}
NOT_SHOWN = {"__new__", "__reduce__", "_repr_html_"}  # The last is put there by the package.


class Signatures(ast.NodeTransformer):
    """Numbers are int and float, parameters take what converts, containers say what of."""

    def __init__(self) -> None:
        self.classes: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.classes.append(node.name)
        if any(ast.unparse(base) == "enum.Enum" for base in node.bases):
            node.body = [as_member(one) for one in node.body]
        node.body = [one for one in node.body if not is_left_out(one)] or [ast.Expr(ast.Constant(...))]
        self.generic_visit(node)
        self.classes.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if ast.get_docstring(node) is not None:
            node.body = [ast.Expr(ast.Constant(...))]
        if node.name == "replace" and node.args.kwarg:
            node.args.kwarg = ast.arg("changes", annotation("typing.Any"))
            node.returns = annotation(self.classes[-1])
        if node.args.vararg:
            node.args.vararg = ast.arg("args", annotation("typing.Any"))
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            if argument.annotation:
                argument.annotation = WithCuts().visit(argument.annotation)
        self.generic_visit(node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        text = ast.unparse(node)
        for spelled, number in NUMBERS.items():
            text = text.replace(spelled, number)
        return annotation(text)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.slice = self.visit(node.slice)  # What stands before the brackets is not bare.
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        is_bare = ast.unparse(node) == "collections.abc.Callable"
        return annotation("collections.abc.Callable[..., typing.Any]") if is_bare else node


class WithCuts(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("CutLike") if node.id == "Cut" else node


def is_left_out(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name in NOT_SHOWN
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "__hash__"


def as_member(node: ast.stmt) -> ast.stmt:
    """`name: ClassVar[…]` of an enumeration is a member: `name = …`."""
    if not isinstance(node, ast.AnnAssign):
        return node
    return ast.Assign([node.target], ast.Constant(...))


def annotation(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def corrected(raw: str) -> str:
    tree = Signatures().visit(ast.parse(raw))
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    after_imports = next(i for i, node in enumerate(tree.body) if isinstance(node, ast.ClassDef))
    tree.body.insert(after_imports, ast.parse(CUT_LIKE).body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def generated() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "splitnet._core", "-o", folder, "--ignore-all-errors"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        raw = (pathlib.Path(folder) / "splitnet" / "_core.pyi").read_text()
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", "120", "--stdin-filename", "_core.pyi", "-"],
        input=HEAD + corrected(raw) + "\n", check=True, capture_output=True, text=True,
    )  # fmt: skip
    return formatted.stdout


def main() -> int:
    wanted = generated()
    if sys.argv[1:] == ["--check"]:
        if STUB.read_text() == wanted:
            return 0
        print(f"{STUB.name} is out of date: run make_stubs.py with the package as it is now", file=sys.stderr)
        return 1
    STUB.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
