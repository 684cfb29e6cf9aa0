"""Weights against units: the same shares of a trained fully connected network pruned in both ways, without training.

``prune`` makes pruned copies, ``coo`` runs them with sparse matrices, ``timing`` measures, ``diagnostics`` tells which
weights went. Units that are gone are cut out by ``sliceflow.pruning.channels.shrink``.

Sources: N. Gnanaratnam, survey of pruning, 2021, chapter 4; D. Eftekhari, weight and unit pruning of digit networks.
"""
