"""The sources as rules see them: clang's syntax tree, and the HLS pragmas, which clang does not keep."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property
from pathlib import Path

from clang.cindex import Cursor, CursorKind, Diagnostic, Index, TranslationUnit, Type

INCLUDE = Path(__file__).resolve().parent / "include"
_ROOT = "/sources"
FUNCTIONS = (CursorKind.FUNCTION_DECL, CursorKind.FUNCTION_TEMPLATE, CursorKind.CXX_METHOD)
LOOPS = (CursorKind.FOR_STMT, CursorKind.WHILE_STMT, CursorKind.DO_STMT)
_CONSTANT = re.compile(r"\d[\w']*|[A-Z][A-Z0-9_]*|[-+*/%()<>,]|::|C|int")
_PRAGMA = re.compile(r"^\s*#pragma\s+HLS\s+(.*?)\s*(?://.*)?$")


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """What a rule refuses."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


class SourceError(ValueError):
    """Clang does not accept the sources."""


@dataclasses.dataclass(frozen=True)
class Pragma:
    """A line ``#pragma HLS NAME OPTIONS``."""

    line: int
    name: str
    options: str

    def option(self, name: str) -> str:
        """Value of ``name = value``; empty if it is not there."""
        found = re.search(rf"\b{name}\s*=\s*([\w.\[\]]+)", self.options)
        return found[1] if found else ""


class Unit:
    """Sources that belong together, parsed from one of them."""

    def __init__(self, sources: Mapping[str, str], main: str) -> None:
        """Parse.

        Args:
            sources: text by path relative to their folder.
            main: path of the file that includes the others.

        Raises:
            SourceError: clang reports an error.
        """
        self.sources = dict(sources)
        files = [(f"{_ROOT}/{path}", text) for path, text in sources.items()]
        flags = ["-x", "c++", "-std=c++14", "-nostdinc", "-nostdinc++", "-D__SYNTHESIS__", f"-I{INCLUDE}", f"-I{_ROOT}"]
        self._unit: TranslationUnit = Index.create().parse(f"{_ROOT}/{main}", flags, files)
        errors = [message for message in self._unit.diagnostics if message.severity >= Diagnostic.Error]
        if errors:
            path, line = str(errors[0].location.file).removeprefix(f"{_ROOT}/"), errors[0].location.line
            shown = sources.get(path, "").splitlines()[line - 1 : line]
            raise SourceError(f"clang refuses the sources: {errors[0]}\n" + "\n".join(shown))

    def path(self, cursor: Cursor) -> str:
        """Path of the file that holds a cursor, relative; empty if it is none of the sources."""
        file = cursor.location.file
        name = file.name.removeprefix(f"{_ROOT}/") if file else ""
        return name if name in self.sources else ""

    def finding(self, cursor: Cursor, rule: str, text: str) -> Finding:
        """A finding at a cursor."""
        return Finding(self.path(cursor), cursor.location.line, rule, text)

    @cached_property
    def functions(self) -> list[Cursor]:
        """Definitions in the sources."""
        return [
            cursor
            for cursor in self._unit.cursor.walk_preorder()
            if cursor.kind in FUNCTIONS and cursor.is_definition() and self.path(cursor)
        ]

    @cached_property
    def records(self) -> list[Cursor]:
        """Definitions of structs and classes in the sources."""
        kinds = (
            CursorKind.STRUCT_DECL,
            CursorKind.CLASS_DECL,
            CursorKind.CLASS_TEMPLATE,
            CursorKind.CLASS_TEMPLATE_PARTIAL_SPECIALIZATION,
        )
        return [
            cursor
            for cursor in self._unit.cursor.walk_preorder()
            if cursor.kind in kinds and cursor.is_definition() and self.path(cursor)
        ]

    def variables(self, namespaces: str) -> dict[tuple[str, str], Type]:
        """Types of the variables in namespaces whose names begin so, by namespace and name."""
        return {
            (str(cursor.semantic_parent.spelling), str(cursor.spelling)): cursor.type
            for cursor in self._unit.cursor.walk_preorder()
            if cursor.kind == CursorKind.VAR_DECL and str(cursor.semantic_parent.spelling).startswith(namespaces)
        }

    @cached_property
    def _pragmas(self) -> dict[str, list[Pragma]]:
        found: dict[str, list[Pragma]] = {}
        for path, text in self.sources.items():
            for number, line in enumerate(text.splitlines(), 1):
                if match := _PRAGMA.match(line):
                    name, _, options = match[1].partition(" ")
                    found.setdefault(path, []).append(Pragma(number, name.lower(), options))
        return found

    def pragmas(self, cursor: Cursor) -> list[Pragma]:
        """Pragmas of a function or loop itself, not of the loops inside it."""
        inner = [child.extent for child in cursor.walk_preorder() if child.kind in LOOPS and child != cursor]
        return [
            pragma
            for pragma in self._pragmas.get(self.path(cursor), [])
            if cursor.extent.start.line <= pragma.line <= cursor.extent.end.line
            and not any(extent.start.line < pragma.line <= extent.end.line for extent in inner)
        ]

    def all_pragmas(self, cursor: Cursor) -> list[Pragma]:
        """Pragmas anywhere inside."""
        first, last = cursor.extent.start.line, cursor.extent.end.line
        return [pragma for pragma in self._pragmas.get(self.path(cursor), []) if first <= pragma.line <= last]

    def has(self, cursor: Cursor, name: str) -> bool:
        """Whether a function or loop has a pragma."""
        return any(pragma.name == name for pragma in self.pragmas(cursor))


def body(function: Cursor) -> Cursor | None:
    """The statements of a function."""
    return next((child for child in function.get_children() if child.kind == CursorKind.COMPOUND_STMT), None)


def loops(cursor: Cursor) -> Iterator[tuple[Cursor, tuple[Cursor, ...]]]:
    """Loops inside, each with the loops around it, the outermost first."""

    def visit(at: Cursor, around: tuple[Cursor, ...]) -> Iterator[tuple[Cursor, tuple[Cursor, ...]]]:
        for child in at.get_children():
            inside = around
            if child.kind in LOOPS:
                yield child, around
                inside = (*around, child)
            yield from visit(child, inside)

    return visit(cursor, ())


def unrolled_counters(unit: Unit, function: Cursor) -> set[str]:
    """Names that are numbers once the loops are unrolled: the counters of unrolled loops."""
    found = set()
    for loop, _ in loops(function):
        first = next(iter(loop.get_children()), None)
        if unit.has(loop, "unroll") and first is not None and first.kind == CursorKind.DECL_STMT:
            found |= {cursor.spelling for cursor in first.get_children() if cursor.kind == CursorKind.VAR_DECL}
    return found


def is_number(tokens: Sequence[str], names: Set[str]) -> bool:
    """Whether an expression is made of numbers, constants, template parameters and ``names`` only."""
    return bool(tokens) and all(_CONSTANT.fullmatch(token) or token in names for token in tokens)


def texts(cursor: Cursor) -> list[str]:
    """Tokens."""
    return [token.spelling for token in cursor.get_tokens()]


def bound(loop: Cursor) -> list[str]:
    """Tokens of a loop's condition."""
    tokens, depth, parts = texts(loop), 0, [[]]  # type: ignore[var-annotated]
    for token in tokens[1:]:
        depth += (token in "([{") - (token in ")]}")
        if depth == 0:
            break
        if token == ";" and depth == 1:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts[1] if len(parts) == 3 else parts[0][1:]
