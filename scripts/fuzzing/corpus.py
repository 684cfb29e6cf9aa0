"""The sound models and artifacts that mutations start from."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from sliceflow.cli import main
from tests.support.models import Graph
from tests.support.random_network import quantize_with_onnxruntime, random_network

ROOT = Path(__file__).resolve().parent.parent.parent
_NODE_TESTS = (
    *("basic_conv_with_padding", "batchnorm_epsilon", "conv_with_strides_and_asymmetric_padding", "convtranspose"),
    *(
        "maxpool_2d_ceil",
        "maxpool_2d_dilations",
        "averagepool_2d_same_upper",
        "globalaveragepool",
        "gemm_all_attributes",
    ),
    *("concat_2d_axis_1", "resize_upsample_scales_nearest", "resize_downsample_sizes_nearest", "constant_pad"),
    *("if", "if_seq", "loop11", "scan9_sum", "constantofshape_float_ones", "tile", "expand_dim_changed"),
    *(
        "quantizelinear_axis",
        "dequantizelinear_axis",
        "qlinearconv",
        "lstm_defaults",
        "split_variable_parts_2d_opset18",
    ),
    *(
        "reshape_extended_dims",
        "transpose_all_permutations_0",
        "slice_neg_steps",
        "softmax_axis_1",
        "topk",
        "nonzero_example",
    ),
    *(
        "celu_expanded",
        "sequence_map_add_1_sequence_1_tensor",
        "cast_FLOAT_to_STRING",
        "einsum_sum",
        "gather_elements_0",
    ),
)


@dataclasses.dataclass(frozen=True)
class Seed:
    """A sound model.

    Attributes:
        name: for messages.
        data: its bytes.
        quantized: whether it is QDQ.
        samples: bytes of an ``.npz`` that serves as calibration data and as input.
    """

    name: str
    data: bytes
    quantized: bool
    samples: Path


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Sound models, and artifacts made from some of them (folder and the samples that fit it)."""

    models: tuple[Seed, ...]
    artifacts: tuple[tuple[Path, Path], ...]


