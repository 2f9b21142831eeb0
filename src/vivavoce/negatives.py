"""Negatives on recordings, written as recordings: voice bands joined with ultrasound bands that are not theirs.

Every negative has a positive beside it that went through the same filters, with the very same span of voice, so that
neither the seam nor the voice alone nor the length tells which is which (DESIGN §6).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from vivavoce.audio import check_speech, read_audio, write_wav
from vivavoce.corpus.groups import source_of
from vivavoce.corpus.manifest import Row, read_rows, write_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.features.splicing import BandSplit, joined, to_full_scale
from vivavoce.files import TEMPORARY, write_text
from vivavoce.negatives_plan import Plan, Splice, SplicingConfig, plan_negatives
from vivavoce.progress import track
from vivavoce.settings import differences

MANIFEST = "manifest.jsonl.gz"
RECORD = "negatives.yaml"
# Raise when the same manifest, config and seed would give other samples.
VERSION = 1


def make_negatives(manifest: Path, out_dir: Path, config: SplicingConfig) -> tuple[Path, Plan]:
    """Write negatives of a manifest's live recordings, and re-spliced positives, into ``out_dir`` with a manifest.

    What was written before by the same command is kept, so that a run that was stopped goes on where it was.

    Raises:
        UserError: there is nothing to make them from, the folder holds something else, a recording cannot be used, or
            the disk is full.
    """
    rows = read_rows(manifest)
    plan = plan_negatives(rows, out_dir, config)
    _claim(out_dir, rows, config)
    splits = {rate: BandSplit(rate) for rate in {splice.voice.sample_rate for splice in plan.splices}}
    made = [_render(splice, splits[splice.voice.sample_rate]) for splice in track(plan.splices, "splicing")]
    write_rows(made, out_dir / MANIFEST)
    return out_dir / MANIFEST, plan


def _render(splice: Splice, split: BandSplit) -> Row:
    """Make one recording, unless it is there already, and return its row."""
    if not splice.target.exists():
        voice = _cut(splice.voice, splice.voice_start, splice.samples)
        echo = voice if splice.made == "resplice" else _cut(splice.echo, splice.echo_start, splice.samples)
        length = torch.tensor([splice.samples])
        wave, _ = joined(split, voice, length, echo, length)
        write_wav(splice.target, to_full_scale(wave[0].numpy())[0], splice.voice.sample_rate)
    return _manifest_row(splice)


def _cut(row: Row, start: int, samples: int) -> torch.Tensor:
    wave, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    check_speech(wave, rate, row.path)
    if rate != row.sample_rate or len(wave) < start + samples:
        raise UserError(f"{row.path} is not as long or as fast as its manifest says; import it again.")
    return torch.from_numpy(wave[start : start + samples])[None]


def _manifest_row(splice: Splice) -> Row:
    """Describe a recording: who speaks is of the voice, phone, place and probe are of the ultrasound band."""
    voice, echo, rate = splice.voice, splice.echo, splice.voice.sample_rate
    kinds = {"replace": echo.meta.kind, "swap": Kind.SWAPPED_MOUTH, "shift": Kind.SHIFTED, "resplice": Kind.LIVE}
    of_echo = {
        name: getattr(echo.meta, name, None)
        for name in ("device", "room", "posture", "distance_cm", "probe_hz", "sway_mm")
    }
    of_voice = voice.meta.of_what_is_said()
    # What another recording of the same words does not share: tracks in step with the old one, spans, attack details.
    for name in ("accelerometer", "mouth_motion", "splices", "loudspeaker", "mouth", "shift_ms", "sway_mm"):
        of_voice.pop(name, None)
    meta = of_voice | {name: value for name, value in of_echo.items() if value is not None}
    meta |= {"kind": kinds[splice.made], "made": splice.made, "source": source_of(voice) or voice.id}
    if echo is not voice:
        meta |= {"echo_source": source_of(echo) or echo.id, "echo_speaker": echo.speaker}
    if splice.made == "shift":
        meta["shift_ms"] = round(1000 * (splice.voice_start - splice.echo_start) / rate, 3)
    return Row(
        id=splice.id,
        path=splice.target,
        speaker=voice.speaker,
        text=voice.text,
        start_s=0.0,
        duration_s=splice.samples / rate,
        sample_rate=rate,
        channel=0,
        meta=Metadata.model_validate(meta),
        file_samples=splice.samples,
        file_channels=1,
    )


def _claim(out_dir: Path, rows: Sequence[Row], config: SplicingConfig) -> None:
    """Make ``out_dir`` ours, or check that it holds the beginning of the same work."""
    ours = {"version": VERSION, "inputs": _fingerprint(rows), "config": config.model_dump(mode="json")}
    record = out_dir / RECORD
    if not record.exists():
        if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
            raise UserError(f"{out_dir} is not empty and holds no negatives; choose an empty folder for --out.")
        write_text(record, yaml.safe_dump(ours, sort_keys=False))
        return
    theirs: Any = yaml.safe_load(record.read_text(encoding="utf-8"))
    if not isinstance(theirs, dict):
        raise UserError(f"{record} is damaged; delete the folder and make the negatives again.")
    if differing := differences(theirs, ours):
        what = "other recordings" if theirs.get("inputs") != ours["inputs"] else differing[0]
        raise UserError(
            f"{out_dir} holds negatives made otherwise ({what}); give the same again to continue, or choose another "
            "folder for --out."
        )
    for left in out_dir.glob(f"*/{TEMPORARY}*"):
        left.unlink(missing_ok=True)


def _fingerprint(rows: Sequence[Row]) -> str:
    """Hash who says what in which sound; places on disk do not count."""
    digest = hashlib.sha256()
    files: dict[Path, str] = {}
    for row in rows:
        if row.path not in files:
            with row.path.open("rb") as file:
                files[row.path] = hashlib.file_digest(file, "sha256").hexdigest()
        span = (row.channel, row.start_s, row.duration_s)
        digest.update(repr((row.id, row.speaker, row.text, files[row.path], span, row.meta.model_dump_json())).encode())
    return digest.hexdigest()
