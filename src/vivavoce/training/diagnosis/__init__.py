"""What a run's curves, its monitor and its data say, and what to do about it."""
