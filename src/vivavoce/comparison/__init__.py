"""Comparison: whether one system is better than another on the same trials, beyond what chance gives."""
