"""Augmentation of recordings: of the voice band without touching the echo, or of both bands in step."""

from vivavoce.features.augment.augment import AUGMENTATIONS, Augment, AugmentConfig, table

__all__ = ["AUGMENTATIONS", "Augment", "AugmentConfig", "table"]
