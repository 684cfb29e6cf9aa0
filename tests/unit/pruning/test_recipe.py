"""Recipes, the data and networks they name, and what happens when something in them is wrong."""

import json
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from sliceflow.errors import UserError
from sliceflow.pruning.methods import make_method
from sliceflow.pruning.options import parse
from sliceflow.pruning.recipes.pipeline import prune_recipe
from sliceflow.pruning.recipes.recipe import Recipe, load_recipe
from sliceflow.pruning.recipes.sources import build_model, build_task, check_fit, load_weights, read_examples
from sliceflow.pruning.training.fit import Training
from sliceflow.pruning.training.run import Run
from tests.support.pruning_networks import digit_net, same_state

MINIMAL = """
[model]
build = "net.py:make"
[data]
load = "net.py:sets"
batch = 16
[pretrain]
epochs = 1
[finetune]
epochs = 1
learning_rate = 1
milestones = [2, 3]
"""
NET = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def make(width=4):
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 36, 3))

def sets(count=40):
    def some(n):
        return TensorDataset(torch.rand(n, 1, 8, 8), torch.arange(n) % 3)
    return some(count), None, some(10)

def absolute(outputs, targets):
    return (outputs.argmax(1) - targets).abs().float().mean() + outputs.sum() * 0

def hits(outputs, targets):
    return (outputs.argmax(1) == targets).double()

def broken():
    raise ZeroDivisionError("no luck")

value = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def recipe(folder, text=MINIMAL, **changes):
    (folder / "r.toml").write_text(text)
    return load_recipe(folder / "r.toml", changes)


def prepare(folder, text):
    loaded = recipe(folder, text)
    check_fit(build_model(loaded), build_task(loaded))


def refused(folder, text):
    with pytest.raises(UserError) as caught:
        prepare(folder, text)
    return str(caught.value)


def test_defaults_and_what_is_written(folder):
    loaded = recipe(folder)
    assert loaded.finetune == Training(epochs=1, learning_rate=1.0, milestones=(2, 3))
    assert (loaded.prune.method, loaded.prune.ratio, loaded.task.loss) == ("l1-filter", 0.5, "cross-entropy")
    document = json.loads(json.dumps(loaded.to_json()))
    assert parse(Recipe, document, "again") == parse(Recipe, loaded.to_json(), "here")
    assert recipe(folder, prune={"method": "taylor", "ratio": 0.25}).prune.ratio == 0.25


def test_networks_and_data_from_a_file(folder):
    loaded = recipe(folder, MINIMAL.replace('make"', 'make"\narguments = { width = 7 }'))
    one, two = build_model(loaded), build_model(loaded)
    assert one[0].out_channels == 7
    assert same_state(one, two), "the seed decides"
    assert not same_state(one, build_model(loaded, seed=1))
    task = build_task(loaded)
    check_fit(one, task)
    sizes = [sum(len(x) for x, _ in loader) for loader in (task.train, task.validation, task.test)]
    assert sizes == [36, 4, 10]


def test_validation_is_held_out_and_shuffling_depends_on_torchs_seed(folder):
    x = np.arange(50, dtype=np.float32)[:, None] + np.zeros((1, 2), np.float32)
    for name in ("a", "b"):
        np.savez(folder / f"{name}.npz", input=x, label=np.arange(50) % 2)
    text = MINIMAL.replace('load = "net.py:sets"', 'train = "a.npz"\ntest = "b.npz"\nvalidation_share = 0.2')
    task = build_task(recipe(folder, text))

    def numbers(loader):
        return [int(v) for batch, _ in loader for v in batch[:, 0]]

    train, validation = numbers(task.train), numbers(task.validation)
    assert sorted(train + validation) == list(range(50))
    assert len(validation) == 10
    assert numbers(build_task(recipe(folder, text)).validation) == validation
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        orders.append(numbers(task.train))
    assert orders[0] == orders[1] != orders[2]


def test_a_single_example_is_not_a_batch_to_train_with(folder):
    text = MINIMAL.replace('sets"', 'sets"\narguments = { count = 37 }')  # 33 to train with
    assert [len(x) for x, _ in build_task(recipe(folder, text)).train] == [16, 16]


