"""Post-training quantization: calibration, scales, and standard QDQ models.

``quantize`` turns a normalized float model into one that ONNX Runtime runs unchanged and the mapper compiles.
docs/numerics.md says what the integers mean.
"""

from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.measure import hold_back, measure_quality
from sliceflow.quantization.neutral import quantize_neutrally
from sliceflow.quantization.options import QuantizationOptions
from sliceflow.quantization.quality import Quality
from sliceflow.quantization.quantizer import QuantizationResult, quantize
from sliceflow.quantization.report import LayerQuantization, QuantizationReport, TensorQuantization

__all__ = [
    "CalibrationData",
    "LayerQuantization",
    "Quality",
    "QuantizationOptions",
    "QuantizationReport",
    "QuantizationResult",
    "TensorQuantization",
    "hold_back",
    "measure_quality",
    "quantize",
    "quantize_neutrally",
]
