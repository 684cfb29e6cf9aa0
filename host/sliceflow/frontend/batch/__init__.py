"""Which axes of a model count images."""

from sliceflow.frontend.batch.find import Batch, Mixing, closed, find_batch, open_axes, verify_inference

__all__ = ["Batch", "Mixing", "closed", "find_batch", "open_axes", "verify_inference"]
