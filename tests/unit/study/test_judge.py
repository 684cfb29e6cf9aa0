"""Accuracy against scikit-learn, which counts in its own way."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score, top_k_accuracy_score

from sliceflow.errors import UserError
from sliceflow.study.judge import disagreements, judge


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_recall_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(6, 20))
    outputs = rng.standard_normal((200, classes)).astype(np.float32)
    targets = rng.integers(0, classes, 200)
    found = judge(outputs, targets)
    labels = np.arange(classes)
    assert found.top1 == pytest.approx(accuracy_score(targets, outputs.argmax(1)))
    assert found.top5 == pytest.approx(top_k_accuracy_score(targets, outputs, k=5, labels=labels))
    expected = recall_score(targets, outputs.argmax(1), labels=labels, average=None, zero_division=np.nan)
    np.testing.assert_allclose([np.nan if r is None else r for r in found.recall], expected)
    assert found.examples == 200


def test_maps_count_pixel_by_pixel() -> None:
    rng = np.random.default_rng(1)
    outputs, targets = rng.standard_normal((3, 4, 5, 6)), rng.integers(0, 4, (3, 5, 6))
    hits = [outputs[n, :, y, x].argmax() == targets[n, y, x] for n in range(3) for y in range(5) for x in range(6)]
    found = judge(outputs, targets)
    assert found.top1 == pytest.approx(np.mean(hits))
    assert found.top5 is None
    assert found.examples == 3


def test_a_class_without_examples_has_no_recall() -> None:
    assert judge(np.eye(3), np.array([0, 1, 1])).recall == (1.0, 0.5, None)


def test_equal_outputs_count_once() -> None:
    assert judge(np.zeros((10, 7)), np.arange(10) % 7).top1 == pytest.approx(0.2)  # class 0 comes first: 2 of 10


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (np.zeros((2, 3)), np.zeros(3, int)),
        (np.zeros((0, 3)), np.zeros(0, int)),
        (np.zeros((2, 3)), np.array([0, 3])),
        (np.zeros((2, 3)), np.array([0, -1])),
    ],
)
def test_what_does_not_fit_is_refused(outputs: np.ndarray, targets: np.ndarray) -> None:
    with pytest.raises(UserError):
        judge(outputs, targets)


def test_disagreements_name_the_examples() -> None:
    first = np.eye(4)
    second = first.copy()
    second[2] = [9, 0, 0, 0]
    assert disagreements(first, second) == [2]
    assert disagreements(first, 2 * first) == []
