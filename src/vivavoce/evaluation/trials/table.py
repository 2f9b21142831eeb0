"""One trial, and the names by which trials call recordings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vivavoce.corpus.metadata import Kind

if TYPE_CHECKING:
    from vivavoce.corpus.manifest import Row

TARGET, NONTARGET = "target", "nontarget"
LABELS = (TARGET, NONTARGET, *(kind.value for kind in Kind if kind is not Kind.LIVE))


@dataclass(frozen=True, slots=True)
class Trial:
    """One enrolment (paths) against one test recording (a path), and the truth.

    The label is ``target``, ``nontarget``, or the kind of attack that the test recording is.
    """

    enrol: tuple[str, ...]
    test: str
    label: str


def references(rows: "Sequence[Row]") -> list[str]:
    """Name each recording as trials do: by its path, or by its id where several recordings share one file."""
    paths = [str(row.path) for row in rows]
    uses = Counter(paths)
    return [path if uses[path] == 1 else row.id for row, path in zip(rows, paths, strict=True)]
