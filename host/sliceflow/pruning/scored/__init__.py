"""Methods that score, select, mask and train: criteria and schedules, apart from one another."""
