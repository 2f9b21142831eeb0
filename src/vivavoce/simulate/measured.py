"""Measured motion for the recordings of a corpus: which ``.npz`` belongs to which."""

from collections.abc import Sequence
from pathlib import Path

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.tracks import read_tracks


def motions_of(rows: Sequence[Row], tracks: Path | str) -> dict[str, Motion]:
    """Read the motion of every row that has one in ``tracks``; by row id.

    Args:
        rows: the recordings.
        tracks: a folder of ``.npz`` files named like the sound files (``a.wav``: ``a.npz``), or one such file, which
            may have any name when there is one recording only.

    Raises:
        UserError: ``tracks`` is missing, belongs to no recording, or a file of it is not a motion.
    """
    tracks = Path(tracks)
    if tracks.is_dir():
        files = {path.stem: path for path in sorted(tracks.glob("*.npz"))}
    elif tracks.is_file():
        files = {rows[0].path.stem if len(rows) == 1 else tracks.stem: tracks}
    else:
        raise UserError(f"The motion tracks {tracks} are missing; give a .npz file or a folder of them.")
    found = {row.id: files[row.path.stem] for row in rows if row.path.stem in files}
    if not found:
        raise UserError(
            f"{tracks} holds no motion of these recordings; name each .npz like its sound file "
            f"({rows[0].path.stem}.npz)."
        )
    read = {path: read_tracks(path) for path in set(found.values())}
    return {row_id: read[path] for row_id, path in found.items()}
