"""The kernel's rules (``sliceflow.graph.rules``) as C++, as the table of the SystemVerilog checker, and as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.rule import TOP, Number, Operation, Rule, Step
from sliceflow.graph.rules import RULES

_NOTICE = "Rendered from host/sliceflow/graph/rules.py by `python -m sliceflow.graph.render`; do not edit."
_KINDS = {field.name: field.metadata["kind"] for field in dataclasses.fields(Descriptor)}
_INDEX = {"": 127, "version": 0} | {name: index for index, name in enumerate(_KINDS, start=1)}
"""Number of each field's word; the last word of a descriptor stands for no field."""
_ALWAYS = Step(Operation.WHEN, limit=(1 << (TOP + 1)) - 1)
PRODUCT_CLOCKS = 3
"""Steps that the checker waits for a product."""


def render_markdown() -> str:
    """The page with all rules."""
    rows = [f"| {rule.code} | {rule.text} | {_conditions(rule)} | {rule.why} |" for rule in RULES]
    lines = ["# Rules for descriptors", "", f"<!-- {_NOTICE} -->", ""]
    lines += [
        "The first rule that a descriptor breaks is the status of its launch ([program.md](program.md), section 6).",
        "",
    ]
    return "\n".join([*lines, "| status | rule | if | why |", "|---|---|---|---|", *rows, ""])


def _conditions(rule: Rule) -> str:
    """The conditions of a rule in words."""
    texts = ["integer profile"] * rule.integers
    for step in rule.when:
        members = [n for n in range(TOP + 1) if isinstance(step.limit, int) and step.limit >> n & 1]
        texts.append(f"{step.field} is {' or '.join(map(str, members))}" + " or more" * (TOP in members))
    return ", ".join(texts)


# --- C++ ---


def render_cpp() -> str:
    """The header with ``broken_rule``."""
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {_NOTICE}",
        "// What a descriptor must satisfy so that the kernel ends (docs/program.md, section 6).",
        "#pragma once",
        "",
        '#include "descriptor.h"',
        '#include "types.h"',
        "",
        "namespace sliceflow {",
        "",
        f"// Whether a set of small numbers has a value; {TOP} stands for all numbers from there on.",
        "inline bool in_set(uint32_t value, uint32_t set) {",
        f"  return (set >> (value < {TOP} ? value : {TOP}) & 1) != 0;",
        "}",
        "",
        "// The status of the first rule that a descriptor breaks, or 0.",
        "template <class C>",
        "uint32_t broken_rule(const LayerDescriptor& d) {",
        "  uint64_t total = 0;",
        *(line for rule in RULES for line in _cpp_rule(rule)),
        "  return 0;",
        "}",
        "",
        "}  // namespace sliceflow",
        "",
    ]
    return "\n".join(lines)


def _cpp_number(number: Number) -> str:
    return f"{number}u" if isinstance(number, int) else number.cpp


def _cpp_value(step: Step) -> str:
    """The value of a step, an uint32_t."""
    if not step.field:
        return _cpp_number(step.offset)
    field = f"static_cast<uint32_t>(d.{step.field})" if _KINDS.get(step.field) == "i32" else f"d.{step.field}"
    if isinstance(step.offset, int) and step.offset <= 0:
        return f"{field} - {-step.offset}u" if step.offset else field
    return f"{field} + {_cpp_number(step.offset)}"


def _cpp_rule(rule: Rule) -> Iterator[str]:
    conditions = [f"in_set({_cpp_value(step)}, {step.limit}u)" for step in rule.when]
    conditions += ["!C::IS_FLOAT"] if rule.integers else []
    if not conditions:
        yield from ("  " + _cpp_step(step, rule.code) for step in rule.steps)
        return
    if len(rule.steps) == 1 and rule.steps[0].operation == Operation.RANGE:
        tests = " && ".join([*conditions, f"{_cpp_value(rule.steps[0])} > {_cpp_number(rule.steps[0].limit)}"])
        yield f"  if ({tests}) return {rule.code};"
        return
    yield f"  if ({' && '.join(conditions)}) {{"
    yield from ("    " + _cpp_step(step, rule.code) for step in rule.steps)
    yield "  }"


