"""Speaker trunks, liveness heads and their factory."""
