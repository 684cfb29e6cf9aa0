"""How ``compile`` and ``deploy`` show what they made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sliceflow.cli import output
from sliceflow.cli.quality import show_quality, warn
from sliceflow.report.compilation import compilation_json
from sliceflow.report.shares import share_text, uncounted_text
from sliceflow.report.tables import Table, count, share, size

if TYPE_CHECKING:
    from sliceflow.cli.building import Made


def show(made: Made, folder: Path) -> None:
    """Write the report of a compilation, and of the quantization in front of it."""
    report, document = made.report, compilation_json(made.program, str(folder))
    document["notes"] = list(made.notes)
    if report is None:
        output.result(document, lambda: _print(document))
        return
    document["quantization"] = report.to_json()

    def human() -> None:
        _print(document)
        show_quality(report)

    output.result(document, human)
    warn(report)


def _print(document: dict[str, Any]) -> None:
    columns = ("layer", "where", "what", "MACs", "channels", "lanes", "ideal", "predicted")
    title = f"{document['artifact']} for {document['profile']} (ideal and predicted: clock cycles of one image)"
    content = Table(title, columns, right=frozenset(columns[3:]))
    for layer in document["layers"]:
        mapped = layer["placement"] == "fpga"
        content.add(
            layer["name"],
            layer["placement"],
            layer["op"] if layer["placement"] != "cpu" else f"{layer['op']}: {layer['reason']}",
            "?" if layer["macs"] is None else count(layer["macs"]),
            f"{layer['channels_in']} -> {layer['channels_out']}",
            share(layer["lanes_used"]) if mapped and layer["macs"] else "",
            count(layer["ideal_cycles"]) if mapped else "",
            count(layer["predicted_cycles"]) if mapped else "",
        )
    output.table(content)
    totals = document["totals"]
    launches = "launch" if totals["launches"] == 1 else "launches"
    counted = count(totals["macs"])
    work = f"the MACs ({counted} are counted)" if totals["uncounted"] else f"{counted} MACs"
    on_fpga = f"{share_text(totals['fpga_share'], totals['uncounted'])} of {work} on the FPGA"
    output.line(
        f"{on_fpga} in {totals['fpga_layers']} layers and {totals['launches']} {launches}; "
        f"{totals['cpu_layers']} CPU nodes{uncounted_text(totals['uncounted'])}"
    )
    output.line(
        f"predicted: {count(totals['predicted_cycles'])} cycles, {totals['predicted_ms']:.3f} ms ({totals['clock']}), "
        f"{share(totals['lanes_used'])} of the array's products are useful"
    )
    if totals["cycles_caveat"]:
        output.line(totals["cycles_caveat"])
    output.line(f"weights {size(totals['weight_bytes'])}, activations {size(totals['activation_bytes'])}")
