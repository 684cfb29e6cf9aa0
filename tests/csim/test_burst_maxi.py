"""The simulated memory ports: what they move, and that they report a kernel that breaks their order."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sliceflow.devices.build import find_compiler
from sliceflow.hardware.kernel import source_folder

PROGRAM = """
#include <cstdio>
#include <cstring>
#include <hls_burst_maxi.h>
struct Beat { unsigned char byte[64]; };
int main() {
  static Beat memory[8];
  for (int k = 0; k < 8; ++k) std::memset(memory[k].byte, k, 64);
  {
    hls::burst_maxi<Beat> port(memory);
    Beat beat = {};
    (void)beat;
    %s
  }
  std::printf("%%s|", sliceflow_sim::failure());
  for (int k = 0; k < 8; ++k) std::printf("%%d,%%d ", memory[k].byte[0], memory[k].byte[1]);
}
"""
INTACT = "0,0 1,1 2,2 3,3 4,4 5,5 6,6 7,7 "


def run(statements: str, folder: Path) -> tuple[str, str]:
    """What the port reports, and the first two bytes of each beat."""
    source, executable, sim = folder / "port.cpp", folder / "port", source_folder() / "sim"
    source.write_text(PROGRAM % statements, encoding="ascii")
    command = [find_compiler("g++"), "-std=c++14", "-O0", f"-I{sim}", source, sim / "region.cpp", sim / "fiber.cpp"]
    subprocess.run([*command, "-o", executable], check=True, timeout=120)
    output = subprocess.run([executable], check=True, capture_output=True, text=True, timeout=60).stdout
    failure, memory = output.split("|")
    return failure, memory


def test_bursts_move_what_they_name(tmp_path: Path) -> None:
    statements = """
    port.read_request(2, 2);
    port.read_request(6, 1);
    port.write_request(0, 2);
    for (int k = 0; k < 2; ++k) { beat = port.read(); port.write(beat, k ? 2LL : -1LL); }
    port.write_response();
    beat = port.read();
    port.write_request(7, 1);
    port.write(beat, 1LL);
    port.write_response();
    """
    assert run(statements, tmp_path) == ("", "2,2 1,3 2,2 3,3 4,4 5,5 6,6 6,7 ")


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ("port.read();", "read without a request"),
        ("port.read_request(0, 2); port.read();", "not read to its end"),
        ("port.read_request(0, 0);", "burst of no elements"),
        ("port.write(beat, -1LL);", "written without a request"),
        ("port.write_request(0, 2); port.write(memory[0], -1LL);", "not written to its end"),
        ("port.write_request(0, 1); port.write(memory[0], -1LL);", "response to a written burst was not taken"),
        ("port.write_request(0, 1); port.write_request(1, 1);", "before it had written the one before"),
        ("port.write_response();", "response that nobody owes"),
        ("for (int k = 0; k < 300; ++k) port.read_request(0, 1);", "more bursts under way than any adapter holds"),
    ],
)
def test_a_broken_order_is_reported(statements: str, message: str, tmp_path: Path) -> None:
    failure, memory = run(statements, tmp_path)
    assert message in failure
    assert memory == INTACT
