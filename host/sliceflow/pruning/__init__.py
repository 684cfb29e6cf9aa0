"""Pruning of torch networks: what goes, when, and how the rest is trained.

``training`` trains and remembers; ``channels`` knows which channels belong together, cuts and aligns them. On these
stand the methods, all behind one interface (``method``) and found by name (``methods``): ``scored`` (score, select,
mask, train), ``regularized`` (SeReNe, LOBSTER), ``structures``, ``blocks``. ``equilibrium`` shortens training,
``sweep`` and ``psp_entropy`` analyse, ``recipes`` carry all of it out from a file.

What pruning has made useless is removed exactly by ``channels.shrink`` from a torch module, or by
``sliceflow.passes.simplify`` from an ONNX model. Only this folder and ``frontend/torch.py`` import torch.
"""
