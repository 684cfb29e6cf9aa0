"""The layer graph and the program artifact, as plain data."""
