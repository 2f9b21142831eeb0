"""How a run's error rates change as recordings get worse."""
