"""Neurons at equilibrium: training that leaves out what has settled."""
