"""What only a branch of an If reads must not be merged into the layer before it: the branch may not run."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.mapping.submodel import verify_size
from sliceflow.runtime import Session
from tests.support.models import Graph, run_model


def branching_model() -> onnx.ModelProto:
    """Convolution, then its ReLU if the input's mean is positive, else zeros."""
    graph = Graph(3, opset=18, ir_version=8)
    source = graph.input(1, 4, 8, 8)
    value = graph.node("Conv", source, graph.random(8, 4, 3, 3))
    condition = graph.node("Greater", graph.node("ReduceMean", source, keepdims=0), graph.constant(0.0))
    shape = [1, 8, 6, 6]
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("then", "else")]
    relu = helper.make_graph([helper.make_node("Relu", [value], ["then"], name="inner")], "t", [], [info[0]])
    fill = numpy_helper.from_array(np.zeros(shape, np.float32))
    zeros = helper.make_graph([helper.make_node("Constant", [], ["else"], value=fill)], "e", [], [info[1]])
    return graph.model(graph.node("If", condition, then_branch=relu, else_branch=zeros))


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_branch_stays_in_its_if(shift):
    model = branching_model()
    program = compile_model(
        load_model(model), Profile.load("fp32-4x4"), name="n", source_sha256="0" * 64, keep_islands=True
    )
    assert [layer.op for layer in program.fpga_layers] == ["Conv 3x3"]
    x = (np.random.default_rng(0).standard_normal((1, 4, 8, 8)) + shift).astype(np.float32)
    (expected,) = run_model(model, {"x": x})
    with Session(program, device="reference") as session:
        (found,) = session.run(None, {"x": x})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.any(expected) == (shift > 0)


def test_weights_that_no_file_holds_are_refused_with_the_node():
    g = Graph(1)
    model = load_model(g.model(g.node("MatMul", g.input("N", 30), g.random(30, 40))))
    verify_size(list(model.graph), limit=4800)
    with pytest.raises(UserError, match="more weights than an artifact can hold") as caught:
        verify_size(list(model.graph), limit=4799)
    assert "matmul0" in caught.value.where
    assert "4800 bytes" in caught.value.why
