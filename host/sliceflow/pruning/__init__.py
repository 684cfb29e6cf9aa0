"""Pruning of torch networks: what goes, when, and how the rest is trained.

A method scores weights or channel groups (``criteria``), selects what goes (``selection``), masks it (``masks``) and
trains what is left (``training``). What pruning has made useless is removed exactly by ``shrink`` from a torch module,
or by ``sliceflow.passes.simplify`` from an ONNX model.

Only this folder and ``frontend/torch.py`` import torch.
"""
