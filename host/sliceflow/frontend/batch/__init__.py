"""Which axes of a model count images."""

from sliceflow.frontend.batch.find import Batch, Mixing, closed, find_batch, open_axes, verify_inference
from sliceflow.frontend.batch.sizes import contradiction

__all__ = ["Batch", "Mixing", "closed", "contradiction", "find_batch", "open_axes", "verify_inference"]
