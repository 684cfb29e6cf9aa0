"""Recipes: files that say what is pruned and how, and carrying them out."""
