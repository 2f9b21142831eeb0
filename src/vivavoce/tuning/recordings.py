"""What a study's recordings are, wherever their files lie: values measured on others do not compare."""

import hashlib
from pathlib import Path

from vivavoce.config import DataConfig
from vivavoce.corpus.manifest import iterate_rows


def fingerprints(data: DataConfig) -> dict[str, str | None]:
    """SHA-256 of what both manifests say of their recordings, but for the folders of their files; None: there is none.

    Raises:
        UserError: a file is no manifest.
    """
    return {"train": _fingerprint(data.train), "validation": _fingerprint(data.validation)}


def _fingerprint(manifest: Path | None) -> str | None:
    if manifest is None or not manifest.is_file():
        return None
    digest = hashlib.sha256()
    for row in iterate_rows(manifest):
        span = (row.id, row.path.name, row.channel, row.start_s, row.duration_s, row.speaker, row.text)
        digest.update(f"{span}{row.meta.model_dump_json()}\n".encode())
    return digest.hexdigest()
