"""What a sampler looks at: speaker, kind, length and further columns of each recording."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vivavoce.corpus.cuts import Row
from vivavoce.errors import UserError


@dataclass(frozen=True)
class Items:
    """The recordings to draw from, one entry of every column each.

    Raises:
        ValueError: the columns are not of one length.
    """

    speakers: np.ndarray  # (items,) str or int
    kinds: np.ndarray  # (items,) str
    lengths: np.ndarray  # (items,) frames or s
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)  # (items,) each; what else weights may come from

    def __post_init__(self) -> None:
        shapes = {np.shape(values) for values in (self.speakers, self.kinds, self.lengths, *self.columns.values())}
        if len(shapes) != 1 or len(shapes.pop()) != 1:
            raise ValueError("The columns of the items are not all of shape (items,).")

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of_rows(cls, rows: Sequence[Row]) -> "Items":
        """Take the columns from rows of a manifest: lengths in s, further columns as the metadata have them."""
        names = {name for row in rows for name in (*row.meta.model_fields_set, *(row.meta.model_extra or ()))}
        names -= {"kind", "probe_hz", "splices"}
        columns = {name: np.array([getattr(row.meta, name, None) for row in rows], object) for name in sorted(names)}
        return cls(
            speakers=np.array([row.speaker for row in rows]),
            kinds=np.array([str(row.meta.kind) for row in rows]),
            lengths=np.array([row.duration_s for row in rows], float),
            columns=columns,
        )

    def column(self, name: str) -> np.ndarray:
        """Find a column, ``speaker`` and ``kind`` among them, by its name; (items,).

        Raises:
            UserError: there is none of that name.
        """
        columns = {"speaker": self.speakers, "kind": self.kinds, **self.columns}
        if name not in columns:
            raise UserError(
                f"The recordings have no column {name!r} to weight them by; choose one of {', '.join(sorted(columns))}."
            )
        return columns[name]
