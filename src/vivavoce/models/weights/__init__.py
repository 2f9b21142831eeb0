"""Trunk weights of other toolkits, to and from ours."""