def _cpp_step(step: Step, code: int) -> str:
    value = _cpp_value(step)
    form = {
        Operation.IN: f"if (!in_set({value}, {step.limit}u)) return {code};",
        Operation.RANGE: f"if ({value} > {_cpp_number(step.limit)}) return {code};",
        Operation.SET: f"total = {value};",
        Operation.ADD: f"total += {value};",
        Operation.SUBTRACT: f"total -= {value};",
        Operation.MULTIPLY: f"total *= {value};",
        Operation.LOW: "total &= 0xffffu;",
        Operation.AT_MOST: f"if (static_cast<int64_t>(total) > static_cast<int64_t>({value})) return {code};",
        Operation.AT_LEAST: f"if (static_cast<int64_t>(total) < static_cast<int64_t>({value})) return {code};",
        Operation.EQUALS: f"if (total != {value}) return {code};",
    }
    return form[step.operation]


# --- SystemVerilog ---


def _table() -> list[tuple[Step | None, int]]:
    """The checker's steps with their status codes: integer profiles, conditions where they change, and waits."""
    table: list[tuple[Step | None, int]] = []
    current: tuple[Step, ...] = ()
    for rule in RULES:
        if rule.when != current:
            table += [(step, 0) for step in rule.when or (_ALWAYS,)]
            current = rule.when
        for step in rule.steps:
            table.append((step, rule.code))
            if step.operation == Operation.MULTIPLY:
                table += [(None, 0)] * PRODUCT_CLOCKS
    return table


def check_steps() -> int:
    """Clocks of the checker's table."""
    return len(_table())


def _sv_number(number: Number) -> str:
    return f"32'd{number & 0xFFFF_FFFF}" if isinstance(number, int) else number.systemverilog


def _sv_step(index: int, step: Step | None, code: int) -> str:
    if step is None:
        return f"      8'd{index}: step_o <= '{{RULE_WAIT, 7'd127, 32'd0, 32'd0, 8'd0}};"
    numbers = f"{_sv_number(step.offset)}, {_sv_number(step.limit)}, 8'd{code}"
    shown = f"  // {step.field}" if step.field else ""
    name = f"RULE_{step.operation.name}"
    return f"      8'd{index}: step_o <= '{{{name}, 7'd{_INDEX[step.field]}, {numbers}}};{shown}"


def render_systemverilog() -> str:
    """The module with the table."""
    table = _table()
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {_NOTICE}",
        "// layer_rules: the steps of the kernel's rules (docs/program.md, section 6), a clock behind number_i.",
        "module layer_rules",
        "  import kernel_pkg::*;",
        "#(",
        "    parameter int unsigned CPI = 8,",
        "    parameter int unsigned CPO = 8,",
        "    parameter int unsigned ACTIVATION_BITS = 8,",
        "    parameter int unsigned POOL_WINDOW = 8,",
        "    parameter int unsigned POOL_WIDTH = 1024",
        ") (",
        "    input logic clk_i,",
        "    input logic [7:0] number_i,",
        "    output logic last_o,  // the step at number_i is the last one",
        "    output rule_step_t step_o",
        ");",
        f"  assign last_o = number_i == 8'd{len(table) - 1};",
        "",
        "  always_ff @(posedge clk_i) begin",
        "    case (number_i)",
        *(_sv_step(index, step, code) for index, (step, code) in enumerate(table)),
        "      default: step_o <= '{RULE_WAIT, 7'd127, 32'd0, 32'd0, 8'd0};",
        "    endcase",
        "  end",
        "",
        "endmodule",
        "",
    ]
    return "\n".join(lines)
