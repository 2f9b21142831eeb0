"""Losses of the speaker and the correlation task."""
