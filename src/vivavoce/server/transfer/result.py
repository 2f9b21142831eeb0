"""What is asked of a push or pull, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vivavoce.server.transfer.places import Place
from vivavoce.server.transfer.plan import Plan
from vivavoce.server.transfer.selection import Selection


@dataclass(frozen=True)
class Options:
    """How to push or pull.

    Args:
        selection: Which files.
        overwrite: Also in place of what is newer on the receiving side.
        delete: Remove what only the receiving side has, of what the patterns choose.
        checksum: Read all files on both sides and compare their contents.
        dry_run: Only tell what would be done.
        limit_kib_s: The most KiB/s.
        to: The folder that the paths go to, instead of the same place on the other side.
    """

    selection: Selection = field(default_factory=Selection)
    overwrite: bool = False
    delete: bool = False
    checksum: bool = False
    dry_run: bool = False
    limit_kib_s: int | None = None
    to: str | None = None


@dataclass
class Reporter:
    """Whom the work tells how it goes.

    Args:
        total: Is told how many bytes will travel.
        advance: Is told bytes as they go.
        say: Is told what a person should know.
    """

    total: Callable[[int], None] = lambda _: None
    advance: Callable[[int], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None


@dataclass
class Moved:
    """What became of one place."""

    place: Place
    push: bool
    plan: Plan
    sent: dict[str, int] = field(default_factory=dict)  # name -> bytes
    links_left: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def to_dict(self, names: bool) -> dict[str, Any]:
        """JSON-able; with ``names`` of all that is sent."""
        here, there = str(self.place.here), self.place.there
        found = {
            "from": here if self.push else there,
            "to": there if self.push else here,
            "files": len(self.plan.files),
            "bytes": sum(file.size for file in self.plan.files.values()),
            "sent": len(self.sent),
            "sent_bytes": sum(self.sent.values()),
            "newer": self.plan.newer,
            "links": sorted(self.plan.links),
            "links_left": self.links_left,
            "deleted": self.deleted,
        }
        return found | ({"names": list(self.sent)} if names else {})


@dataclass
class Result:
    """What became of a push or pull."""

    push: bool
    dry_run: bool
    program: str
    moved: list[Moved] = field(default_factory=list)
    attempts: int = 1
    line_bytes: int = 0  # of the contents, what the last attempt really sent
    compared: int = 0  # files whose contents were read on both sides
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        places = [one.to_dict(self.dry_run) for one in self.moved]
        total = {key: sum(place[key] for place in places) for key in ("files", "bytes", "sent", "sent_bytes")}
        return {
            "direction": "push" if self.push else "pull",
            "dry_run": self.dry_run,
            "program": self.program,
            **total,
            "line_bytes": self.line_bytes,
            "compared": self.compared,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
            "places": places,
        }
