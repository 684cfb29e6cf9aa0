"""The descriptor: bytes and back, and the C++ and SystemVerilog views that are rendered from it."""

import dataclasses
import re
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sliceflow.errors import UserError
from sliceflow.graph import render
from sliceflow.graph.descriptor import BYTES, VERSION, Descriptor

ROOT = Path(__file__).resolve().parents[2]
FIELDS = dataclasses.fields(Descriptor)


def descriptors(*, is_float):
    integers = {"u32": st.integers(0, 2**32 - 1), "i32": st.integers(-(2**31), 2**31 - 1)}
    value = st.floats(width=32, allow_nan=False) if is_float else integers["i32"]
    kinds = integers | {"value": value}
    return st.builds(Descriptor, **{field.name: kinds[field.metadata["kind"]] for field in FIELDS})


@given(descriptors(is_float=False))
def test_integer_descriptors_survive_the_round_trip(layer):
    assert Descriptor.decode(layer.encode()) == layer


@given(descriptors(is_float=True))
def test_float_descriptors_survive_the_round_trip(layer):
    assert Descriptor.decode(layer.encode(is_float=True), is_float=True) == layer


def test_every_field_has_its_own_little_endian_word():
    plain = Descriptor().encode()
    for index, field in enumerate(FIELDS, start=1):
        changed = dataclasses.replace(Descriptor(), **{field.name: 77}).encode()
        expected = plain[: 4 * index] + struct.pack("<I", 77) + plain[4 * index + 4 :]
        assert changed == expected, field.name


@pytest.mark.parametrize(
    ("field", "value"), [("in_base", -1), ("in_base", 2**32), ("out_zero", 2**31), ("out_low", 2**31)]
)
def test_a_value_that_does_not_fit_is_refused(field, value):
    with pytest.raises(UserError, match=f"{field} must lie in"):
        dataclasses.replace(Descriptor(), **{field: value}).encode()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "512 bytes"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "version"),
        (lambda data: data[:-1] + b"\x01", "reserved"),
    ],
)
def test_damaged_bytes_are_refused(damage, message):
    with pytest.raises(UserError, match=message):
        Descriptor.decode(damage(Descriptor().encode()))


def test_checked_in_views_are_fresh():
    assert render.main(["--check", "--root", str(ROOT)]) == 0


def test_check_finds_a_stale_file(tmp_path):
    for path in render.write(tmp_path):
        assert path.is_file()
    assert render.main(["--check", "--root", str(tmp_path)]) == 0
    header = tmp_path / "hls/cpp/descriptor.h"
    header.write_text(header.read_text().replace("words[3]", "words[4]"))
    assert render.main(["--check", "--root", str(tmp_path)]) == 1
    header.unlink()
    assert render.main(["--check", "--root", str(tmp_path)]) == 1


@pytest.fixture(scope="module")
def cpp_decoder(tmp_path_factory):
    """A program that decodes descriptors from its standard input and prints every field of each."""
    folder = tmp_path_factory.mktemp("cpp")
    source = folder / "decode.cpp"
    prints = []
    for field in FIELDS:
        kind = field.metadata["kind"]
        value = f"layer.{field.name}"
        value = f"(long long)value_as_int({value})" if kind == "value" else f"(long long){value}"
        prints.append(f'std::printf("%lld %a\\n", {value}, (double)value_as_float((uint32_t)layer.{field.name}));')
    source.write_text(
        '#include <cstdio>\n#include "descriptor.h"\nusing namespace sliceflow;\n'
        'static_assert(sizeof(LayerDescriptor) <= DESCRIPTOR_BYTES, "");\n'
        "int main() {\n  uint32_t words[DESCRIPTOR_WORDS];\n"
        "  while (std::fread(words, DESCRIPTOR_BYTES, 1, stdin) == 1) {\n"
        "    const LayerDescriptor layer = decode_descriptor(words);\n"
        "    if (layer.version != DESCRIPTOR_VERSION) return 1;\n" + "\n".join(prints) + "\n  }\n  return 0;\n}\n"
    )
    program = folder / "decode"
    subprocess.run(
        ["g++", "-std=c++14", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'hls/cpp'}", source, "-o", program], check=True
    )
    return program


def test_cpp_decodes_what_python_encodes(cpp_decoder):
    rng = np.random.default_rng(5)
    words = rng.integers(0, 2**32, (20, BYTES // 4), np.uint32).astype("<u4")
    # Exponents of floats stay below that of infinity and not-a-number.
    words &= np.uint32(0xBFFFFFFF)
    words[:, 0], words[:, 1 + len(FIELDS) :] = VERSION, 0
    output = subprocess.run([cpp_decoder], input=words.tobytes(), capture_output=True, check=True).stdout.split()
    seen = iter(zip(output[::2], output[1::2], strict=True))
    for row in words:
        integer = Descriptor.decode(row.tobytes())
        real = Descriptor.decode(row.tobytes(), is_float=True)
        for field in FIELDS:
            as_integer, as_float = next(seen)
            assert int(as_integer) == getattr(integer, field.name), field.name
            if field.metadata["kind"] == "value":
                assert float.fromhex(as_float.decode()) == getattr(real, field.name), field.name
    assert next(seen, None) is None


def test_systemverilog_names_every_word_and_packs_all_bits():
    text = render.render_systemverilog()
    indices = dict(re.findall(r"localparam int unsigned WORD_(\w+) = (\d+);", text))
    assert indices == {"VERSION": "0"} | {field.name.upper(): str(i) for i, field in enumerate(FIELDS, start=1)}
    struct_body = text[text.index("typedef struct packed") : text.index("} layer_descriptor_t")]
    members = re.findall(r"logic (?:signed )?\[(\d+):0\] (\w+);", struct_body)
    assert sum(int(high) + 1 for high, _ in members) == 8 * BYTES
    # The last member is the lowest word.
    assert [name for _, name in reversed(members)] == ["version", *(field.name for field in FIELDS), "reserved"]
