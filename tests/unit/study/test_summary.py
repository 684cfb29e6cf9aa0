"""Means, deviations, ratios and Pareto fronts against NumPy and brute force."""

import itertools

import numpy as np
import pytest

from sliceflow.study.cautions import cautions
from sliceflow.study.sections import StudySection
from sliceflow.study.summary import Spread, fronts, pareto, summarize


def document(kind: str, method: str, ratio: float, seed: int, size: int, right: float, **more: object) -> dict:
    accuracy = {"top1": right, "top5": 1.0, "recall": [right, None, right / 2], "examples": 100}
    hardware = {"accuracy": accuracy, "cycles": 10 * size, "lanes_used": 0.5, "weight_bytes": size, "fpga_share": 1.0}
    layers = [{"outputs": 4}, {"outputs": 2}]
    measurement = {
        "accuracy": accuracy,
        "parameters": size,
        "nonzero": size if ratio == 8 else size // 2,
        "macs": 3 * size,
        "layers": layers,
        "hardware": {**hardware, **more},
    }
    found = {
        "cell": {"kind": kind, "method": method, "ratio": ratio, "seed": seed},
        "measurement": measurement,
        "epochs": 4,
        "share": 0.5,
        "notes": [],
    }
    if kind != "unpruned":
        found["against_unpruned"] = {"speed_up_onnx_runtime": 1.5, "disagreements": 3}
    return found


def documents() -> list[dict]:
    return [
        *(document("unpruned", "", 0, seed, 1000, 0.9 + seed / 100) for seed in range(3)),
        *(document("pruned", "l2-filter", 4, seed, 200 + 50 * seed, 0.8 + seed / 50) for seed in range(3)),
        *(document("pruned", "random", 4, seed, 250, 0.8) for seed in range(3)),
    ]


def test_rows_hold_means_and_sample_deviations_over_seeds() -> None:
    dense, pruned, random = summarize(documents())
    accuracies = np.array([0.8, 0.82, 0.84])
    assert pruned.figures["accuracy"].mean == pytest.approx(accuracies.mean())
    assert pruned.figures["accuracy"].deviation == pytest.approx(accuracies.std(ddof=1))
    changes = accuracies - [0.9, 0.91, 0.92]
    assert pruned.figures["accuracy_change"].deviation == pytest.approx(changes.std(ddof=1))
    assert pruned.seeds == (0, 1, 2)
    assert dense.figures["compression"].mean == 1
    assert random.label == "random"


def test_ratios_are_the_original_divided_by_what_remains() -> None:
    pruned = summarize(documents())[1].figures
    assert pruned["compression"].values == (1000 / 200, 1000 / 250, 1000 / 300)
    assert pruned["compression_nonzero"].values == (10, 8, 1000 / 150)
    assert pruned["speed_up_theoretical"].values == pruned["speed_up_hardware"].values == (5, 4, 1000 / 300)
    assert pruned["speed_up_software"].mean == 1.5


def test_recall_changes_are_paired_by_seed_and_absent_classes_stay_out() -> None:
    recall = summarize(documents())[1].recall
    assert recall[1] is None
    assert recall[0] is not None
    assert recall[0].values == pytest.approx((-0.1, -0.09, -0.08))


def test_a_cell_without_its_unpruned_network_is_left_out() -> None:
    found = [one for one in documents() if one["cell"] != {"kind": "unpruned", "method": "", "ratio": 0, "seed": 1}]
    assert summarize(found)[1].seeds == (0, 2)


def test_one_seed_has_no_deviation() -> None:
    assert Spread.of([3.0]) == Spread(3.0, None, (3.0,))


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_nothing_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [tuple(point) for point in rng.integers(0, 6, (12, 2)).tolist()]

    def beaten(i: int) -> bool:
        return any(
            points[j] != points[i] and points[j][0] <= points[i][0] and points[j][1] >= points[i][1]
            for j in range(len(points))
        )

    expected = {i for i in range(len(points)) if not beaten(i)}
    found = pareto(points)
    assert set(found) == expected
    assert all(points[a][0] <= points[b][0] for a, b in itertools.pairwise(found))


def test_fronts_name_rows() -> None:
    rows = summarize(documents())
    assert fronts(rows)["cycles"] == [1, 0]  # random costs as much as l2-filter, and is worse


def test_cautions_name_what_is_doubtful() -> None:
    study = StudySection(methods=("l2-filter",), ratios=(4,), seeds=(0, 1, 2))
    recipe = {"model": {"build": "models.lenet:LeNet5", "weights": "x.pt"}, "data": {"load": "mnist5k"}}
    found = [*documents(), *(document("pruned", "l2-filter", 8, s, 900, 0.8, fpga_share=0.5) for s in range(3))]
    texts = "\n".join(cautions(study, recipe, summarize(found), 100))
    for words in (
        "mnist, lenet",
        "Few ratios (1)",
        "same trained weights",
        "1 points of accuracy",
        "l2-filter at 8: asked for 8 times fewer parameters, got 1.11 times",
        "l2-filter at 8: 50.0% of the MACs run on the CPU",
        "zeros",
        "l2-filter is not better than random by more than their deviations, at 4",
        "recall falls by up to 11.0 points in class 0, 2",
    ):
        assert words in texts, (words, texts)
    assert "no random control" not in texts


def test_a_clear_winner_is_not_doubted() -> None:
    study = StudySection(methods=("l2-filter",), ratios=(4,), seeds=(0, 1, 2))
    recipe = {"model": {"build": "a:b", "weights": None}, "data": {"load": "photos"}}
    found = [
        *(document("unpruned", "", 0, seed, 1000, 0.9) for seed in range(3)),
        *(document("pruned", "l2-filter", 4, seed, 250, 0.89) for seed in range(3)),
        *(document("pruned", "random", 4, seed, 250, 0.5) for seed in range(3)),
    ]
    texts = "\n".join(cautions(study, recipe, summarize(found), 20_000))
    assert "not better" not in texts
    assert "toy" not in texts
