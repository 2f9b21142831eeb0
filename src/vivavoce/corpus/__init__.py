"""Manifests of recordings: names and numbers, no signal processing."""
