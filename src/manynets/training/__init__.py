"""Training: the one loop, the two ways to a gradient, stopping, events and progress."""
