"""The audit: a registry of checks over a manifest and, through one measuring pass, over its sound files."""
