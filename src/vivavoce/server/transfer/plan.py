"""What has to travel: both sides' listings compared, before anything is sent."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vivavoce.errors import UserError
from vivavoce.server.transfer.places import Place
from vivavoce.server.transfer.selection import Selection

SECOND_NS = 1_000_000_000  # not every file system and program keeps less


class File(NamedTuple):
    """Size and time of change of a file."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Space:
    """Room on a file system; sizes in bytes."""

    missing: int
    device: int
    free: int
    block: int
    free_files: int | None
    writable: bool
    above: str


@dataclass(frozen=True)
class Listing:
    """One side of a place: `kind` is folder, file, other or missing."""

    kind: str
    files: dict[str, File]
    links: dict[str, str]
    digests: list[str | None]
    space: Space

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Listing":
        """Read what the action `list` of `remote.files` answers of one root."""
        files = {name: File(size, mtime_ns) for name, size, mtime_ns in found["files"]}
        return cls(found["kind"], files, dict(found["links"]), found["digests"], Space(**found["space"]))


@dataclass(frozen=True)
class Plan:
    """What becomes of the files of one place.

    Args:
        files: All that were chosen on the sending side.
        send: Those that the receiving side lacks or has otherwise.
        links: Symbolic links to send: name -> where it leads.
        newer: Names of files that are newer on the receiving side and are left as they are there.
        extra: Names that only the receiving side has.
        freed: Bytes of files that are replaced.
    """

    files: dict[str, File]
    send: dict[str, File] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    newer: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    freed: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of what is sent."""
        return sum(file.size for file in self.send.values())


def same(one: File, other: File | None) -> bool:
    """Whether size and time of change are the same, as far as every file system keeps them."""
    return other is not None and one.size == other.size and abs(one.mtime_ns - other.mtime_ns) < SECOND_NS


def compare(
    place: Place,
    sender: Listing,
    receiver: Listing,
    selection: Selection,
    *,
    overwrite: bool = False,
    differing: Iterable[str] = (),
) -> Plan:
    """Decide what is sent; ``differing`` are names of the same size and time with other contents.

    Raises:
        UserError: a file here is a folder or a link there, or the other way round.
    """
    chosen = [*sender.files] if place.names is not None else selection.choose(filter(place.holds, sender.files))
    plan = Plan({name: sender.files[name] for name in chosen})
    other = set(differing)
    for name, file in plan.files.items():
        there = receiver.files.get(name)
        if same(file, there) and name not in other:
            continue
        if there and there.mtime_ns >= file.mtime_ns + SECOND_NS and not overwrite:
            plan.newer.append(name)
        else:
            plan.send[name] = file
    if not selection.counted:
        taken = [name for name in sender.links if place.holds(name) and (place.names or selection.fits(name))]
        plan.links.update({n: sender.links[n] for n in taken if receiver.links.get(n) != sender.links[n]})
    _check_kinds(plan, receiver)
    if place.names is None:
        known = sender.files.keys() | sender.links.keys()
        present = (*receiver.files, *receiver.links)
        plan.extra.extend(sorted(n for n in present if n not in known and place.holds(n) and selection.fits(n)))
    return Plan(**{**vars(plan), "freed": sum(receiver.files[n].size for n in plan.send if n in receiver.files)})


def _check_kinds(plan: Plan, receiver: Listing) -> None:
    """Refuse to put a file where a folder or a link is, and to go through a link."""
    taken = receiver.files.keys() | receiver.links.keys()
    if not taken:
        return
    folders = _folders(taken)
    for name in (*plan.send, *plan.links):
        wrong = name in (receiver.links if name in plan.send else receiver.files)
        blocked = next((top for top in _folders([name]) if top in taken), name if wrong or name in folders else None)
        if blocked is not None:
            raise UserError(
                f"{blocked!r} is a link, a file or a folder on one side and something else on the other; move one of "
                "them away, or leave it out with --exclude."
            )


def _folders(names: Iterable[str]) -> set[str]:
    """All folders on the way to these names."""
    found: set[str] = set()
    for name in names:
        top = name.rpartition("/")[0]
        while top and top not in found:
            found.add(top)
            top = top.rpartition("/")[0]
    return found


def check_room(plans: Sequence[Plan], spaces: Sequence[Space], where: Sequence[str]) -> None:
    """Refuse what the receiving side has no room for, before anything is sent.

    Raises:
        UserError: too few bytes or files are free, or the folder cannot be written.
    """
    need: dict[int, int] = {}
    count: dict[int, int] = {}
    for plan, space, folder in zip(plans, spaces, where, strict=True):
        if not plan.send:
            continue
        if not space.writable:
            raise UserError(f"{space.above} may not be written by you, so that nothing can go to {folder}.")
        rounded = [-(-file.size // space.block) * space.block for file in plan.send.values()]
        # What is replaced goes only when the new file is whole.
        need[space.device] = need.get(space.device, 0) + sum(rounded) - plan.freed + max(rounded) * bool(plan.freed)
        count[space.device] = count.get(space.device, 0) + len(plan.send)
        if need[space.device] > space.free:
            raise UserError(
                f"{folder} has {size(space.free)} free and what is to go there takes {size(need[space.device])}; free "
                "some space, or send less with --first or --include."
            )
        if space.free_files is not None and count[space.device] > space.free_files:
            raise UserError(
                f"{folder} has room for {space.free_files:,} more files and {count[space.device]:,} are to go there; "
                "remove some, or send less with --first or --include."
            )


def size(number: float) -> str:
    """Bytes for people."""
    if number < 1000:
        return f"{number:.0f} B"
    power = min(4, int(math.log10(number) / 3))
    return f"{number / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"
