"""Results as plain data and as tables."""
