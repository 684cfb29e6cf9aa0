"""Whether ONNX Runtime's integer kernels add up exactly on this processor: found by running them, not by its name."""

from __future__ import annotations

import dataclasses

import numpy as np

from sliceflow.onnx_runtime import user_session

_DEPTH = 64
_ACTIVATION, _WEIGHT = 255, 127


@dataclasses.dataclass(frozen=True)
class KernelProbe:
    """A sum of products by ONNX Runtime with its defaults.

    Attributes:
        expected: the sum.
        got: what came out, by operator.
    """

    expected: int
    got: dict[str, int]

    @property
    def exact(self) -> bool:
        """Whether all came out right."""
        return all(value == self.expected for value in self.got.values())

    def told(self) -> str:
        """In a sentence."""
        if self.exact:
            return "exact: int8 models run as users run them give what they mean, up to rounding ties"
        found = ", ".join(f"{operator} {value}" for operator, value in self.got.items())
        return (
            f"NOT exact: products of u8 x s8 pairs saturate at 16 bits ({found} where {self.expected} is right). "
            "Sliceflow's CPU layers, comparisons and accuracies do not use them; the int8 times of bench do, and int8 "
            "models that you run yourself, unless session.x64quantprecision is set to 1"
        )


def probe_kernels() -> KernelProbe:
    """Run a quantized convolution and a product of matrices whose pairs of products need 17 bits.

    Raises:
        UserError: ONNX Runtime is missing or fails.
    """
    return KernelProbe(_ACTIVATION * _WEIGHT * _DEPTH, {name: _run(name) for name in ("Conv", "MatMul")})


def _run(operator: str) -> int:
    from onnx import TensorProto, helper, numpy_helper

    shape = [1, _DEPTH, 4, 4] if operator == "Conv" else [4, _DEPTH]
    scale = np.float32(_ACTIVATION * _WEIGHT * _DEPTH / 250)
    constants = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "weights": np.full((16, _DEPTH, 1, 1) if operator == "Conv" else (_DEPTH, 16), _WEIGHT, np.int8),
        "weight_zero": np.int8(0),
        "scale": scale,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "one", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weights", "one", "weight_zero"], ["w"]),
        helper.make_node(operator, ["d", "w"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "scale", "zero"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = user_session(model.SerializeToString(), 1, where="a probe of this processor")
    (got,) = session.run(None, {"x": np.full(shape, _ACTIVATION, np.float32)})
    return round(float(np.ravel(got)[0]))