def build_corpus(folder: Path) -> Corpus:
    """Make the corpus.

    Args:
        folder: for calibration data and artifacts; it must live as long as the corpus is used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    floats: list[Seed] = []
    for name, model in (("mnist", onnx.load(ROOT / "models" / "mnist_vgg_pruned.onnx")), *_networks(), *_graphs()):
        floats.append(Seed(name, model.SerializeToString(), False, _samples(model, folder / f"{name}.npz")))
    quantized = [_quantized(seed, folder) for seed in floats if not seed.name.startswith("graph")]
    quantized += _from_onnxruntime(floats[1:3])
    artifacts = [_artifact(seed, folder, "int8-8x8") for seed in (*quantized[:4], *quantized[5:7])]
    artifacts += [_artifact(seed, folder, "fp32-4x4") for seed in (floats[1], floats[2], floats[5])]
    forms = [
        Seed(name, model.SerializeToString(), name == "form_qoperator", _samples(model, folder / f"{name}.npz"))
        for name, model in _forms()
    ]
    return Corpus((*floats, *quantized, *forms, *_node_tests(folder)), tuple(artifacts))


def _networks() -> Iterator[tuple[str, onnx.ModelProto]]:
    for seed in range(4):
        yield f"random{seed}", random_network(np.random.default_rng(seed))
    yield "softmax", _with_cpu_layers()
    yield "stem", _with_unrolled_stem()


def _with_cpu_layers() -> onnx.ModelProto:
    """A network with layers that stay on the CPU, between and behind those of the FPGA."""
    graph = Graph(3, opset=17, ir_version=8)
    value = graph.input("batch", 3, 12, 12)
    value = graph.node("Conv", value, graph.random(9, 3, 3, 3), graph.random(9), pads=[1, 1, 1, 1])
    value = graph.node("InstanceNormalization", value, graph.random(9), graph.random(9))
    value = graph.node("Conv", value, graph.random(12, 9, 3, 3), strides=[2, 2])
    value = graph.node("GlobalAveragePool", graph.node("Relu", value))
    value = graph.node("Gemm", graph.node("Flatten", value), graph.random(12, 5))
    return graph.model(graph.node("Softmax", value, axis=1))


def _with_unrolled_stem() -> onnx.ModelProto:
    """A network whose first kernel the host unrolls."""
    graph = Graph(4, opset=17, ir_version=8)
    value = graph.input("batch", 3, 24, 24)
    value = graph.node("Conv", value, graph.random(8, 3, 7, 7), graph.random(8), strides=[2, 2], pads=[3, 3, 3, 3])
    value = graph.node("MaxPool", graph.node("Relu", value), kernel_shape=[3, 3], strides=[2, 2])
    return graph.model(graph.node("Conv", value, graph.random(4, 8, 3, 3)))


def _graphs() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Old opsets, constants that must be computed, subgraphs, functions: what the front end rewrites."""
    for opset in (7, 9, 12):
        graph = Graph(opset, opset=opset, ir_version=4)
        value = graph.input(1, 4, 9, 9)
        value = graph.node("Conv", value, graph.random(6, 4, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
        value = graph.node("BatchNormalization", value, *(graph.random(6, low=0.5) for _ in range(4)))
        value = graph.node("MaxPool", value, kernel_shape=[2, 2], auto_pad="VALID")
        wanted = graph.node("Concat", graph.constant([1], "int64"), graph.constant([-1], "int64"), axis=0)
        value = graph.node("Reshape", value, wanted)
        yield f"graph{opset}", graph.model(graph.node("Gemm", value, graph.random(24, 3)))
    graph = Graph(5, opset=18, ir_version=8)
    value = graph.input("n", 4, 8, 8)
    ones = graph.node("ConstantOfShape", graph.constant([8, 4, 1, 1], "int64"))
    value = graph.node("Conv", value, graph.node("Expand", ones, graph.constant([8, 4, 3, 3], "int64")))
    value = graph.node("Pad", value, graph.constant([0, 0, 1, 1, 0, 0, 1, 1], "int64"))
    then = helper.make_graph(
        [helper.make_node("Relu", [value], ["then"])], "t", [], [helper.make_tensor_value_info("then", 1, None)]
    )
    other = helper.make_graph(
        [helper.make_node("Neg", [value], ["else"])], "e", [], [helper.make_tensor_value_info("else", 1, None)]
    )
    value = graph.node("If", graph.constant(True, "bool"), then_branch=then, else_branch=other)
    graph.domains["own"] = 1
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Add", ["b", "a"], ["c"])]
    graph.functions.append(helper.make_function("own", "Twice", ["a"], ["c"], body, [helper.make_opsetid("", 18)]))
    yield "graph_nested", graph.model(graph.node("Twice", value, domain="own"))


def _forms() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Other spellings of a network: float16, operators with quantized operands, dynamic quantization."""
    graph = Graph(6, opset=17, ir_version=8)
    value = graph.input(1, 3, 8, 8, dtype=TensorProto.FLOAT16)
    weights = graph.constant(graph.rng.uniform(-0.3, 0.3, (6, 3, 3, 3)), "float16")
    graph.output(graph.node("Relu", graph.node("Conv", value, weights)), None, TensorProto.FLOAT16)
    yield "form_float16", graph.model()

    graph = Graph(7, opset=17, ir_version=8)
    graph.domains["com.microsoft"] = 1
    grid = [graph.constant(0.05), graph.constant(120, "uint8")]
    weights = graph.constant(graph.rng.integers(-99, 99, (6, 3, 3, 3)), "int8")
    scales = [graph.constant(graph.rng.uniform(0.001, 0.01, 6)), graph.constant(np.zeros(6), "int8")]
    value = graph.node("QuantizeLinear", graph.input(1, 3, 8, 8), *grid)
    value = graph.node("QLinearConv", value, *grid, weights, *scales, *grid, graph.constant(np.arange(6), "int32"))
    value = graph.node("MaxPool", value, kernel_shape=[2, 2])
    value = graph.node("QLinearAdd", value, *grid, value, *grid, *grid, domain="com.microsoft")
    value = graph.node("QLinearGlobalAveragePool", value, *grid, *grid, domain="com.microsoft")
    yield "form_qoperator", graph.model(graph.node("DequantizeLinear", value, *grid))

    graph = Graph(8, opset=17, ir_version=8)
    graph.node("DynamicQuantizeLinear", graph.input(1, 3, 8, 8), outputs=["q", "s", "z"])
    weights = graph.constant(graph.rng.integers(-99, 99, (6, 3, 3, 3)), "int8")
    sums = graph.node("ConvInteger", "q", weights, "z", graph.constant(0, "int8"))
    scale = graph.node("Mul", "s", graph.constant(0.004))
    yield "form_dynamic", graph.model(graph.node("Mul", graph.node("Cast", sums, to=TensorProto.FLOAT), scale))


def _samples(model: onnx.ModelProto, path: Path) -> Path:
    rng = np.random.default_rng(0)
    constants = {tensor.name for tensor in model.graph.initializer}
    arrays = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        if value.name in constants or not value.type.HasField("tensor_type") or kind.elem_type == TensorProto.STRING:
            continue
        sizes = [dim.dim_value or 4 for dim in kind.shape.dim]
        arrays[value.name] = rng.standard_normal(sizes).astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    np.savez(path, **arrays)
    return path


def _quantized(seed: Seed, folder: Path) -> Seed:
    source, target = folder / f"{seed.name}.onnx", folder / f"{seed.name}_int8.onnx"
    source.write_bytes(seed.data)
    _must(["quantize", str(source), "--calibration", str(seed.samples), "--output", str(target), "--json"])
    return Seed(target.stem, target.read_bytes(), True, seed.samples)


def _from_onnxruntime(seeds: list[Seed]) -> Iterator[Seed]:
    for index, seed in enumerate(seeds):
        with tempfile.TemporaryDirectory() as scratch:
            model = quantize_with_onnxruntime(
                onnx.load_from_string(seed.data),
                np.random.default_rng(index),
                scratch,
                unsigned=bool(index % 2),
                per_channel=not index % 2,
                symmetric=False,
            )
        yield Seed(f"{seed.name}_ort", model.SerializeToString(), True, seed.samples)


def _artifact(seed: Seed, folder: Path, profile: str) -> tuple[Path, Path]:
    source, target = folder / f"{seed.name}.onnx", folder / f"{seed.name}.artifact"
    source.write_bytes(seed.data)
    _must(["compile", str(source), "--profile", profile, "--output", str(target), "--json"])
    _must(["verify", str(target), "--json"])  # also compiles the simulator, which no case shall wait for
    return target, seed.samples


def _must(arguments: list[str]) -> None:
    if code := main(arguments):
        raise RuntimeError(f"`sliceflow {' '.join(arguments)}` ended with exit code {code}")


def _node_tests(folder: Path) -> Iterator[Seed]:
    """Models of the onnx package's own tests, as far as this version of it has them."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
    for name in _NODE_TESTS:
        path = data / f"test_{name}" / "model.onnx"
        if path.is_file():
            model = onnx.load(path)
            yield Seed(f"node_{name}", path.read_bytes(), False, _samples(model, folder / f"node_{name}.npz"))
