"""The larger networks of ``models/``: published sizes, shapes, exports equal to torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sliceflow.errors import UserError
from sliceflow.onnx_runtime import exact_session

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models import measure, zoo
from models.blocks import convolution
from models.branching import AveragePool, Branching, BranchingShape, Conv, Fork, MaxPool
from models.export import export_onnx
from models.inception import INCEPTION_V1, INCEPTION_V2, INCEPTION_V3
from models.resnet import ResNet, ResNetShape

NETWORKS = (
    "vgg19",
    "resnet18",
    "resnet50",
    "resnet101",
    "inception-v1",
    "inception-v2",
    "inception-v3",
    "yolov2",
    "yolov2-tiny",
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def on_meta(name: str) -> nn.Module:
    return zoo.build(zoo.entry(name).shape, device="meta")


def conv_channels(module: nn.Module) -> int:
    return sum(layer.out_channels for layer in module.modules() if isinstance(layer, nn.Conv2d))


def map_sizes(shape: BranchingShape) -> list[tuple[int, int]]:
    """Channels and rows of the map behind each top-level layer."""
    module = zoo.build(shape, device="meta")
    maps = torch.zeros(1, shape.in_channels, shape.image_size, shape.image_size, device="meta")
    sizes = []
    for layer in module.body:
        maps = layer(maps)
        sizes.append((maps.shape[1], maps.shape[2]))
    return sizes


def exported(module: nn.Module, image_shape: tuple[int, int, int], path: Path, seed: int) -> tuple[np.ndarray, ...]:
    """What torch and ONNX Runtime compute for two random images."""
    export_onnx(module, image_shape, path)
    images = np.random.default_rng(seed).random((2, *image_shape), np.float32)
    session = exact_session(path, 1, where=path.name)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    return expected, session.run(["output"], {"input": images})[0]


class TestSizes:
    # As the authors of the definitions, or torchvision's or Caffe's published weights, state them.
    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("vgg19", 143_667_240),
            ("resnet18", 11_689_512),
            ("resnet50", 25_557_032),
            ("resnet101", 44_549_160),
            ("inception-v1", 6_998_552),
            ("inception-v3", 23_834_568),
            ("yolov2-tiny", 15_861_773),
        ],
    )
    def test_parameters(self, name: str, parameters: int) -> None:
        assert measure.parameters(on_meta(name)) == parameters

    def test_inception_v2_with_the_biases_of_the_published_weights(self) -> None:
        # Published: 11,295,240, with a bias in front of each batch normalization.
        module = on_meta("inception-v2")
        assert measure.parameters(module) + conv_channels(module) == 11_295_240

    def test_yolov2_but_for_its_shortcut(self) -> None:
        # Published: 50,962,889 trainable ones, with a 1x1 convolution of 512 to 64 channels where ours is 2x2 to 256.
        ours, published = 512 * 256 * 4 + 2 * 256, 512 * 64 + 2 * 64
        assert measure.parameters(on_meta("yolov2")) - ours + published == 50_962_889

    @pytest.mark.parametrize(
        ("name", "gmacs"),
        [
            ("vgg19", 19.632),
            ("resnet18", 1.814),
            ("resnet50", 4.089),
            ("resnet101", 7.801),
            ("inception-v1", 1.583),
            ("inception-v2", 2.033),
            ("inception-v3", 5.713),
            ("yolov2", 62.94 / 2 * (416 / 608) ** 2),  # stated in operations, at 608x608
            ("yolov2-tiny", 6.97 / 2),
        ],
    )
    def test_multiplications(self, name: str, gmacs: float) -> None:
        entry = zoo.entry(name)
        assert measure.macs(on_meta(name), entry.image_shape) / 1e9 == pytest.approx(gmacs, rel=0.005)


class TestShapes:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_output(self, name: str) -> None:
        entry = zoo.entry(name)
        shapes = {"yolov2": (2, 425, 13, 13), "yolov2-tiny": (2, 125, 13, 13)}
        images = torch.zeros(2, *entry.image_shape, device="meta")
        assert tuple(on_meta(name)(images).shape) == shapes.get(name, (2, 1000))

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            (INCEPTION_V1, {(256, 28), (480, 28), (512, 14), (528, 14), (832, 14), (832, 7), (1024, 7)}),
            (INCEPTION_V2, {(256, 28), (320, 28), (576, 14), (608, 14), (1056, 7), (1024, 7)}),
            (INCEPTION_V3, {(256, 35), (288, 35), (768, 17), (1280, 8), (2048, 8)}),
        ],
    )
    def test_maps_of_the_inception_tables(self, shape: BranchingShape, expected: set[tuple[int, int]]) -> None:
        assert expected <= set(map_sizes(shape))

    def test_an_even_pool_of_stride_one_keeps_the_size_and_never_wins_by_padding(self) -> None:
        shape = BranchingShape(layers=(MaxPool(2, 1),), classes=None, image_size=3, in_channels=1)
        maps = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0], [-7.0, -8.0, -9.0]])
        expected = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0], [-7.0, -8.0, -9.0]])
        assert torch.equal(Branching(shape)(maps[None, None])[0, 0], expected)

    def test_a_fork_concatenates_in_order(self) -> None:
        shape = BranchingShape(
            layers=(Fork(((), (MaxPool(3, 1, pad=True),), (AveragePool(),))),),
            classes=None,
            image_size=4,
            in_channels=1,
        )
        maps = torch.arange(16.0).reshape(1, 1, 4, 4)
        out = Branching(shape)(maps)
        assert torch.equal(out[:, :1], maps)
        assert out[0, 1, 0, 0] == 5
        assert out[0, 2, 0, 0] == pytest.approx((0 + 1 + 4 + 5) / 9)

    def test_a_plain_convolution_has_a_bias_and_no_activation(self) -> None:
        shape = BranchingShape(layers=(Conv(2, plain=True), Conv(3)), classes=None, image_size=4)
        kinds = [type(layer) for layer in Branching(shape).body]
        assert kinds == [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU]

    def test_a_bottleneck_halves_the_map_in_its_3x3(self) -> None:
        strides = {tuple(c.kernel_size): c.stride[0] for c in _stage_entry(on_meta("resnet50")) if c.stride[0] == 2}
        assert strides == {(3, 3): 2, (1, 1): 2}  # the 1x1 is the shortcut
        first = next(iter(_stage_entry(on_meta("resnet50"))))
        assert (tuple(first.kernel_size), first.stride[0]) == ((1, 1), 1)

    def test_convolution_pads_by_half_the_window(self) -> None:
        assert convolution(1, 1, (1, 7))[0].padding == (0, 3)
        assert convolution(1, 1, 5, pad=False)[0].padding == (0, 0)


def _stage_entry(module: nn.Module) -> list[nn.Conv2d]:
    """Convolutions of the first block of the second stage of ResNet-50."""
    return [layer for layer in module.blocks[3].modules() if isinstance(layer, nn.Conv2d)]


class TestZoo:
    @pytest.mark.parametrize("name", ["resnet18", "inception-v1", "yolov2"])
    def test_others_than_vgg_and_segnet_are_not_narrowed(self, name: str) -> None:
        with pytest.raises(UserError, match="cannot be narrowed"):
            zoo.entry(name, width=0.5)


class TestExport:
    # The same modules on small images or with fewer blocks: what could go wrong does not depend on the size.
    def test_residual_network(self, tmp_path: Path) -> None:
        shape = ResNetShape(blocks=(1, 2), bottleneck=True, width=8, classes=5, image_size=32)
        module = zoo.seed_weights(ResNet(shape).eval(), 1)
        expected, got = exported(module, (3, 32, 32), tmp_path / "x.onnx", 2)
        assert expected.shape == (2, 5)
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
        operators = [node.op_type for node in onnx.load(tmp_path / "x.onnx").graph.node]
        assert (operators.count("Add"), operators.count("BatchNormalization")) == (3, 12)

    def test_residual_network_of_whole_size(self, tmp_path: Path) -> None:
        entry = zoo.entry("resnet18")
        module = zoo.seed_weights(zoo.build(entry.shape), 0)
        expected, got = exported(module, entry.image_shape, tmp_path / "x.onnx", 3)
        assert expected.shape == (2, 1000)
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())

    @pytest.mark.parametrize("slope", [0.0, 0.1])
    def test_every_kind_of_layer_of_a_branching_network(self, slope: float, tmp_path: Path) -> None:
        both = Fork(((Conv(3, (1, 3)),), (Conv(4, (7, 1)),)))
        fork = Fork(((AveragePool(), Conv(2)), (Conv(3, 5), both), (MaxPool(3, 1, pad=True),), ()))
        layers = (Conv(5, 3, 2), fork, MaxPool(2, 1), MaxPool(2, 2), Conv(6, 2, 2, pad=False), Conv(3, plain=True))
        shape = BranchingShape(layers=layers, classes=None, image_size=24, leaky_slope=slope)
        module = zoo.seed_weights(zoo.build(shape), 4)
        expected, got = exported(module, (3, 24, 24), tmp_path / "x.onnx", 5)
        assert expected.shape == (2, 3, 3, 3)
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
        operators = [node.op_type for node in onnx.load(tmp_path / "x.onnx").graph.node]
        assert operators.count("Concat") == 2
        assert ("LeakyRelu" in operators) == bool(slope)
        assert not set(operators) & {"Transpose", "Reshape", "Slice"}

    def test_a_flipped_bit_shows(self, tmp_path: Path) -> None:
        shape = ResNetShape(blocks=(1,), bottleneck=False, width=4, classes=3, image_size=16)
        module = zoo.seed_weights(ResNet(shape).eval(), 8)
        expected, _ = exported(module, (3, 16, 16), tmp_path / "x.onnx", 9)
        weight = next(layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d))
        with torch.no_grad():
            weight[0, 0, 3, 3].neg_()  # the sign bit of one weight
        _, got = exported(module, (3, 16, 16), tmp_path / "y.onnx", 9)
        assert np.abs(got - expected).max() > 1e-3
