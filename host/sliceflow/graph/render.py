"""The C++ and SystemVerilog views of the layer descriptor and of its rules, rendered from their one definition.

``python -m sliceflow.graph.render`` writes all files in a checkout of the repository; ``--check`` compares them and
fails if one is stale. The rendered files are checked in, so a kernel builds without Python.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import logging
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sliceflow.errors import SliceflowError, UserError
from sliceflow.graph import render_rules
from sliceflow.graph.descriptor import BYTES, VERSION, WORDS, AddMode, Descriptor, Op, PoolMode, TableMode

_log = logging.getLogger(__name__)

_ENUMS: tuple[tuple[str, str, type[enum.IntEnum]], ...] = (
    ("op", "OP", Op),
    ("table_mode", "TABLE", TableMode),
    ("add_mode", "ADD", AddMode),
    ("pool_mode", "POOL", PoolMode),
)
"""Field, prefix of the rendered constants, definition."""
_NOTICE = "Rendered from host/sliceflow/graph/descriptor.py by `python -m sliceflow.graph.render`; do not edit."
_CPP_TYPES = {"u32": "uint32_t", "i32": "int32_t", "value": "uint32_t"}
_SV_TYPES = {"u32": "logic [31:0]", "i32": "logic signed [31:0]", "value": "logic [31:0]"}


def _fields() -> list[tuple[int, str, str, str]]:
    """Word index, name, kind and documentation of every field."""
    return [
        (index, field.name, field.metadata["kind"], field.metadata["doc"])
        for index, field in enumerate(dataclasses.fields(Descriptor), start=1)
    ]


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _snake(name: str) -> str:
    """Class name of an enum as snake case: ``TableMode`` -> ``table_mode``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _cpp_enum(field: str, prefix: str, definition: type[enum.IntEnum]) -> list[str]:
    members = [f"  {prefix}_{member.name} = {member.value}," for member in definition]
    return [f"// Values of LayerDescriptor::{field}.", f"enum {_camel(field)} : uint32_t {{", *members, "};", ""]


def _cpp_functions() -> list[str]:
    lines = [
        "// A [value] field of an integer profile.",
        "inline int32_t value_as_int(uint32_t bits) { return static_cast<int32_t>(bits); }",
        "",
        "// A [value] field of a float profile. A union, because HLS tools map it to wires.",
        "inline float value_as_float(uint32_t bits) {",
        "  union {",
        "    uint32_t bits;",
        "    float value;",
        "  } view;",
        "  view.bits = bits;",
        "  return view.value;",
        "}",
        "",
        "// Reads the words of one descriptor, in memory order. The caller checks the version.",
        "inline LayerDescriptor decode_descriptor(const uint32_t words[DESCRIPTOR_WORDS]) {",
        "  LayerDescriptor layer;",
        "  layer.version = words[0];",
    ]
    for index, name, kind, _ in _fields():
        source = f"static_cast<int32_t>(words[{index}])" if kind == "i32" else f"words[{index}]"
        lines.append(f"  layer.{name} = {source};")
    return [*lines, "  return layer;", "}"]


def render_cpp() -> str:
    """The C++ header: constants, enumerations, ``struct LayerDescriptor`` and ``decode_descriptor``."""
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {_NOTICE}",
        "// A layer descriptor as the kernel sees it. docs/program.md says what each field does.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        "namespace sliceflow {",
        "",
        "// Word 0 of a descriptor: a magic number in the upper half, the version of the layout in the lower.",
        f"constexpr uint32_t DESCRIPTOR_VERSION = 0x{VERSION:08X}u;",
        f"constexpr int DESCRIPTOR_WORDS = {WORDS};",
        f"constexpr int DESCRIPTOR_BYTES = {BYTES};",
        "",
    ]
    for field, prefix, definition in _ENUMS:
        lines += _cpp_enum(field, prefix, definition)
    lines += [
        "// One layer. A word is CPI activations of one pixel, a beat is 64 bytes. A field marked [value] holds the",
        "// bits of an int32 (integer profiles) or of a float32 (float profiles): see value_as_int and value_as_float.",
        "struct LayerDescriptor {",
        "  uint32_t version;  // DESCRIPTOR_VERSION",
    ]
    for _, name, kind, doc in _fields():
        mark = "[value] " if kind == "value" else ""
        lines.append(f"  {_CPP_TYPES[kind]} {name};  // {mark}{doc}")
    return "\n".join([*lines, "};", "", *_cpp_functions(), "", "}  // namespace sliceflow", ""])


