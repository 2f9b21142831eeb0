"""Import of Lhotse manifests: cuts, or recordings with their supervisions."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vivavoce.corpus.cuts import cut_to_rows
from vivavoce.corpus.importers import Draft, locate
from vivavoce.corpus.manifest import read_json_lines
from vivavoce.errors import UserError


def read_lhotse(manifest: Path, supervisions: Path | None = None, audio_root: Path | None = None) -> list[Draft]:
    """Read cuts, or with ``supervisions`` recordings; every supervision becomes a recording of ours.

    Relative paths start at ``audio_root``, else at the manifest's folder, else where we run (Lhotse's own rule).

    Raises:
        UserError: a manifest is missing, broken or of another kind, or its audio is not in plain files.
    """
    drafts = []
    for where, cut in read_json_lines(manifest) if supervisions is None else _pair(manifest, supervisions):
        for row in cut_to_rows(cut, "", where):
            path = locate(str(row.path), manifest.parent, audio_root)
            drafts.append(
                Draft(where, path, row.speaker, row.text, row.start_s, row.duration_s, row.channel, row.meta, row.id)
            )
    return drafts


def _pair(recordings: Path, supervisions: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a cut for each supervision, found through the id of its recording."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for where, supervision in read_json_lines(supervisions):
        if "recording_id" not in supervision:
            raise UserError(f"{where} is not a supervision; give the manifest of supervisions to `--supervisions`.")
        found[supervision["recording_id"]].append(supervision)
    for where, recording in read_json_lines(recordings):
        if "sources" not in recording or "id" not in recording:
            raise UserError(f"{where} is not a recording; with `--supervisions`, give a manifest of recordings.")
        for supervision in found.pop(recording["id"], []):
            yield where, _cut(recording, supervision)
    if found:
        raise UserError(f"{supervisions} names the recording {next(iter(found))}, which {recordings} does not have.")


def _cut(recording: dict[str, Any], supervision: dict[str, Any]) -> dict[str, Any]:
    channel = supervision.get("channel", 0)
    return {
        "id": supervision["id"],
        "start": supervision["start"],
        "duration": supervision["duration"],
        "channel": channel[0] if isinstance(channel, list) else channel,
        "supervisions": [supervision | {"start": 0}],
        "recording": recording,
        "type": "MonoCut",
    }
