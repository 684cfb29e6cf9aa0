"""Hold the kernel's C++ to what HLS tools synthesize: ``python scripts/lint_hls.py [FILE ...]``, default all of it.

Rules:
1. No heap, exceptions, virtual functions, run-time types, goto, double or static variables, and nothing of the standard
   library but type traits. Only the headers in ``_HEADERS`` and the kernel's own are included.
2. No recursion (constexpr functions, which the compiler evaluates, may).
3. Every stream of a dataflow region has exactly one process that writes it and another that reads it.

It reads tokens, not types: functions are told apart by name only, so overloads count as one. ``scripts/hls_lint`` sees
what clang sees, and holds the kernel to what becomes fast hardware: loops, regions, memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

SIMULATION_ONLY = ("testbench.cpp", "sim/")
"""Files of hls/cpp that no tool synthesizes."""
_HEADERS = {"cstdint", "type_traits", "ap_int.h", "hls_stream.h", "hls_burst_maxi.h"}
_FORBIDDEN = {
    **dict.fromkeys(("new", "delete", "malloc", "calloc", "realloc", "free"), "heap memory"),
    **dict.fromkeys(("throw", "try", "catch", "noexcept"), "exceptions"),
    **dict.fromkeys(("virtual", "override", "dynamic_cast", "typeid"), "run-time types"),
    **dict.fromkeys(("goto", "setjmp", "longjmp", "asm"), "control flow that is not structured"),
    **dict.fromkeys(("static", "thread_local", "volatile", "mutable"), "hidden state"),
    **dict.fromkeys(("printf", "fprintf", "puts", "assert", "abort", "exit"), "calls of the operating system"),
    "double": "double precision",
    "lambda": "lambdas",
}
_CALLS = {"read": "read", "read_nb": "read", "write": "write"}
"""Methods of a stream, and what they do with it."""
_STANDARD = {"conditional", "make_unsigned", "make_signed", "enable_if", "is_same"}
_TOKEN = re.compile(
    r"#[^\n]*|[A-Za-z_]\w*|\d[\w.']*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|->|::|&&|\|\||[<>=!+\-*/]=|\S"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|(\"(?:\\.|[^\"\\])*\")", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Token:
    """A word of the source and its line."""

    text: str
    line: int


@dataclasses.dataclass(frozen=True)
class Function:
    """A function's definition."""

    name: str
    path: str
    line: int
    parameters: tuple[tuple[Token, ...], ...]
    body: tuple[Token, ...]
    is_constexpr: bool


@dataclasses.dataclass(frozen=True)
class Finding:
    """A rule broken at a place."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def tokens_of(source: str) -> list[Token]:
    """Tokens without comments; a preprocessor line is one token."""
    bare = _COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), source)
    bare = bare.replace("\\\n", "  ")
    found, line, last = [], 1, 0
    for match in _TOKEN.finditer(bare):
        line += bare.count("\n", last, match.start())
        last = match.start()
        found.append(Token(match[0].rstrip(), line))
    return found


def lint(sources: dict[str, str]) -> list[Finding]:
    """Check sources that belong together.

    Args:
        sources: text by path.

    Returns:
        All findings, by path and line.
    """
    findings: list[Finding] = []
    functions: list[Function] = []
    for path, text in sources.items():
        tokens = tokens_of(text)
        findings += _forbidden(path, tokens)
        functions += _functions(path, tokens)
    findings += _recursion(functions)
    for function in functions:
        findings += _streams(function, functions)
    return sorted(set(findings), key=lambda finding: (finding.path, finding.line, finding.text))


def _forbidden(path: str, tokens: Sequence[Token]) -> Iterator[Finding]:
    for index, token in enumerate(tokens):
        text = token.text
        if text in _FORBIDDEN and not _is_constexpr_member(tokens, index):
            yield Finding(path, token.line, f"{text!r}: HLS has no {_FORBIDDEN[text]}")
        if text == "std" and tokens[index + 1].text == "::" and tokens[index + 2].text not in _STANDARD:
            yield Finding(path, token.line, f"'std::{tokens[index + 2].text}': only type traits are synthesized")
        if text == "[" and tokens[index + 1].text in ("&", "=", "]") and tokens[index - 1].text in ("(", ",", "="):
            yield Finding(path, token.line, "a lambda: write a function")
        include = re.match(r"#\s*include\s*<(.*)>", text)
        if include and include[1] not in _HEADERS:
            yield Finding(path, token.line, f"<{include[1]}> is not a header that HLS has")


def _is_constexpr_member(tokens: Sequence[Token], index: int) -> bool:
    return tokens[index].text == "static" and tokens[index + 1].text == "constexpr"


def _closing(tokens: Sequence[Token], index: int) -> int:
    """Index of the bracket that closes the one at ``index``."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    opening, depth = tokens[index].text, 0
    for position in range(index, len(tokens)):
        depth += (tokens[position].text == opening) - (tokens[position].text == pairs[opening])
        if depth == 0:
            return position
    return len(tokens) - 1