def render_systemverilog() -> str:
    """The SystemVerilog package: word indices, enumerations and a packed structure of a whole descriptor."""
    fields = _fields()
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {_NOTICE}",
        "// A layer descriptor as the kernel sees it. docs/program.md says what each field does.",
        "// verilator lint_off UNUSEDPARAM",
        "package descriptor_pkg;",
        "",
        f"  localparam logic [31:0] DESCRIPTOR_VERSION = 32'h{VERSION:08X};",
        f"  localparam int unsigned DESCRIPTOR_WORDS = {WORDS};",
        f"  localparam int unsigned DESCRIPTOR_BYTES = {BYTES};",
        "",
        "  // Index of each field's 32-bit word.",
        "  localparam int unsigned WORD_VERSION = 0;",
    ]
    lines += [f"  localparam int unsigned WORD_{name.upper()} = {index};  // {doc}" for index, name, _, doc in fields]
    for _, prefix, definition in _ENUMS:
        members = [f"{prefix}_{member.name} = 32'd{member.value}" for member in definition]
        body = ",\n".join(f"    {member}" for member in members)
        lines += ["", "  typedef enum logic [31:0] {", body, f"  }} {_snake(definition.__name__)}_t;"]
    lines += [
        "",
        "  // The words of a descriptor, word 0 in the lowest bits (a packed structure ends with its lowest bits).",
        "  typedef struct packed {",
        f"    logic [{32 * (WORDS - 1 - len(fields)) - 1}:0] reserved;",
    ]
    lines += [f"    {_SV_TYPES[kind]} {name};" for _, name, kind, _ in reversed(fields)]
    lines += [
        "    logic [31:0] version;",
        "  } layer_descriptor_t;",
        "",
        "endpackage",
        "// verilator lint_on UNUSEDPARAM",
        "",
    ]
    return "\n".join(lines)


def rendered_files() -> dict[str, str]:
    """Path in the repository -> text of every rendered file."""
    return {
        "docs/rules.md": render_rules.render_markdown(),
        "hls/cpp/descriptor.h": render_cpp(),
        "hls/cpp/rules.h": render_rules.render_cpp(),
        "hls/rtl/descriptor_pkg.sv": render_systemverilog(),
        "hls/rtl/layer_rules.sv": render_rules.render_systemverilog(),
    }


def write(root: Path) -> list[Path]:
    """Write every rendered file below ``root``, each beside its place and then renamed.

    Returns:
        The files written.
    """
    written = []
    for name, text in rendered_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as draft:
            draft.write(text)
        Path(draft.name).chmod(0o644)
        Path(draft.name).replace(path)
        written.append(path)
    return written


def check(root: Path) -> None:
    """Compare the files below ``root`` with a fresh rendering.

    Raises:
        UserError: a file is missing or differs.
    """
    for name, text in rendered_files().items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise UserError(
                "a rendered file is stale",
                where=str(path),
                why="it differs from what graph/descriptor.py and graph/rules.py render to",
                fix="run python -m sliceflow.graph.render",
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m sliceflow.graph.render``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sliceflow.graph.render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[3], help="repository checkout")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if options.check:
            check(options.root)
        else:
            for path in write(options.root):
                _log.info("wrote %s", path)
    except SliceflowError as error:
        _log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
