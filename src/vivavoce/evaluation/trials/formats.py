"""The formats of trial lists."""

from enum import StrEnum


class ListFormat(StrEnum):
    """How a trial list is written."""

    CSV = "csv"
    VOXCELEB = "voxceleb"
    ASVSPOOF = "asvspoof"
