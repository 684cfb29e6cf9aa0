"""How well a classifier answers: top-1, top-5, and the recall of each class."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError

Array = NDArray[Any]
MANY_CLASSES = 5
"""With more classes than this, top-5 says something."""


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Shares, 0 to 1, over all examples (over all pixels where the network makes maps).

    Attributes:
        top1: the largest output is the target.
        top5: the target is among the five largest outputs; None for five classes or fewer.
        recall: for each class the share of its examples that are found; None for a class without examples.
        examples: images judged.
    """

    top1: float
    top5: float | None
    recall: tuple[float | None, ...]
    examples: int


def judge(outputs: Array, targets: Array) -> Accuracy:
    """Compare outputs with targets.

    Args:
        outputs: ``[N, C]``, or ``[N, C, H, W]`` for maps. Of equal outputs the first counts as larger.
        targets: ``[N]`` or ``[N, H, W]``, class indices.

    Raises:
        UserError: the shapes do not belong together, there is no example, or a target is not a class.
    """
    if outputs.ndim < 2 or outputs.shape[:1] + outputs.shape[2:] != targets.shape or not targets.size:
        raise UserError(
            "outputs and targets do not belong together",
            where="accuracy",
            why=f"outputs {outputs.shape}, targets {targets.shape}",
            fix="give one class index for each example (or pixel), and at least one example",
        )
    classes = outputs.shape[1]
    scores, wanted = np.moveaxis(outputs, 1, -1).reshape(-1, classes), targets.reshape(-1)
    if wanted.min() < 0 or wanted.max() >= classes:
        raise UserError(
            f"a target is not one of the {classes} classes", where="accuracy", why=f"{wanted.min()} to {wanted.max()}"
        )
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :MANY_CLASSES]
    hits = ranked == wanted[:, None]
    examples, found = (np.bincount(wanted[of], minlength=classes) for of in (slice(None), hits[:, 0]))
    recall = tuple(float(right / count) if count else None for right, count in zip(found, examples, strict=True))
    top5 = float(hits.any(axis=1).mean()) if classes > MANY_CLASSES else None
    return Accuracy(float(hits[:, 0].mean()), top5, recall, len(outputs))


def disagreements(first: Array, second: Array) -> list[int]:
    """Examples that two networks put into different classes, by index.

    Args:
        first: outputs of one network, ``[N, C]`` or ``[N, C, H, W]``.
        second: outputs of the other for the same examples.
    """
    differing = first.argmax(axis=1) != second.argmax(axis=1)
    return [int(index) for index in np.flatnonzero(differing.reshape(len(differing), -1).any(axis=1))]
