"""What a server has: the facts that the checks judge, read by one shell program that needs nothing installed there."""

import json
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server.kinds import EnvironmentKind
from vivavoce.server.profile import Profile
from vivavoce.server.program import script
from vivavoce.server.ssh import Connection

PROBE_TIMEOUT_S = 180.0
CLOCK_ROUNDS = 3
# One line of `df -P`: file system, size, used, free, use, mount point. Sizes are KiB, or counts of inodes.
DF = re.compile(r"(?P<device>.+?)\s+(?P<size>\d+|-)\s+(?P<used>-?\d+|-)\s+(?P<free>-?\d+|-)\s+(\d+%|-)\s+/.*")
# One line of `quota -w -p`: file system, KiB used, soft, hard, grace, then the same of files.
QUOTA = re.compile(r"(?P<device>\S+)\s+(?P<used>\d+)\*?\s+(?P<soft>\d+)\s+(?P<hard>\d+)(\s.*)?")


@dataclass(frozen=True)
class Disk:
    """The disk below a folder of the server.

    Attributes:
        folder: The folder, which need not be there yet.
        free_bytes: Free space, by the quota where that is less; None: unknown.
        free_files: How many more files it takes; None: unknown or without limit.
        writable: Whether the account may write to it, or to the nearest parent that is there.
        by_quota: Whether the free space is what a quota leaves.
    """

    folder: str
    free_bytes: int | None
    free_files: int | None
    writable: bool
    by_quota: bool


@dataclass(frozen=True)
class Clock:
    """The clock of the server beside ours.

    Attributes:
        ahead_s: Seconds that it is ahead of ours.
        round_trip_s: How long a command took there and back, the fastest of some; half of it is the error.
    """

    ahead_s: float
    round_trip_s: float


@dataclass(frozen=True)
class Facts:
    """What :func:`probe` found; ``lines`` has every line by its key, in order."""

    lines: dict[str, list[str]]
    disks: list[Disk] = field(default_factory=list)

    def get(self, key: str) -> str:
        """The first value of a key; empty where there is none."""
        return self.lines.get(key, [""])[0]

    @property
    def pythons(self) -> list[tuple[tuple[int, ...], str]]:
        """Version and name of every interpreter found."""
        pairs = (line.split(" ", 1) for line in self.lines.get("python", []))
        return [(version_of(number), place) for number, place in pairs]

    @property
    def stamp(self) -> dict[str, Any]:
        """What `vivavoce server setup` wrote into the environment; empty where it wrote nothing."""
        try:
            stamp = json.loads(self.get("stamp") or "{}")
        except ValueError:
            return {}
        return stamp if isinstance(stamp, dict) else {}


def probe(connection: Connection, folders: list[str]) -> Facts:
    """Read the facts of a server; the disks are those below ``folders``.

    Raises:
        UserError: no connection, or the program did not come to its end.
    """
    profile = connection.profile
    wanted = profile.environment.python if profile.environment.kind is EnvironmentKind.VENV else None
    words = [profile.environment_path, wanted or "", *folders]
    ran = connection.script(script("probe"), *words, timeout=PROBE_TIMEOUT_S)
    lines: dict[str, list[str]] = defaultdict(list)
    for line in ran.out.splitlines():
        key, tab, value = line.partition("\t")
        if tab:
            lines[key].append(value.strip())
    if "end" not in lines:
        reason = (ran.err.strip().splitlines() or [f"exit code {ran.code}"])[-1]
        raise UserError(f"{profile.address} could not be looked at: its shell said {reason!r}; try `ssh` by hand.")
    return Facts(dict(lines), _disks(dict(lines)))


def clock(connection: Connection) -> Clock:
    """Compare the server's clock with ours.

    Raises:
        UserError: no connection, or the server has no `date` that tells seconds.
    """
    best: Clock | None = None
    for _ in range(CLOCK_ROUNDS):
        began, ticks = time.time(), time.perf_counter()
        said = connection.script("date +%s.%N").out.strip()
        took = time.perf_counter() - ticks
        number = re.match(r"\d+(\.\d+)?", said)  # where date knows no %N it prints the letter
        if number is None:
            raise UserError(f"{connection.profile.address} answers {said!r} when asked for its time; see its `date`.")
        seconds = float(number[0]) + (0.0 if number[1] else 0.5)
        if best is None or took < best.round_trip_s:
            best = Clock(seconds - (began + took / 2), took)
    assert best is not None
    return best


def folders_of(profile: Profile) -> dict[str, str]:
    """The folders of a profile whose disks matter, by what lies there."""
    # pip, uv and conda keep downloads below the home folder where they are not told otherwise.
    downloads = profile.environment.packages or "."
    named = {"work": profile.workdir, "environment": profile.environment_path, "downloads": downloads}
    return named | {f"data {name}": place for name, place in profile.data.items()}


def version_of(text: str) -> tuple[int, ...]:
    """The numbers at the start of a version, such as (12, 4) of "12.4+local"."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _disks(lines: dict[str, list[str]]) -> list[Disk]:
    keys = ("disk", "disk_space", "disk_inodes", "disk_writable")
    quotas = [match for line in lines.get("quota", []) if (match := QUOTA.fullmatch(line))]
    return [
        _disk(folder, space, inodes, writable, quotas)
        for folder, space, inodes, writable in zip(*(lines.get(key, []) for key in keys), strict=True)
    ]


def _disk(folder: str, space: str, inodes: str, writable: str, quotas: list[re.Match[str]]) -> Disk:
    blocks, files = DF.fullmatch(space), DF.fullmatch(inodes)
    free = int(blocks["free"]) if blocks and blocks["free"] != "-" else None
    # File systems that make inodes as they need them count none.
    counts = files and files["free"].isdigit() and files["size"].isdigit() and int(files["size"]) > 0
    left = [
        max(0, limit - int(quota["used"]))
        for quota in quotas
        if blocks and quota["device"] == blocks["device"] and (limit := int(quota["soft"]) or int(quota["hard"]))
    ]
    by_quota = bool(left) and (free is None or min(left) < free)
    free = min(left) if by_quota else free
    return Disk(
        folder,
        None if free is None else free * 1024,
        int(files["free"]) if files and counts else None,
        writable == "yes",
        by_quota,
    )
