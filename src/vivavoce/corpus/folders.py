"""Import of folders: each folder is a speaker, and holds the speaker's wav, flac and ogg files at any depth."""

import os
from pathlib import Path

from vivavoce.audio import SUFFIXES
from vivavoce.corpus.importers import Draft
from vivavoce.errors import UserError


def read_folders(root: Path, channel: int | None = None) -> list[Draft]:
    """List the sound files below ``root``, in the order of their names; hidden files and folders are left out.

    Raises:
        UserError: no such folder, sound files that lie in no speaker's folder, or no sound files at all.
    """
    if not root.is_dir():
        raise UserError(f"The folder {root} does not exist; correct the path.")
    drafts = []
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root).parts
        for name in sorted(files):
            if name.startswith(".") or not name.lower().endswith(SUFFIXES):
                continue
            path = Path(folder, name)
            if not inside:
                raise UserError(
                    f"{path} lies in no speaker's folder; give every speaker a folder below {root}, or import a table."
                )
            drafts.append(Draft(where=f"Folder {folder}", path=path, speaker=inside[0], channel=channel))
    if not drafts:
        raise UserError(f"{root} holds no wav, flac or ogg files in folders below it; correct the path.")
    return drafts
