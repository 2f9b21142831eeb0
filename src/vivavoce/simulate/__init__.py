"""A simulator of 48 kHz phone recordings with an inaudible probe: articulation, echo physics, devices, attacks."""
