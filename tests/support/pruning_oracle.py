"""What can be removed from a small network, found by running it: no rule about any operator is used.

A channel of a layer is *constant* if it has one value at all places for many inputs of two sizes, *idle* if other
weights in its place do not change the outputs. A class of coupled channels may go if each of them is constant or idle.
Where constants meet zero padding, one must be left over for each reader: the fewest classes that serve all readers are
searched for.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.support.models import random_feeds, run_model
from tests.support.pruned_networks import PrunedLayer, PrunedNetwork

_SAME = 1e-6
_IMAGES = 20
_SIZES = (7, 10)


def _images(model: onnx.ModelProto, size: int) -> dict[str, np.ndarray]:
    """Images of many brightnesses and contrasts, so that hardly an activation is off or saturated for all of them."""
    rng = np.random.default_rng(0)
    feed = random_feeds(model, _IMAGES, open_size=size)
    spread = {name: 10 ** rng.uniform(-1, 1.5, (_IMAGES, array.shape[1], 1, 1)) for name, array in feed.items()}
    shift = {name: 10 * rng.standard_normal((_IMAGES, array.shape[1], 1, 1)) for name, array in feed.items()}
    return {name: (array * spread[name] + shift[name]).astype(np.float32) for name, array in feed.items()}


def _observe(model: onnx.ModelProto, names: list[str], feeds: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Tensors as ``[C, everything else]``."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    runs = [run_model(probe, feed) for feed in feeds]
    flat = [[np.moveaxis(array, 1, 0).reshape(array.shape[1], -1) for array in run] for run in runs]
    return {name: np.concatenate([run[i] for run in flat], axis=1) for i, name in enumerate(names)}


def _constant(values: np.ndarray) -> np.ndarray:
    return np.ptp(values, axis=1) <= _SAME * np.abs(values).max(axis=1)


def _alive(model: onnx.ModelProto) -> set[str]:
    """The tensors that the outputs are computed from, with whatever weights."""
    alive = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if alive & set(node.output):
            alive |= set(node.input)
    return alive


def _idle(model: onnx.ModelProto, layer: PrunedLayer, channel: int, feed: dict[str, np.ndarray]) -> bool:
    """Whether other weights of one output channel change nothing."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tensor = next(t for t in changed.graph.initializer if t.name == layer.weight)
    weights = numpy_helper.to_array(tensor).copy()
    weights[channel] = np.random.default_rng(channel).uniform(1, 2, weights[channel].shape)
    tensor.CopyFrom(numpy_helper.from_array(weights, layer.weight))
    before, after = run_model(model, feed)[0], run_model(changed, feed)[0]
    return bool((np.abs(before - after) <= _SAME * np.abs(before).max(axis=(1, 2, 3), keepdims=True)).all())


def fewest_kept(network: PrunedNetwork, model: onnx.ModelProto) -> tuple[set[int], int]:
    """The classes that must stay, and how many more must."""
    alive = _alive(model)
    network.settle(alive)
    feeds = [_images(model, size) for size in _SIZES]
    names = [*{layer.output: 0 for layer in network.layers}, *{layer.source.name: 0 for layer in network.layers}]
    seen = _observe(model, list(dict.fromkeys(names)), feeds)
    must = {network.find(number) for number in network.inputs}
    live = {}
    for layer in network.layers:
        fixed = _constant(seen[layer.output])
        live[layer.output] = [c for c in np.flatnonzero(~fixed) if not _idle(model, layer, c, feeds[0])]
        must |= {network.find(layer.classes[c]) for c in live[layer.output]}
    tensors = {tensor.name: tensor.classes for tensor in (*network.tensors, *(x.source for x in network.layers))}
    tensors |= {layer.output: list(layer.classes) for layer in network.layers}
    demands = [{network.find(c) for c in classes} for name, classes in tensors.items() if name in alive]
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for layer in network.layers:
        source = seen[layer.source.name]
        steady = _constant(source) & (np.abs(source).max(axis=1) > _SAME)
        read = (weights[layer.weight][live[layer.output]] != 0).any(axis=(0, 2, 3))
        if layer.output in alive and layer.padded and len(read) == len(steady) and (steady & read).any():
            demands.append({network.find(layer.source.classes[c]) for c in np.flatnonzero(steady)})
    open_demands = [demand for demand in demands if not demand & must]
    return must, _hitting(open_demands)


def _hitting(demands: list[set[int]]) -> int:
    """The size of the smallest set that meets all of them."""
    candidates = sorted(set().union(*demands))
    for size in range(len(demands) + 1):
        for chosen in itertools.combinations(candidates, size):
            if all(demand & set(chosen) for demand in demands):
                return size
    raise ValueError("a demand is empty")
