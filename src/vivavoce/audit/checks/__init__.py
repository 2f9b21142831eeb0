"""The checks; importing this package enters them all into the registry."""

from vivavoce.audit.checks import balance, confounds, copies, manifest, overlap, probe, sound, voices

__all__ = ["balance", "confounds", "copies", "manifest", "overlap", "probe", "sound", "voices"]
