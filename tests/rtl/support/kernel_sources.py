"""Which RTL the benches of the whole kernel run: that of ``hls/rtl``, or what Vitis HLS exported from ``hls/cpp``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from sliceflow.hardware.kernel import TOP, rtl_parameters
from tests.csim.support import profile_of
from tests.rtl.support.simulation import RTL, simulate

_MEMORY_FILE = re.compile(r'(\$readmem[hb]\s*\(\s*")(?!/)(?:\./)?([^"]+")')


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel to be tested.

    Attributes:
        profile: name of the profile that it was made for.
        top: its top module.
        sources: its files where it is not that of ``hls/rtl``.
        parameters: of its top module.
        reports_memory_errors: an error response ends a launch with a status.
    """

    profile: str
    top: str = TOP
    sources: Sequence[Path] = ()
    parameters: dict[str, int] = dataclasses.field(default_factory=dict)
    reports_memory_errors: bool = True

    def simulate(self, test_module: str, test: str, *, seed: int = 1) -> None:
        """Run a cocotb test; fails the calling pytest test."""
        __tracebackhide__ = True
        simulate(
            self.top,
            test_module,
            self.parameters,
            sources=self.sources,
            tests=[test],
            environment={"KERNEL_PROFILE": self.profile},
            timeout=300,
            seed=seed,
        )


def own_kernel(profile: str) -> Kernel:
    """The kernel of ``hls/rtl`` for a profile."""
    return Kernel(profile, parameters=rtl_parameters(profile_of(profile)))


def exported_kernel(profile: str, top: str, folder: Path, scratch: Path) -> Kernel:
    """A kernel that Vitis HLS exported: every .v and .sv file below a folder.

    Its memories read their content from files beside them, so those sources are copied with absolute paths. It knows
    neither error responses nor the clock log.
    """
    sources = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".v", ".sv")):
        text = path.read_text(encoding="utf-8")
        absolute = _MEMORY_FILE.sub(lambda found, path=path: f"{found[1]}{path.parent.resolve()}/{found[2]}", text)
        if absolute != text:
            path = scratch / path.name
            path.write_text(absolute, encoding="utf-8")
        sources.append(path)
    return Kernel(profile, top, sources, reports_memory_errors=False)


def hls_names(name: str, folder: Path, profile: str) -> None:
    """Write the kernel of ``hls/rtl`` under the port names that Vitis HLS would give it, as ``NAME.sv``.

    Signals in capitals, ports named after their bundles, user signals, and registers in seven address bits.
    """
    text = (RTL / f"{TOP}.sv").read_text(encoding="utf-8")
    ports = re.findall(r"^    (input|output)\s+logic\s+(\[[^]]*\])?\s*(\w+)", text[: text.index("\n);")], re.MULTILINE)
    declared, connected = [], []
    for direction, width, port in ports:
        bus, _, signal = port.rpartition("_")
        outside = f"{bus.replace('m_axi_', 'm_axi_gmem_')}_{signal.upper()}" if "_axi_" in port else port
        if bus == "s_axi_control" and signal in ("awaddr", "araddr"):
            declared.append(f"{direction} [6:0] {outside}")
            connected.append(f".{port}({{8'd0, {outside}}})")
        else:
            declared.append(f"{direction} {width} {outside}")
            connected.append(f".{port}({outside})")
    declared += [f"input [0:0] m_axi_gmem_{port}_{user}" for port in ("in", "out") for user in ("RUSER", "BUSER")]
    values = ", ".join(f".{key}({value})" for key, value in rtl_parameters(profile_of(profile)).items())
    lines = [f"module {name} (", ",\n".join(declared), ");", f"{TOP} #({values}) i_kernel (", ",\n".join(connected)]
    folder.joinpath(f"{name}.sv").write_text("\n".join([*lines, ");", "endmodule", ""]), encoding="utf-8")
