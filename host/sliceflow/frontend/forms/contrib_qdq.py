"""QuantizeLinear and DequantizeLinear of ONNX Runtime's own domain."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.frontend.forms.form import MICROSOFT, Form, nodes


class ContribQdq(Form):
    """They mean what the operators of the same name mean in ONNX.

    ONNX Runtime's ``quantize_static`` writes them for 16 bits below opset 21, and on request (``UseQDQContribOps``).
    Parameters of shape [1] are one number for the tensor, as there.
    """

    name = "contrib-qdq"
    summary = "com.microsoft QuantizeLinear and DequantizeLinear become ONNX's"

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return f"com.microsoft QuantizeLinear and DequantizeLinear mean the same as ONNX's: {nodes(count)} renamed"

    def rewrite(self, node: ir.Node) -> bool:
        """Rename one node."""
        if node.domain != MICROSOFT or node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            return False
        node.domain = ""
        node.version = None
        return True