def test_own_losses_and_metrics(folder):
    task = build_task(recipe(folder, MINIMAL + '[task]\nloss = "net.py:absolute"\nmetric = "net.py:hits"\n'))
    outputs, targets = torch.eye(3), torch.tensor([0, 1, 1])
    assert float(task.loss(outputs, targets)) == pytest.approx(1 / 3)
    assert task.metric(outputs, targets).tolist() == [1, 1, 0]


WRONG = {
    "unknown key": (MINIMAL.replace("batch", "bach"), ("data.bach", "'batch'")),
    "unknown section": (MINIMAL + "[tune]\n", ("tune: there is no such key",)),
    "missing section": (MINIMAL.replace("[finetune]", "[deploy]"), ("finetune", "missing")),
    "two problems": (MINIMAL.replace("batch = 16", 'batch = "x"\nsed = 1'), ("data.batch", "data.sed", "2 options")),
    "type": (MINIMAL.replace("epochs = 1", "epochs = 1.5"), ("pretrain.epochs", "1.5")),
    "bool": (MINIMAL.replace("epochs = 1", "epochs = true"), ("pretrain.epochs",)),
    "choice": (MINIMAL + 'optimizer = "adam"\n', ("finetune.optimizer", "adamw")),
    "range": (MINIMAL.replace("epochs = 1", "epochs = -1"), ("negative",)),
    "share": (MINIMAL.replace("batch = 16", "validation_share = 1.0"), ("validation_share", "[data]")),
    "folder": ('folder = "x"\n' + MINIMAL, ("folder",)),
    "section as a value": ("prune = 3\n" + MINIMAL, ("prune",)),
    "toml": (MINIMAL + "x = = 3\n", ("cannot be read", "line")),
    "both sources": (MINIMAL.replace("batch = 16", 'train = "a.npz"'), ("either `load`",)),
    "no test": (MINIMAL.replace('load = "net.py:sets"', 'train = "a.npz"'), ("`train` and `test`",)),
    "no file": (MINIMAL.replace("net.py:make", "nut.py:make"), ("cannot be imported", "nut.py")),
    "no module": (MINIMAL.replace("net.py:make", "no.such:make"), ("cannot be imported", "no")),
    "no function": (MINIMAL.replace("net.py:make", "net.py:mak"), ("no function 'mak'",)),
    "no callable": (MINIMAL.replace("net.py:make", "net.py:value"), ("no function 'value'",)),
    "no reference": (MINIMAL.replace("net.py:make", "net.py"), ("does not name a function",)),
    "arguments": (MINIMAL.replace('make"', 'make"\narguments = { wide = 7 }'), ("failed", "wide")),
    "it raises": (MINIMAL.replace("net.py:make", "net.py:broken"), ("broken failed", "no luck")),
    "no module returned": (MINIMAL.replace("net.py:make", "net.py:sets"), ("not a torch.nn.Module", "[model] build")),
    "no sets returned": (MINIMAL.replace("net.py:sets", "net.py:make"), ("three data sets", "[data] load")),
    "loss": (MINIMAL + '[task]\nloss = "mse"\n', ("not known", "cross-entropy")),
    "metric": (MINIMAL + '[task]\nmetric = "net.py:absolute"\n', ("one number for each example",)),
    "shapes": (MINIMAL.replace("net.py:make", "net2.py:make"), ("do not fit together", "training")),
    "empty": (MINIMAL.replace('sets"', 'sets"\narguments = { count = 0 }'), ("empty", "training")),
    "too few": (MINIMAL.replace('sets"', 'sets"\narguments = { count = 2 }'), ("do not suffice",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(folder, name):
    (folder / "net2.py").write_text(NET.replace("nn.Conv2d(1,", "nn.Conv2d(5,"))
    text, parts = WRONG[name]
    message = refused(folder, text)
    assert all(part in message for part in parts), message
    assert message.count("\n") < 9
    assert "Traceback" not in message


def test_files_that_are_not_there(folder):
    with pytest.raises(UserError, match="recipe cannot be read"):
        load_recipe(folder / "none.toml")
    (folder / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="recipe cannot be read"):
        load_recipe(folder / "b.toml")
    text = MINIMAL.replace('make"', 'make"\nweights = "w.safetensors"')
    assert "w.safetensors" in refused(folder, text)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_weights(tmp_path, suffix):
    model, other, path = digit_net(), digit_net(seed=1), tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(model.state_dict(), path)
    else:
        safetensors.torch.save_file(model.state_dict(), path)
    load_weights(other, path)
    assert same_state(model, other)
    with pytest.raises(UserError, match="another network") as caught:
        load_weights(digit_net(width=5), path)
    assert "of another shape" in caught.value.why
    with pytest.raises(UserError, match="another network"):
        load_weights(torch.nn.Linear(1, 1), path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "npz"])
@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "pickle", "folder", "other", "nan", "flipped"])
def test_hostile_files(tmp_path, suffix, damage):
    path, model = tmp_path / f"w.{suffix}", digit_net()
    if damage == "nan":
        model[0].weight.data[0] = torch.nan
    if suffix == "pt":
        torch.save(model.state_dict() if damage != "other" else [1, 2], path)
    elif suffix == "npz":
        x = np.full((3, 2), np.nan if damage == "nan" else 1.0, np.float32)
        np.savez(path, **({"input": x, "label": np.arange(3)} if damage != "other" else {"x": x}))
    else:
        safetensors.torch.save_file(model.state_dict() if damage != "other" else {"x": torch.ones(1)}, path)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[3] ^= 0xFF
    content = {"empty": b"", "cut": data[: len(data) // 2], "noise": bytes(range(256)), "pickle": pickle.dumps(Bomb())}
    path.write_bytes(content.get(damage, data))
    if damage == "folder":
        path.unlink()
        path.mkdir()
    with pytest.raises(UserError) as caught:
        read_examples(path) if suffix == "npz" else load_weights(model, path)
    assert str(path) in caught.value.where
    assert len(str(caught.value)) < 1000


def test_examples_are_checked(tmp_path):
    path = tmp_path / "e.npz"
    good = {"input": np.ones((4, 3), np.uint8), "label": np.arange(4, dtype=np.int32)}
    np.savez(path, **good)
    x, y = read_examples(path).tensors
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    for wrong in (
        {"label": np.arange(3)},
        {"label": np.ones(4)},
        {"input": np.ones((4, 1), complex)},
        {"input": np.ones(4)},
    ):
        np.savez(path, **{**good, **wrong})
        with pytest.raises(UserError):
            read_examples(path)
    np.savez(path, input=np.array([{}], object), label=np.arange(1))
    with pytest.raises(UserError, match="cannot be read"):
        read_examples(path)


def test_neurons_at_equilibrium_stand_still_while_the_network_is_trained(folder):
    found = {}
    for section in ("", "[equilibrium]\nepsilon = 10.0\nimages = 3\n", "[equilibrium]\nepsilon = 0.0\n"):
        loaded = recipe(
            folder, MINIMAL.replace("epochs = 1\n[fine", f"epochs = 3\nlearning_rate = 0.1\n{section}[fine")
        )
        pruned = prune_recipe(loaded, Run())
        frozen = [cost.frozen for cost in pruned.backward]
        found[section] = frozen, pruned.dense
    (none, plain), (frozen, held), (never, same) = found.values()
    assert none == []
    assert frozen == [0, 4, 4], "all that can, from the second epoch on"
    assert never == [0, 0, 0]
    assert all(torch.equal(value, same[name]) for name, value in plain.items())
    assert not torch.equal(plain["0.weight"], held["0.weight"])
    with pytest.raises(UserError, match="there is none"):
        prune_recipe(recipe(folder, MINIMAL.replace("[pretrain]\nepochs = 1", "[equilibrium]")), Run())


def test_presets_of_methods():
    method = make_method("serene", preset="thesis")
    assert (method.drop, method.resplit, method.initial) == (0.0, True, True)
    assert make_method("serene").drop is None
    assert make_method("serene", preset="thesis", drop=0.02).drop == 0.02
    with pytest.raises(UserError, match="no preset 'paper'") as caught:
        make_method("serene", preset="paper")
    assert "thesis" in caught.value.fix
    with pytest.raises(UserError, match="wrong"):
        make_method("lobster", preset="thesis")


def test_serene_of_the_thesis_from_a_recipe(folder):
    options = 'options = { preset = "thesis", tolerance = 1.0, rounds = 2 }'
    loaded = recipe(folder, MINIMAL + f'[prune]\nmethod = "serene"\nratio = 0.9\n{options}\n')
    log = prune_recipe(loaded, Run()).outcome.log
    assert [record["round"] for record in log] == list(range(len(log)))
    assert all("metric" in record for record in log)
