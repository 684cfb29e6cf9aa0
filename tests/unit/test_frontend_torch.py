"""Torch modules through export."""

from __future__ import annotations

import builtins

import numpy as np
import onnx
import pytest

from sliceflow.errors import UserError
from sliceflow.frontend.torch import export_module
from tests.support.models import operators, run_model

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            *(torch.nn.Conv2d(3, 6, 3, padding=1, bias=False), torch.nn.BatchNorm2d(6), torch.nn.ReLU6()),
            *(torch.nn.MaxPool2d(2), torch.nn.Dropout(), torch.nn.AdaptiveAvgPool2d(1)),
        )
        self.classifier = torch.nn.Linear(6, 4)

    def forward(self, x):
        y = self.features(x)
        return self.classifier(y.view(y.size(0), -1))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    module = Net()
    with torch.no_grad():
        module(torch.randn(8, 3, 8, 8))  # moves the running statistics
    return module.train()


@pytest.mark.parametrize("exporter", ["newer", "older"])
def test_a_module_keeps_its_outputs(net, exporter, monkeypatch, tmp_path):
    if exporter == "older":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = tmp_path / "net.onnx"
    model = export_module(net, torch.randn(2, 3, 8, 8), path, input_names=["image"], output_names=["scores"])
    assert operators(model) == ["Conv", "Clip", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm"]
    assert net.training, "the mode of the module was changed"
    onnx.checker.check_model(onnx.load(path))
    for batch in (1, 3):
        x = torch.randn(batch, 3, 8, 8)
        (found,) = run_model(model, {"image": x.numpy()})
        np.testing.assert_allclose(found, net.eval()(x).detach().numpy(), atol=1e-5)
        net.train()
    assert [value.name for value in model.graph.outputs] == ["scores"]


def test_without_torch(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match="torch is not installed") as caught:
        export_module(None, None)
    assert "sliceflow[torch]" in caught.value.fix


def test_wrong_arguments(net):
    with pytest.raises(UserError, match="not str"):
        export_module("net.pt", torch.zeros(1))
    with pytest.raises(UserError, match="example_inputs"):
        export_module(net, [1, 2])
    with pytest.raises(UserError, match="input names"):
        export_module(net, torch.zeros(1, 3, 8, 8), input_names=["a", "b"])


class Reads(torch.nn.Module):
    """A batch's size in the code: the older exporter takes it for a constant."""

    def __init__(self, how):
        super().__init__()
        self.layer, self.how = torch.nn.Linear(4, 3), how

    def forward(self, x):
        return self.how(self.layer(x))


@pytest.mark.parametrize(
    "how",
    [
        lambda y: torch.cat([y, torch.ones(y.shape[0], 1)], 1),
        lambda y: y.reshape(-1, 3, 1).amax(2),
        lambda y: torch.movedim(y[:, :, None].movedim(1, -1), -1, 1),
        lambda y: {"first": y, "rest": [y + 1]},
    ],
)
@pytest.mark.parametrize("older_first", [True, False])
def test_other_batches_run(how, older_first, capfd):
    module = Reads(how).eval()
    model = export_module(module, torch.randn(1, 4), older_first=older_first)
    for batch in (1, 5):
        x = torch.randn(batch, 4)
        wanted = module(x)
        wanted = [wanted["first"], *wanted["rest"]] if isinstance(wanted, dict) else [wanted]
        for found, tensor in zip(run_model(model, {"input": x.numpy()}), wanted, strict=True):
            np.testing.assert_allclose(found, tensor.detach().numpy(), atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_exported_is_one_message_and_nothing_else(capfd):
    module = Reads(lambda y: torch.cat([y, torch.ones(len(y), 1)], 1))
    with pytest.raises(UserError, match="cannot export") as caught:
        export_module(module, torch.randn(1, 4), older_first=True)
    assert "does not run on 3 examples" in caught.value.why
    assert "x.shape[0]" in caught.value.fix
    assert "\x1b" not in caught.value.why
    assert len(export_module(module, torch.randn(2, 4), dynamic_batch=False).graph.outputs) == 1
    assert capfd.readouterr() == ("", "")
