"""Pruning of whole residual blocks, one by one, with training in between.

A block is a module that computes ``after(shortcut(x) + branch(x))``; what is left of a pruned one is its shortcut.
``network`` finds blocks, takes them out and puts them back; ``saliencies`` tell which block matters least;
``schedules`` tell when to train; ``pruner`` joins them. ``ranking`` compares orders of removal.

Source: V. S. Velici, PhD thesis on block-by-block pruning of residual networks, 2022.
"""
