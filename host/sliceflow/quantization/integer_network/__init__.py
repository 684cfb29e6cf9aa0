"""Networks that were exported as integers in float clothes: recognized, and taken as they are."""

from sliceflow.quantization.integer_network.network import IntegerNetwork, find_integer_network

__all__ = ["IntegerNetwork", "find_integer_network"]