def _functions(path: str, tokens: Sequence[Token]) -> list[Function]:
    """Definitions at namespace or class level."""
    found, index = [], 0
    while index < len(tokens):
        is_call = tokens[index].text == "(" and index > 0 and re.fullmatch(r"[A-Za-z_]\w*", tokens[index - 1].text)
        if not is_call:
            index += 1
            continue
        end = _closing(tokens, index)
        body = end + 1 + (end + 1 < len(tokens) and tokens[end + 1].text == "const")
        if body >= len(tokens) or tokens[body].text != "{":
            index += 1
            continue
        last = _closing(tokens, body)
        start = index
        while (
            start > 0 and tokens[start - 1].text not in ("}", ";", "{") and not tokens[start - 1].text.startswith("#")
        ):
            start -= 1
        words = {token.text for token in tokens[start:index]}
        parameters = tuple(tuple(part) for part in _split(tokens[index + 1 : end]))
        name = tokens[index - 1]
        found.append(
            Function(name.text, path, name.line, parameters, tuple(tokens[body + 1 : last]), "constexpr" in words)
        )
        index = last + 1
    return found


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """Split at the commas outside brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in "([{<") - (token.text in ")]}>")
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _calls(body: Sequence[Token], names: set[str]) -> Iterator[tuple[str, int]]:
    """Calls of known functions: name and index of the opening bracket."""
    for index, token in enumerate(body):
        if token.text not in names or (index and body[index - 1].text in (".", "->")):
            continue
        after = index + 1
        if after < len(body) and body[after].text == "<":
            while after < len(body) and body[after].text not in (">", ";", "("):
                after += 1
            after += 1
        if after < len(body) and body[after].text == "(":
            yield token.text, after


def _recursion(functions: Sequence[Function]) -> Iterator[Finding]:
    names = {function.name for function in functions if not function.is_constexpr}
    called = {name: set[str]() for name in names}
    for function in functions:
        if not function.is_constexpr:
            called[function.name] |= {name for name, _ in _calls(function.body, names)}
    for function in functions:
        seen: set[str] = set()
        waiting = list(called.get(function.name, ()))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += called[name]
        if function.name in seen and not function.is_constexpr:
            yield Finding(function.path, function.line, f"{function.name} calls itself: HLS has no recursion")


def _streams(function: Function, functions: Sequence[Function]) -> Iterator[Finding]:
    """Rule 3, for a function that is a dataflow region with streams."""
    body = function.body
    streams = {
        body[index + 1].text: body[index].line
        for index, token in enumerate(body[:-2])
        if token.text == ">" and body[index + 2].text == "(" and _declares_stream(body, index)
    }
    users: dict[str, dict[str, list[str]]] = {name: {"read": [], "write": []} for name in streams}
    for index, token in enumerate(body):
        if token.text != "SLICEFLOW_PROCESS":
            continue
        label, callee, *arguments = _split(body[index + 2 : _closing(body, index + 1)])
        for position, argument in enumerate(arguments):
            if len(argument) == 1 and argument[0].text in streams:
                for direction in _directions(callee[0].text, position, functions, ()):
                    users[argument[0].text][direction].append(label[0].text)
    for name, line in streams.items():
        for direction, processes in users[name].items():
            if len(processes) != 1:
                count = f"{len(processes)} processes {direction} it" + (
                    f": {', '.join(processes)}" if processes else ""
                )
                yield Finding(
                    function.path, line, f"stream {name!r} must have one process to {direction} it, but {count}"
                )


def _declares_stream(body: Sequence[Token], closing: int) -> bool:
    """Whether the ``>`` at ``closing`` ends the type ``hls::stream<...>``."""
    depth = 0
    for index in range(closing, 1, -1):
        depth += (body[index].text == ">") - (body[index].text == "<")
        if depth == 0:
            return body[index - 1].text == "stream" and body[index - 2].text == "::"
    return False


def _directions(callee: str, position: int, functions: Sequence[Function], path: tuple[str, ...]) -> set[str]:
    """What a function does with the stream that is its parameter number ``position``: "read", "write" or both."""
    found: set[str] = set()
    names = {function.name for function in functions}
    for function in functions:
        if function.name != callee or position >= len(function.parameters) or callee in path:
            continue
        name, body = function.parameters[position][-1].text, function.body
        for index, token in enumerate(body[:-2]):
            if token.text == name and body[index + 1].text == "." and body[index + 2].text in _CALLS:
                found.add(_CALLS[body[index + 2].text])
        for inner, bracket in _calls(body, names):
            for place, argument in enumerate(_split(body[bracket + 1 : _closing(body, bracket)])):
                if len(argument) == 1 and argument[0].text == name:
                    found |= _directions(inner, place, functions, (*path, callee))
    return found


def kernel_sources(folder: Path) -> dict[str, str]:
    """The files of hls/cpp that are synthesized, by their path in it."""
    found = {}
    for path in sorted([*folder.rglob("*.h"), *folder.rglob("*.cpp")]):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(SIMULATION_ONLY):
            found[name] = path.read_text(encoding="utf-8")
    return found


def main() -> int:
    """Print the findings; 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="sources that belong together")
    files = parser.parse_args().files
    folder = Path(__file__).resolve().parent.parent / "hls" / "cpp"
    sources = {str(path): path.read_text(encoding="utf-8") for path in files} if files else kernel_sources(folder)
    findings = lint(sources)
    for finding in findings:
        print(finding)
    print(f"{len(sources)} files, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
