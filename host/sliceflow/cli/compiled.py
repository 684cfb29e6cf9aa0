"""How ``compile`` and ``deploy`` show what they made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sliceflow.cli import output
from sliceflow.graph.program import Program
from sliceflow.report.compilation import compilation_json
from sliceflow.report.tables import Table, count, share, size


def show(program: Program, folder: Path) -> None:
    """Write the report of a compilation."""
    document = compilation_json(program, str(folder))
    output.result(document, lambda: _print(document))


def _print(document: dict[str, Any]) -> None:
    columns = ("layer", "where", "what", "MACs", "channels", "lanes", "ideal", "predicted")
    title = f"{document['artifact']} for {document['profile']} (ideal and predicted: clock cycles of one image)"
    content = Table(title, columns, right=frozenset(columns[3:]))
    for layer in document["layers"]:
        on_fpga = layer["placement"] == "fpga"
        content.add(
            layer["name"],
            layer["placement"],
            layer["op"] if layer["placement"] != "cpu" else f"{layer['op']}: {layer['reason']}",
            count(layer["macs"]),
            f"{layer['channels_in']} -> {layer['channels_out']}",
            share(layer["lanes_used"]) if on_fpga and layer["macs"] else "",
            count(layer["ideal_cycles"]) if on_fpga else "",
            count(layer["predicted_cycles"]) if on_fpga else "",
        )
    output.table(content)
    totals = document["totals"]
    launches = "launch" if totals["launches"] == 1 else "launches"
    output.line(
        f"{share(totals['fpga_share'])} of {count(totals['macs'])} MACs on the FPGA in {totals['fpga_layers']} layers "
        f"and {totals['launches']} {launches}; {totals['cpu_layers']} CPU nodes"
    )
    output.line(
        f"predicted: {count(totals['predicted_cycles'])} cycles, {totals['predicted_ms']:.3f} ms, "
        f"{share(totals['lanes_used'])} of the array's products are useful"
    )
    output.line(f"weights {size(totals['weight_bytes'])}, activations {size(totals['activation_bytes'])}")
