"""How ``quantize`` and ``deploy`` show what quantization cost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sliceflow.cli import output
from sliceflow.report.tables import Table

if TYPE_CHECKING:
    from sliceflow.quantization import Quality, QuantizationReport

_LOG = logging.getLogger(__name__)
_SHOWN = 5


def show_quality(report: QuantizationReport) -> None:
    """Write the comparison with the float model."""
    quality = report.quality
    if quality is None:
        return
    output.table(_outputs(quality))
    source = "held back from calibration" if quality.held_back else "of the calibration samples: too few to hold back"
    output.line(f"SQNR on {quality.samples} samples ({source}); ranges found by {report.method}")
    for found in quality.inputs:
        output.line(f"input {found.name}: {found.low:.6g} to {found.high:.6g} in the samples")
    worst = [f"{layer.name} ({layer.op}) {layer.sqnr_db:.1f} dB" for layer in quality.worst_layers[:_SHOWN]]
    if worst:
        output.line(f"layers that lose most by themselves: {', '.join(worst)}")


def warn(report: QuantizationReport) -> None:
    """Warn of outputs that are not good enough; behind all other output, where it is seen."""
    for warning in (*(report.quality.notes if report.quality else ()), *report.warnings):
        _LOG.warning("%s", warning)


def _outputs(quality: Quality) -> Table:
    content = Table(
        "Outputs against the float model", ("output", "SQNR dB", "worst channel or column", "its SQNR dB", "")
    )
    content.right = frozenset({"SQNR dB", "its SQNR dB"})
    for found in quality.outputs:
        part = found.worst
        content.add(
            found.name,
            _decibels(found.sqnr_db),
            "" if part is None else f"{part.index} of axis {part.axis}",
            "" if part is None else _decibels(part.sqnr_db),
            "; ".join(text for text in (found.note, found.lost) if text),
        )
    return content


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
