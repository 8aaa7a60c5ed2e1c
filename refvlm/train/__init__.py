"""Learning: optimisers, schedules, what is frozen, memory, and the training loop."""
