"""Training: tasks, the loop, what takes part in it, and what is kept of it."""
