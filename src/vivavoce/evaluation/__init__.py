"""Trials, metrics, thresholds and the report."""
