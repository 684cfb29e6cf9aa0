"""Networks that were exported as integers in float clothes: recognized, and taken as they are."""

from sliceflow.quantization.integer_network.network import IntegerNetwork, find_integer_network
from sliceflow.quantization.integer_network.take import with_own_integers

__all__ = ["IntegerNetwork", "find_integer_network", "with_own_integers"]
