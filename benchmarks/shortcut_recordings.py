"""What the audit of shortcuts asks about: changed copies, spliced attacks, and what a run says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.manifest import Row, read_rows, write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.features.offline import open_store
from vivavoce.features.splicing import to_full_scale
from vivavoce.negatives import make_negatives
from vivavoce.negatives_plan import SplicingConfig
from vivavoce.progress import track
from vivavoce.verifier import LoadedRun

MOVING = (Kind.SWAPPED_MOUTH, Kind.SHIFTED, Kind.MOUTHING)
PLAYED = (Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.REPLAY_MOVING, Kind.TTS)
SHIFT_MS = (200.0, 1000.0)


@dataclass(frozen=True)
class Sound:
    """One recording ``(samples,)`` at ``rate`` Hz with its probe, and the randomness of its change."""

    wave: np.ndarray
    rate: int
    tones_hz: tuple[float, ...]
    rng: np.random.Generator


Change = Callable[[Sound], np.ndarray]


class Audit:
    """Recordings, their changed copies and what a run says of them."""

    def __init__(self, run: LoadedRun, work: Path, seed: int, workers: int) -> None:
        self.run, self.work, self.seed, self.workers = run, work, seed, workers

    def scores(self, rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
        """Liveness of rows whatever their probe's quality is, ``(rows,)``, and which of them the product answers."""
        if not rows:
            return np.zeros(0), np.zeros(0, dtype=bool)
        folder = self.work / "features" / file_name(name)
        store = open_store(rows, self.run.config.front_end, folder, self.workers)
        usable = store.usable
        # The gate is judged by `usable`; the detector behind it must answer for itself.
        judged = replace(store, quality=[replace(quality, present=True, reason="") for quality in store.quality])
        return score_recordings(self.run.model, judged).liveness, usable

    def changed(self, rows: Sequence[Row], change: Change, name: str) -> list[Row]:
        """Write changed copies of rows."""
        made = []
        for row in track(rows, name):
            wave, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
            sound = Sound(wave, rate, row.meta.probe_hz or (), np.random.default_rng([self.seed, *row.id.encode()]))
            target = self.work / "changed" / file_name(name) / f"{len(made)}.wav"
            write_wav(target, to_full_scale(change(sound))[0], rate)
            made.append(replace(row, path=target, start_s=0.0, channel=0, file_samples=len(wave), file_channels=1))
        return made


def file_name(name: str) -> str:
    return name.replace(" ", "_").replace(",", "")


def sample(rows: Sequence[Row], most: int | None, seed: int) -> list[Row]:
    """Up to ``most`` recordings of each kind."""
    order = np.random.default_rng(seed).permutation(len(rows))
    taken: dict[Kind, int] = {}
    kept = []
    for index in order:
        kind = rows[index].meta.kind
        taken[kind] = taken.get(kind, 0) + 1
        if most is None or taken[kind] <= most:
            kept.append(int(index))
    return [rows[index] for index in sorted(kept)]


def grouped(attacks: Sequence[Row]) -> dict[str, np.ndarray]:
    """Attacks by what makes them, as masks over the rows."""
    kinds = np.array([row.meta.kind.value for row in attacks])
    made = np.array([(row.meta.model_extra or {}).get("made") or "" for row in attacks])
    groups = {
        "spliced swaps": made == "swap",
        "spliced shifts": made == "shift",
        "swapped mouths": np.isin(kinds, MOVING) & (made == ""),
        "loudspeakers": np.isin(kinds, PLAYED),
    }
    return {name: mask for name, mask in groups.items() if mask.any()}


def splices(live: Sequence[Row], work: Path, seed: int) -> tuple[list[Row], list[Row]]:
    """Swaps and shifts spliced of live recordings, and for each a positive with the same span of voice."""
    manifest = work / "live.jsonl.gz"
    write_rows(live, manifest)
    made, _ = make_negatives(
        manifest, work / "spliced", SplicingConfig(seed=seed, replace=0, swap=1, shift=1, shift_ms=SHIFT_MS)
    )
    rows = read_rows(made)
    negatives = [row for row in rows if row.meta.kind is not Kind.LIVE]
    return negatives, [row for row in rows if row.meta.kind is Kind.LIVE]
