"""How a check of the server comes out."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Row:
    """One thing that was checked: what was found, and how to mend it where it is not as it should be."""

    name: str
    status: Status
    found: str
    mend: str = ""

    def to_dict(self) -> dict[str, str]:
        """The row as JSON has it."""
        return asdict(self)
