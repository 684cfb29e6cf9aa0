"""Rule about the size of what is partitioned, for every profile: UG1399, "pragma HLS array_partition"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clang.cindex import Cursor, CursorKind, Type, TypeKind

from .loops import code
from .source import Finding, Pragma, Unit, texts

LIMIT = 1024
"""Elements that older tools partition completely at most; newer ones only take long."""


def threshold(unit: Unit, configurations: Mapping[str, str]) -> Iterator[Finding]:
    """No array is partitioned into more elements than the tools take, in any of the configurations.

    [XFORM 203-103] "partitioned elements number (N) has exceeded the threshold (1024)". A declaration is compiled again
    with the numbers of each configuration, so that clang says its sizes.

    Args:
        unit: the sources.
        configurations: text of ``config.h`` by name.
    """
    wanted = [
        (function, variable, pragma)
        for function in unit.functions
        for pragma in unit.all_pragmas(function)
        if pragma.name == "array_partition" and "complete" in pragma.options
        for variable in _declarations(function, pragma.option("variable").split(".")[0])
    ]
    text = ['#include "kernel.h"', '#include "layer.h"', "namespace sliceflow {"]
    for index, config in enumerate(configurations.values()):
        found = re.search(r"struct Config \{.*?\n\};", config, re.DOTALL)
        assert found is not None
        text.append(found[0].replace("struct Config", f"struct Config_{index}"))
    for number, (function, variable, _) in enumerate(wanted):
        for index in range(len(configurations)):
            before = [" ".join(texts(cursor)) for cursor in _constants(function)]
            declared = _declared(variable)
            body = "; ".join([f"typedef Config_{index} C", *before, declared, ""])
            text.append(f"namespace probe_{number}_{index} {{ {body} }}")
    probe = Unit({**unit.sources, "probe.cpp": "\n".join([*text, "}"])}, "probe.cpp")
    types = probe.variables("probe_")
    for number, (_, variable, pragma) in enumerate(wanted):
        for index, name in enumerate(configurations):
            found_type = types.get((f"probe_{number}_{index}", variable.spelling))
            size = _elements(found_type, pragma) if found_type is not None else 0
            if size > LIMIT:
                yield Finding(unit.path(variable), pragma.line, "partitions.threshold", f"{size} elements for {name}")
                break


def _declarations(function: Cursor, name: str) -> Iterator[Cursor]:
    for cursor in code(function):
        if cursor.kind == CursorKind.VAR_DECL and cursor.spelling == name:
            yield cursor


def _declared(variable: Cursor) -> str:
    """Type, name and sizes. What a macro makes of ``(TYPE, NAME)`` comes as its arguments."""
    tokens = texts(variable)
    if tokens[-2:] == [",", variable.spelling]:
        del tokens[-2]
    return " ".join(tokens).split("=")[0]


def _constants(function: Cursor) -> Iterator[Cursor]:
    """Local constants and types, which a declaration may need."""
    for cursor in code(function):
        if cursor.kind == CursorKind.TYPEDEF_DECL or (
            cursor.kind == CursorKind.VAR_DECL and "constexpr" in texts(cursor)
        ):
            yield cursor


def _elements(declared: Type, pragma: Pragma) -> int:
    """Elements that a pragma makes of a variable."""
    kind = declared.get_canonical()
    for name in pragma.option("variable").split(".")[1:]:
        fields = {field.spelling: field.type for field in kind.get_fields()}
        kind = fields[name].get_canonical()
    sizes = []
    while kind.kind == TypeKind.CONSTANTARRAY:
        sizes.append(kind.get_array_size())
        kind = kind.get_array_element_type().get_canonical()
    dim = int(pragma.option("dim") or 1)
    product = 1
    for size in sizes:
        product *= size
    return product if dim == 0 else sizes[dim - 1] if dim <= len(sizes) else 0
