"""Trained networks that packages carry, with images: digits, super resolution, text detection and recognition.

The text networks are those of rapidocr-onnxruntime (Apache-2.0). Their images are drawn here: words on plain paper and
on the two photographs of scikit-learn.
"""

from __future__ import annotations

import dataclasses
import keyword
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from models.data import mnist5k
from scripts.figures.real_networks import NETWORKS, package_file
from sliceflow.frontend import load_model

Array = NDArray[Any]
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
_STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network with samples.

    Attributes:
        name: its name.
        model: normalized.
        calibration, test: samples of its one input.
        decide: what is decided by the first output, one row for each sample, to be compared with ``==``; None if the
            output is an image.
        labels: right decisions; None if there are none.
    """

    name: str
    model: ir.Model
    calibration: Array
    test: Array
    decide: Callable[[Array], Array] | None = None
    labels: Array | None = None

    @property
    def input(self) -> str:
        """Name of the input."""
        return str(self.model.graph.inputs[0].name)


def trained_networks(images: int) -> Iterator[Trained]:
    """All of them, each when it is asked for.

    Args:
        images: of digits; the others have a dozen.
    """
    train, _, test, labels = mnist5k()
    for network in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            model = network.load(Path(folder))
        calibration, judged_by = network.prepare(train[:256]), network.prepare(test[:images])
        yield Trained(network.name, model, calibration, judged_by, _best, labels[:images])
    for kind in ("nn_resize", "subpixel"):
        model = load_model(package_file("qonnx", f"bsd300x3-espcn/{kind}/float_model.onnx"))
        side, grey = int(model.graph.inputs[0].shape[2]), model.graph.inputs[0].shape[1] == 1
        yield Trained(f"ESPCN, {kind}", model, _crops(16, side, 6, grey=grey), _crops(12, side, 7, grey=grey))
    ending = "models/ch_PP-OCRv4_{}_infer.onnx"
    model = load_model(package_file("rapidocr-onnxruntime", ending.format("det")), input_shapes={"x": [1, 3, 320, 320]})
    pages = [(_pages(count, 320, 320, seed) - _MEAN) / _STD for count, seed in ((16, 0), (12, 1))]
    yield Trained("PP-OCRv4 detector", model, pages[0], pages[1], lambda y: y > 0.3)
    model = load_model(package_file("rapidocr-onnxruntime", ending.format("rec")), input_shapes={"x": [1, 3, 48, 320]})
    lines = [_pages(count, 320, 48, seed) * 2 - 1 for count, seed in ((16, 4), (12, 5))]
    yield Trained("PP-OCRv4 recognizer", model, lines[0], lines[1], _best)


def agreement(network: Trained, exact: Array, found: Array) -> float:
    """Share of the float model's decisions that are kept.

    For yes and no (pixels of text) it is the intersection over the union of what either says is text: most pixels are
    not, which would hide all.
    """
    if network.decide is None:
        return float("nan")
    one, other = network.decide(exact), network.decide(found)
    if one.dtype == bool:
        return float((one & other).sum() / max((one | other).sum(), 1))
    return float((one == other).mean())


def _best(scores: Array) -> Array:
    return np.asarray(scores.reshape(len(scores), -1, scores.shape[-1]).argmax(-1))


def _crops(count: int, side: int, seed: int, *, grey: bool) -> Array:
    from sklearn.datasets import load_sample_images

    rng, found = np.random.default_rng(seed), []
    photos = load_sample_images().images
    for index in range(count):
        photo = photos[index % len(photos)].astype(np.float32) / 255
        top, left = (int(rng.integers(0, size - side)) for size in photo.shape[:2])
        crop = photo[top : top + side, left : left + side]
        found.append(crop.mean(-1)[None] if grey else crop.transpose(2, 0, 1))
    return np.stack(found).astype(np.float32)


def _pages(count: int, width: int, height: int, seed: int) -> Array:
    """Images of words, [count, 3, height, width], 0 to 1."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont
    from sklearn.datasets import load_sample_images

    fonts = sorted((Path(matplotlib.__file__).parent / "mpl-data/fonts/ttf").glob("DejaVu*.ttf"))
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng, found = np.random.default_rng(seed), []
    line = height < 100
    for _ in range(count):
        if rng.random() < 0.5:
            left, top = int(rng.integers(0, 640 - width)), int(rng.integers(0, 427 - height))
            image = photos[rng.integers(len(photos))].crop((left, top, left + width, top + height))
        else:
            image = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(150, 256, 3)))
        draw = ImageDraw.Draw(image)
        for _ in range(1 if line else int(rng.integers(4, 12))):
            size = int(height * 0.6) if line else int(rng.integers(14, 40))
            place = (6, 4) if line else (int(rng.integers(0, width * 3 // 4)), int(rng.integers(0, height * 9 // 10)))
            font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), size)
            color = tuple(int(v) for v in rng.integers(0, 256, 3))
            draw.text(place, " ".join(rng.choice(keyword.kwlist, 2)), fill=color, font=font)
        found.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
    return np.stack(found)
