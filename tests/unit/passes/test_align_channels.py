"""Coupled channels, and dropping them: against an account of the structure that knows no rule of an operator."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from sliceflow.alignment import Options
from sliceflow.build import Target, preview
from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import pack
from sliceflow.mapping.align import align_model, layer_uses
from sliceflow.mapping.layer_cycles import lanes, layer_cycles
from sliceflow.passes.align_channels import AlignChannels
from sliceflow.passes.channels.coupling import coupled_channels
from sliceflow.passes.channels.linear import Linear
from sliceflow.passes.remove_channels import RemoveChannels
from sliceflow.passes.simplify import SimplifyOptions, simplify
from tests.support.models import Graph, random_feeds, run_model
from tests.support.pruned_networks import PrunedNetwork, random_pruned, small_pruned

PROFILE = Profile.load("int8-8x8")
MODELS = Path(__file__).resolve().parents[3] / "models"
SMALL = dataclasses.replace(PROFILE, name="small", cpi=2, cpo=4)


def units(model: ir.Model, network: PrunedNetwork) -> dict[str, list[int]]:
    """For each layer's output, which unit each channel belongs to; -1 for channels that must stay."""
    outputs = {layer.output: len(layer.classes) for layer in network.layers}
    found = {name: [-1] * count for name, count in outputs.items()}
    number = 0
    for group in coupled_channels(model.graph):
        for value, places in group.members.items():
            for channel, row in enumerate(places):
                for place in row if value.name in found else ():
                    found[value.name][place] = number + channel
        number += group.size
    return found


@pytest.mark.parametrize("seed", range(40))
def test_coupling_is_what_the_structure_says(seed):
    network, proto = small_pruned(seed)
    model = load_model(proto)
    present = {value.name for node in model.graph for value in node.outputs}
    network.settle(present | {value.name for value in model.graph.inputs})
    found = units(model, network)
    held = {network.find(number) for number in network.inputs}
    matched: dict[int, int] = {}
    for layer in network.layers:
        for number, unit in zip(layer.classes, found[layer.output], strict=True) if layer.output in present else ():
            if network.find(number) in held:
                assert unit == -1, seed
            else:
                assert matched.setdefault(unit, network.find(number)) == network.find(number), seed
    assert len(set(matched.values())) == len(matched), seed
    assert -1 not in matched, seed


@pytest.mark.parametrize("seed", range(15))
def test_dropping_is_what_zero_weights_do(seed):
    network, proto = small_pruned(100 + seed)
    rng = np.random.default_rng(seed)
    model = load_model(proto)
    present = {value.name for node in model.graph for value in node.outputs}
    network.settle(present)
    chosen = {}

    def choose(groups):
        for group in groups:
            chosen[group.name] = rng.random(group.size) < 0.5
            chosen[group.name][rng.integers(group.size)] = True
        return chosen

    groups = coupled_channels(model.graph)
    AlignChannels(choose)(model)
    gone = set()
    classes = {layer.output: layer.classes for layer in network.layers}
    for group in groups:
        for value in group.members:
            if value.name in classes:
                mask = group.places(value, ~chosen[group.name])
                gone |= {network.find(classes[value.name][place]) for place in np.flatnonzero(mask)}
    RemoveChannels()(model)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    for layer in network.layers:
        array = numpy_helper.to_array(weights[layer.weight]).copy()
        if array.shape[1] == len(layer.source.classes):  # not depthwise
            array[:, [network.find(number) in gone for number in layer.source.classes]] = 0
            weights[layer.weight].CopyFrom(numpy_helper.from_array(array, layer.weight))
    for size in (7, 10):
        feeds = random_feeds(proto, 2, size, open_size=size)
        expected, found = run_model(proto, feeds)[0], run_model(model, feeds)[0]
        assert np.abs(expected - found).max() <= 1e-5 * max(1e-3, np.abs(expected).max()), seed
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    for group in coupled_channels(model.graph):
        assert group.size >= 1


def test_a_group_that_would_become_empty_is_refused():
    model = residual(0, 4, 4)
    with pytest.raises(ValueError, match="no channel of"):
        AlignChannels(lambda groups: {groups[0].name: np.zeros(groups[0].size, np.bool_)}).begin(model)


@pytest.mark.parametrize("broken", [False, True])
def test_one_reader_that_goes_on_reading_holds_a_channel(monkeypatch, broken):
    """The stem's channels are read by four layers; nothing is cut behind the back of one that was forgotten."""
    model = residual(4, 12, 10)
    if broken:
        clear = Linear.clear
        forgotten = [node.name for node in model.graph if node.op_type == "Conv"][1]
        monkeypatch.setattr(Linear, "clear", lambda s, gone: None if s.node.name == forgotten else clear(s, gone))
    (stem,) = [group for group in coupled_channels(model.graph) if group.size == 12]
    keep = np.arange(12) < 8
    AlignChannels(lambda groups: {stem.name: keep})(model)
    RemoveChannels()(model)
    left = next(node.outputs[0].shape[1] for node in model.graph if node.op_type == "Conv")
    assert left == (12 if broken else 8)
    run_model(model, random_feeds(ir.to_proto(model), 1))


