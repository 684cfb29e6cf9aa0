"""Deploys structurally pruned and quantized neural networks on FPGAs."""
