"""Train, prune and fine-tune the digit networks that ship in ``models/``.

Writes ``mnist_vgg_dense.onnx``, ``mnist_vgg_pruned.onnx`` and ``mnist_vgg.json`` (accuracies, seeds, versions). The
same versions on the same kind of processor give the same files. One thread, under two minutes.

    python scripts/train_mnist.py
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from models import measure, zoo  # noqa: E402
from models.data import MNIST_SHA256, mnist5k  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.prune import prune_filters  # noqa: E402
from models.vgg import Vgg  # noqa: E402
from sliceflow.errors import SliceflowError  # noqa: E402
from sliceflow.files import write_file  # noqa: E402

SEED = 7
DENSE_EPOCHS = 12
FINE_TUNE_EPOCHS = 20
KEEP = 0.45
BATCH = 64
SMOOTHING = 0.1
MAX_SHIFT = 2.0
"""Pixels."""
MAX_TURN = 0.2
"""Radians."""
MAX_SCALE = 0.1


def distorted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [N, 1, H, W], each turned, scaled and moved a little at random, as handwriting varies."""

    def between(bound: float) -> Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * bound

    angle, scale = between(MAX_TURN), 1 + between(MAX_SCALE)
    shift = MAX_SHIFT * 2 / images.shape[-1]  # affine_grid counts the image as -1..1
    top = torch.stack([scale * angle.cos(), -scale * angle.sin(), between(shift)], 1)
    bottom = torch.stack([scale * angle.sin(), scale * angle.cos(), between(shift)], 1)
    grid = nn.functional.affine_grid(torch.stack([top, bottom], 1), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def train(model: Vgg, images: Tensor, labels: Tensor, *, epochs: int, peak_rate: float, seed: int) -> None:
    """Train in place: AdamW, one cycle of the learning rate, distorted images, smoothed labels."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=0.01)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rate, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        for batch in order[: len(images) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            logits = model(distorted(images[batch], generator))
            loss = nn.functional.cross_entropy(logits, labels[batch], label_smoothing=SMOOTHING)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"  epoch {epoch + 1:2} of {epochs}: loss {total / len(order):.4f}", flush=True)
    model.eval()


def accuracy(model: Vgg, images: Tensor, labels: Tensor) -> float:
    """Share of images [N, 1, H, W] whose largest logit is at their label."""
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def save(model: Vgg, name: str, folder: Path, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Export a network and return its record."""
    image_shape = (1, 28, 28)
    export_onnx(model, image_shape, folder / f"{name}.onnx")
    record = {
        "file": f"{name}.onnx",
        "accuracy": round(accuracy(model, images, labels), 4),
        "parameters": measure.parameters(model),
        "macs": measure.macs(model, image_shape),
        "channels": [width for stage in model.shape.stages for width in stage],
        "hidden": list(model.shape.hidden),
    }
    print(f"{name}: {record['accuracy']:.2%}, {record['parameters']:,} parameters, {record['macs']:,} MACs")
    return record


def tensors(images: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """NumPy arrays as torch tensors."""
    return torch.from_numpy(images), torch.from_numpy(labels)


def run(folder: Path) -> None:
    """Train both networks and write all three files into ``folder``."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    data = mnist5k()
    images, labels = tensors(data[0], data[1])
    held_back = tensors(data[2], data[3])

    dense = zoo.seed_weights(zoo.build(zoo.entry("vgg-mnist").shape), SEED)
    print("dense network")
    train(dense, images, labels, epochs=DENSE_EPOCHS, peak_rate=4e-3, seed=SEED)
    dense_record = save(dense, "mnist_vgg_dense", folder, *held_back)

    pruned = prune_filters(dense, KEEP)
    before = accuracy(pruned, *held_back)
    print(f"pruned to {KEEP:.0%} of its filters: {before:.2%} before fine-tuning")
    train(pruned, images, labels, epochs=FINE_TUNE_EPOCHS, peak_rate=3e-3, seed=SEED + 1)
    pruned_record = save(pruned, "mnist_vgg_pruned", folder, *held_back)

    record = {
        "command": "python scripts/train_mnist.py",
        "data": {"train": len(images), "held_back": len(held_back[0]), "mnist_5k.csv.gz sha256": MNIST_SHA256},
        "seed": SEED,
        "epochs": {"dense": DENSE_EPOCHS, "fine_tune": FINE_TUNE_EPOCHS},
        "filters_kept": KEEP,
        "accuracy_after_pruning_before_fine_tuning": round(before, 4),
        "networks": {"dense": dense_record, "pruned": pruned_record},
        "versions": {name: metadata.version(name) for name in ("torch", "onnx-ir", "onnxscript", "numpy", "mlxtend")},
    }
    write_file(folder / "mnist_vgg.json", (json.dumps(record, indent=2) + "\n").encode())


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train, prune and fine-tune the digit networks that ship in models/.")
    parser.add_argument("--output", type=Path, default=ROOT / "models", help="folder to write to (default: models/)")
    try:
        run(parser.parse_args().output)
    except (SliceflowError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