def test_importance_is_the_norm_of_all_that_makes_a_channel():
    g = Graph(3)
    x = g.input("N", 3, 8, 8)
    first, second = g.rng.standard_normal((6, 3, 3, 3)), g.rng.standard_normal((6, 3, 1, 1))
    a = g.node("Conv", x, g.constant(first), pads=[1] * 4)
    total = g.node("Add", a, g.node("Conv", x, g.constant(second)))
    spread = g.node("Conv", total, g.constant(g.rng.standard_normal((6, 1, 3, 3))), group=6)
    model = load_model(g.model(g.node("Conv", spread, g.constant(g.rng.standard_normal((2, 6, 1, 1))))))
    (group,) = coupled_channels(model.graph)
    expected = [np.sqrt((first[c] ** 2).sum() + (second[c] ** 2).sum()) for c in range(6)]
    np.testing.assert_allclose(group.importance, expected, rtol=1e-5)


def predicted(model: ir.Model, profile: Profile) -> dict[str, tuple[int, float]]:
    """Cycles that the mapper predicts and useful products, by the first node of each layer."""
    program = pack(preview(model, Target(profile=profile)), profile, name="m")
    return {node: (layer.predicted_cycles, layer.macs) for layer in program.fpga_layers for node in layer.nodes[:1]}


@pytest.mark.parametrize("mode", ["down", "auto"])
@pytest.mark.parametrize("seed", range(12))
def test_random_networks_get_no_slower_and_waste_less(seed, mode):
    model = load_model(random_pruned(seed, 8))
    simplify(model, SimplifyOptions(check=False))
    before = {value.name: value.shape[1] for node in model.graph for value in node.outputs if value.shape}
    report = align_model(model, SMALL, Options(mode=mode, multiples=lanes(SMALL)))
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert report.cycles_after <= report.cycles_before
    assert min((group.after for group in report.groups), default=1) >= 1
    for group in report.groups:
        assert group.after == group.before or group.after % 2 == 0
        assert (group.loss > 0) == (group.after < group.before) or group.loss == 0
    sizes = {value.name: value.shape[1] for node in model.graph for value in node.outputs if value.shape}
    assert all(sizes[name] <= before[name] for name in sizes)
    assert report.changed == (sizes != {name: before[name] for name in sizes})
    feeds = random_feeds(ir.to_proto(model), 2, 8, open_size=8)
    assert np.isfinite(run_model(model, feeds)[0]).all()


def residual(seed: int, width: int, hidden: int) -> ir.Model:
    """A stem, residual blocks with depthwise layers, a concatenation, and a head."""
    g = Graph(seed)

    def conv(x: str, inputs: int, outputs: int, kernel: int = 3, **options) -> str:
        weights = g.rng.standard_normal((outputs, inputs // options.get("group", 1), kernel, kernel))
        y = g.node("Conv", x, g.constant(weights / 10), g.random(outputs), pads=[kernel // 2] * 4, **options)
        return g.node("Relu", y)

    x = conv(g.input("N", 3, 32, 32), 3, width, strides=[2, 2])
    for _ in range(2):
        y = conv(conv(x, width, hidden, 1), hidden, hidden, group=hidden)
        x = g.node("Add", x, conv(y, hidden, width, 1))
    x = g.node("Concat", x, conv(x, width, hidden), axis=1)
    x = conv(x, width + hidden, 20)
    x = g.node("Flatten", g.node("MaxPool", x, kernel_shape=[4, 4], strides=[4, 4]))
    return load_model(g.model(g.node("Gemm", x, g.random(7, 20 * 16), g.random(7), transB=1)))


@pytest.mark.parametrize("profile", ["int8-8x8", "int8-16x16"])
def test_cycles_of_shapes_are_those_of_the_mapper(profile):
    """Within 20 % for each layer, as a pool that is merged spares rows, and within 5 % in all."""
    accelerator = Profile.load(profile)
    for model in (
        residual(1, 29, 41),
        load_model(MODELS / "mnist_vgg_pruned.onnx"),
        load_model(MODELS / "mnist_vgg_dense.onnx"),
    ):
        shapes = {
            str(value.name): tuple([1, *value.shape[1:]])
            for value in (*model.graph.inputs, *(value for node in model.graph for value in node.outputs))
        }
        uses = layer_uses(model.graph, coupled_channels(model.graph), shapes)
        mapped = predicted(model, accelerator)
        mine = {use.name: layer_cycles(use.shape, accelerator) for use in uses}
        assert mine.keys() <= mapped.keys()
        total = sum(mapped[name][0] for name in mine)
        assert abs(sum(mine.values()) - total) <= 0.05 * total
        for name, cycles in mine.items():
            assert abs(cycles - mapped[name][0]) <= 0.2 * max(1000, mapped[name][0]), (name, cycles, mapped[name])


def test_lanes_in_use_rise_and_cycles_fall_as_the_mapper_counts_them():
    model = residual(2, 29, 41)
    old = predicted(model, PROFILE)
    report = align_model(model, PROFILE, Options(mode="down", multiples=lanes(PROFILE)))
    new = predicted(model, PROFILE)
    assert {group.before: group.after for group in report.groups} == {29: 24, 41: 40, 20: 16}
    (old_cycles, old_macs), (new_cycles, new_macs) = (
        map(sum, zip(*found.values(), strict=True)) for found in (old, new)
    )
    assert new_cycles < 0.85 * old_cycles
    assert new_macs / new_cycles > old_macs / old_cycles


def test_a_price_decides():
    sizes = []
    for price in (0.0, 1.0, 1e9):
        report = align_model(residual(2, 29, 41), PROFILE, Options(mode="auto", multiples=lanes(PROFILE), price=price))
        sizes.append(sum(group.after for group in report.groups))
    assert sizes[0] <= sizes[1] <= sizes[2]
    assert sizes[0] < sizes[2]
    assert not report.changed
