#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the comments of the public headers as a table in C++: make_docs.py INCLUDE_FOLDER OUTPUT.cpp DEPENDENCIES.d.

What a class, a member or a function is for is said once, in its header; the Python package shows the same text. The
table's keys are `Class`, `Class::member` and `function`. Of functions of one name the first that is commented counts.
"""

import pathlib
import re
import sys

CODES = {
    "invalid_argument": "InvalidArgument",
    "unsupported_model": "UnsupportedModel",
    "incompatible": "Incompatible",
    "corrupt": "Corrupt",
    "too_large": "TooLarge",
    "unauthenticated": "Unauthenticated",
    "overloaded": "Overloaded",
    "unavailable": "Unavailable",
    "deadline_exceeded": "DeadlineExceeded",
    "internal": "Internal",
    "cancelled": "Cancelled",
}
SCOPE = re.compile(r"^\s*(?:struct|class|enum class)\s+(\w+)[^;]*\{\s*(\};)?\s*$")
FORWARD = re.compile(r"^\s*(?:struct|class|enum class)\s+(\w+);")
CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
FIELD = re.compile(r"^[^(]*?(\w+)\s*(?:=.*|\{.*\})?;\s*$")
ENUMERATOR = re.compile(r"^\s*(\w+)(?:\s*=\s*\d+)?,?\s*$")
RAISES = re.compile(r"\b(?:Throws|Errors)\b[^.]*(?:\.\w[^.]*)*")
CODE = re.compile(r"\b(" + "|".join(CODES) + r")\b(?!::)")


def in_python(text: str) -> str:
    """The comment in the words of Python: dots for ::, exception classes for codes."""
    text = RAISES.sub(lambda m: CODE.sub(lambda code: CODES[code[1]], m[0]), text)
    text = re.sub(r"\bThrows\b", "Raises", text)
    text = text.replace("std::", "")
    return re.sub(r"(?<=\w)::(?=\w)", ".", text)


def declared(line: str, is_enumeration: bool) -> str | None:
    """The name that a line of code declares."""
    code = line.split("///<")[0].rstrip()
    if is_enumeration:
        found = ENUMERATOR.match(code)
        return found[1] if found else None
    if re.search(r"\boperator\b", code):
        return None
    code = re.sub(r"std::function<[^;]*>", "function", code)
    found = FIELD.match(code) or CALL.search(code)
    return found[1] if found else None


class Reader:
    """Goes through one header line by line."""

    def __init__(self, docs: dict[str, str]) -> None:
        self.docs = docs
        self.scopes: list[tuple[str, bool]] = []
        self.comment: list[str] = []
        self.last: str | None = None

    def note(self, name: str, text: str) -> None:
        self.last = "::".join([scope for scope, _ in self.scopes] + [name])
        if text:
            self.docs.setdefault(self.last, text)

    def take_comment(self) -> str:
        text = "\n".join(self.comment).strip()
        self.comment = []
        return text

    def read(self, line: str) -> None:
        stripped = line.strip()
        if stripped.startswith("///<"):
            if self.last:
                self.docs[self.last] = (self.docs.get(self.last, "") + " " + stripped[4:].strip()).strip()
        elif stripped.startswith("///"):
            self.comment.append(stripped[3:].removeprefix(" "))
        elif scope := SCOPE.match(line):
            self.note(scope[1], self.take_comment())
            if not scope[2]:
                self.scopes.append((scope[1], "enum class" in line))
        elif stripped.startswith("};") and self.scopes:
            self.scopes.pop()
        elif not stripped or stripped.startswith("//") or FORWARD.match(line):
            self.comment = []
        else:
            self.read_code(line)

    def read_code(self, line: str) -> None:
        name = declared(line, bool(self.scopes) and self.scopes[-1][1])
        text = self.take_comment()
        if not name:
            # A declaration that goes on in the next line: its name may stand there.
            self.comment = text.splitlines()
            return
        self.note(name, text)
        if "///<" in line:
            trailing = line.split("///<", 1)[1].strip()
            self.docs[self.last or name] = " ".join(filter(None, [text, trailing]))


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def headers_in(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(header for header in folder.rglob("*.hpp") if "testing" not in header.parts)


def docs_of(folder: pathlib.Path) -> dict[str, str]:
    """The comments of all headers, by name."""
    docs: dict[str, str] = {}
    for header in headers_in(folder):
        reader = Reader(docs)
        for line in header.read_text().splitlines():
            if "\\file" not in line:
                reader.read(line)
    return docs


def main() -> None:
    folder, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    docs = docs_of(folder)
    rows = "\n".join(f'    {{"{key}", "{escaped(in_python(text))}"}},' for key, text in sorted(docs.items()))
    output.write_text(
        "// Written by make_docs.py.\n"
        '#include "docs.hpp"\n\n'
        "namespace splitnet::python {\n\n"
        "const std::map<std::string_view, const char*>& header_docs() {\n"
        "  static const std::map<std::string_view, const char*> docs = {\n"
        f"{rows}\n"
        "  };\n"
        "  return docs;\n"
        "}\n\n"
        "}  // namespace splitnet::python\n"
    )
    pathlib.Path(sys.argv[3]).write_text(f"{output}: {' '.join(map(str, headers_in(folder)))}\n")


if __name__ == "__main__":
    main()
