"""Checksums of data and networks, by which results are told apart."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from sliceflow.pruning.training.task import Task


def of_task(task: Task) -> str:
    """SHA-256 of all examples of a task, in the order in which they come.

    Augmentation and shuffling draw from torch's global generator, which is seeded here and restored.
    """
    digest = hashlib.sha256()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for loader in (task.train, task.validation, task.test):
            for inputs, targets in loader:
                for tensor in (inputs, targets):
                    digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
                    digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def of_model(model: nn.Module) -> str:
    """SHA-256 of a network's tensors: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
