"""Learning: optimisers, schedules, what is frozen, and the training loop."""
