"""The judges of the detector: utterances whose mouths the training's simulator did not invent.

Each function gives one ``Judge``: rows and their motions, as ``vivavoce.simulate.dataset.simulate_dataset`` takes them
(``simulate_dataset(judge.rows, out, config, {}, motion_tracks=judge.motions)``).

A recording may be cut into windows that overlap. All windows of one recording carry the same text, and a swapped mouth
is always one that says another text, so that the two of a swapped pair never share a moment of measured motion.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from vivavoce.audio import audio_info, read_audio, write_wav
from vivavoce.corpus.importers import Draft, finish
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.table import read_table
from vivavoce.errors import UserError
from vivavoce.simulate.articulation import ArticulationConfig, articulate, draw_speaker
from vivavoce.simulate.draws import generator
from vivavoce.simulate.motion import RATE_HZ, Motion
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.tracks import read_tracks

TABLE = "index.csv"  # beside the files, as `vivavoce import` reads it
PAUSE_S = 0.3  # between utterances that are joined: as long as a speaker's pause at a full stop
_FLOOR_PERCENTILE = 5.0  # of the frames' level: what a recording holds where nobody speaks
_FRAME_S = 0.02
_AND = " | "  # between the texts of what is joined


@dataclass(frozen=True)
class Judge:
    """Utterances with motions of their own: ``motions`` by row id, each as long as its row."""

    rows: list[Row]
    motions: dict[str, Motion]


def measured(folder: Path | str, seconds: float | None, work: Path | str, hop_s: float = 0.5) -> Judge:
    """Read measured motion with its sound: windows of ``seconds`` that begin every ``hop_s``.

    Recordings shorter than that are joined, same speaker by same speaker, by a pause of 0.3 s in which the mouth moves
    on smoothly; no recording is in two joins, and one that stands alone is said again. A join tells all
    texts in it, and so do others that have one of them in common.

    Args:
        folder: ``<name>.wav`` and ``<name>.npz`` (as ``simulate.tracks.read_tracks`` reads it) side by side. Who
            speaks and what is told by ``index.csv`` (file, speaker, optional text, sex), where there is one; otherwise
            the speaker is the name up to its last number (``mo1_prosody_0020``: ``mo1_prosody``) and every file is a
            text of its own.
        seconds: length of the windows; None: whole recordings as they are.
        work: where joined recordings are written; nothing else is.
        hop_s: from one window to the next, s; a multiple of 5 ms.

    Raises:
        UserError: the folder has no recording with a motion, or a file of it cannot be used.
    """
    folder = Path(folder)
    rows = _rows(folder)
    motions = {row.id: read_tracks(row.path.with_suffix(".npz")) for row in rows}
    judge = Judge([_trimmed(row, motions[row.id]) for row in rows], motions)
    return judge if seconds is None else _windows(_long_enough(judge, seconds, Path(work)), seconds, hop_s)


def vocaltract(folder: Path | str, seconds: float | None, work: Path | str, hop_s: float = 1.5) -> Judge:
    """Read what ``judges_vocaltract.py`` made: sound and lips of an independent articulatory synthesiser.

    Arguments and form as of `measured`.

    Raises:
        UserError: the folder was not made, or not to the end.
    """
    if not (Path(folder) / TABLE).is_file():
        raise UserError(f"{folder} holds no {TABLE}; make it: python benchmarks/judges_vocaltract.py --out {folder}")
    return measured(folder, seconds, work, hop_s)


def family(rows: Sequence[Row], alignments: Mapping[str, Sequence[Phone]], name: str, seed: int = 0) -> Judge:
    """Let another family of articulation (``ArticulationConfig.family``) move the mouths of these rows.

    Args:
        rows: recorded voices.
        alignments: phones by row id.
        name: the family.
        seed: of speakers and tokens.
    """
    config = ArticulationConfig.model_validate({"family": name})
    names = dict.fromkeys(row.speaker for row in rows)
    speakers = {s: draw_speaker(generator(seed, "judge", "speaker", s), config) for s in names}
    motions = {
        row.id: articulate(
            *(alignments[row.id], row.duration_s, speakers[row.speaker]), generator(seed, "judge", "recording", row.id)
        )
        for row in rows
    }
    return Judge(list(rows), motions)


def _rows(folder: Path) -> list[Row]:
    """Rows of all recordings that lie beside a motion, in the order of their names."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} of measured motion; give one with .wav and .npz files.")
    if (folder / TABLE).is_file():
        drafts = [draft for draft in read_table(folder / TABLE) if draft.path.with_suffix(".npz").is_file()]
    else:
        sounds = sorted(path for path in folder.glob("*.wav") if path.with_suffix(".npz").is_file())
        drafts = [Draft(str(path), path, _speaker(path.stem)) for path in sounds]
    if not drafts:
        raise UserError(f"{folder} holds no .npz beside a .wav of the same name; give a folder of measured motion.")
    rows = finish(drafts, folder).rows
    return [replace(row, text=row.text or row.id) for row in sorted(rows, key=lambda row: row.id)]


def _speaker(name: str) -> str:
    """Take the speaker from a file's name: what stands before its last number."""
    return re.sub(r"[\W_]*\d+$", "", name) or name


def _trimmed(row: Row, motion: Motion) -> Row:
    """End a row where its motion ends, if that is sooner."""
    return replace(row, duration_s=min(row.duration_s, motion.positions_m.shape[1] / RATE_HZ))


def _windows(judge: Judge, seconds: float, hop_s: float) -> Judge:
    """Cut every row into windows of ``seconds``, on the grid of the motion."""
    size, hop = round(seconds * RATE_HZ), max(1, round(hop_s * RATE_HZ))
    rows: list[Row] = []
    motions: dict[str, Motion] = {}
    for row in judge.rows:
        for start in range(0, _frames(row) - size + 1, hop):
            begin_s = start / RATE_HZ
            name = f"{row.id}.{round(1000 * begin_s):05d}ms"
            rows.append(replace(row, id=name, start_s=row.start_s + begin_s, duration_s=size / RATE_HZ))
            motions[name] = _cut(judge.motions[row.id], start, size)
    return Judge(rows, motions)


def _frames(row: Row) -> int:
    """Whole frames of motion in a row; a rounding error below a thousandth of a frame loses none."""
    return int(row.duration_s * RATE_HZ + 1e-3)


def _cut(motion: Motion, start: int, size: int) -> Motion:
    return Motion(RATE_HZ, motion.positions_m[:, start : start + size], motion.aperture_m[start : start + size])


def _long_enough(judge: Judge, seconds: float, work: Path) -> Judge:
    """Keep what lasts ``seconds`` and join what does not, speaker by speaker."""
    wanted = round(seconds * RATE_HZ)
    rows = [row for row in judge.rows if _frames(row) >= wanted]
    motions = {row.id: judge.motions[row.id] for row in rows}
    short = [row for row in judge.rows if _frames(row) < wanted]
    for _, own in groupby(sorted(short, key=lambda row: (*_voice(row), row.id)), key=_voice):
        for chain in _chains(list(own), wanted):
            row, motion = _joined(chain, judge.motions, work)
            rows.append(row)
            motions[row.id] = motion
    return Judge(_told_apart(rows), motions)


def _told_apart(rows: list[Row]) -> list[Row]:
    """Give joins with a sentence in common (of other speakers, say) one text, so that none is the other's swap."""
    groups: list[set[str]] = []
    for row in rows:
        parts = set(str(row.text).split(_AND))
        groups = [*(group for group in groups if not group & parts), parts.union(*(g for g in groups if g & parts))]
    name = {part: _AND.join(sorted(group)) for group in groups for part in group}
    return [replace(row, text=name[str(row.text).split(_AND)[0]]) for row in rows]


def _voice(row: Row) -> tuple[str, int]:
    """What recordings must share to be joined."""
    return row.speaker, row.sample_rate


def _chains(rows: list[Row], wanted: int) -> Iterator[list[Row]]:
    """Deal rows to chains of at least ``wanted`` frames with their pauses, none of them twice.

    Rows that are left over lengthen the last chain; where all together are too short, they are said again in turn.
    """
    pause = round(PAUSE_S * RATE_HZ)
    chains: list[list[Row]] = [[]]
    length = 0
    for row in rows:
        chains[-1].append(row)
        length += _frames(row) + pause
        if length - pause >= wanted:
            chains.append([])
            length = 0
    left = chains.pop()
    if not chains:
        own = sum(_frames(row) + pause for row in rows)
        yield rows * -(-(wanted + pause) // own)
        return
    chains[-1] += left
    yield from chains


def _joined(chain: list[Row], motions: Mapping[str, Motion], work: Path) -> tuple[Row, Motion]:
    """Join recordings of one voice into a file in ``work``, and their motions."""
    name = "+".join(row.id for row in chain)
    pause = round(PAUSE_S * RATE_HZ)
    starts = np.cumsum([0, *(_frames(row) + pause for row in chain[:-1])]).tolist()
    path = work / (re.sub(r"[^\w.+-]", "_", name) + ".wav")
    wave = _joined_wave(chain, starts, generator(0, "judge", "pause", name))
    write_wav(path, np.clip(wave, -1.0, 1.0), chain[0].sample_rate)
    info = audio_info(path)
    row = replace(
        chain[0],
        **{"id": name, "path": path, "text": _AND.join(str(row.text) for row in chain), "start_s": 0.0, "channel": 0},
        **{"duration_s": info.duration_s, "file_samples": info.samples, "file_channels": 1},
    )
    parts = [_cut(motions[row.id], 0, _frames(row)) for row in chain]
    points = _bridged([part.positions_m for part in parts], pause)
    aperture = _bridged([part.aperture_m[None] for part in parts], pause)[0]
    return row, Motion(RATE_HZ, points, np.maximum(aperture, 0.0))


def _joined_wave(chain: list[Row], starts: list[int], rng: np.random.Generator) -> np.ndarray:
    """Lay each recording at its frame of motion, (samples,); the pauses hold noise at the recordings' own floor."""
    rate = chain[0].sample_rate
    waves = [
        read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=_frames(row) / RATE_HZ)[0]
        for row in chain
    ]
    samples = round((starts[-1] + _frames(chain[-1])) / RATE_HZ * rate)
    joined = rng.standard_normal(samples) * float(np.median([_floor(wave, rate) for wave in waves]))
    for wave, start in zip(waves, starts, strict=True):
        first = round(start / RATE_HZ * rate)
        joined[first : first + len(wave)] = wave[: samples - first]
    return joined


def _bridged(parts: list[np.ndarray], pause: int) -> np.ndarray:
    """Put tracks (points, frames, ...) behind each other, with ``pause`` frames that lead on without a jerk."""
    track = parts[0]
    for part in parts[1:]:
        ends = np.stack([track[:, -1], part[:, 0]])
        speeds = np.stack([track[:, -1] - track[:, -2], part[:, 1] - part[:, 0]])
        bridge = CubicHermiteSpline([0.0, pause + 1.0], ends, speeds)(np.arange(1, pause + 1))
        track = np.concatenate([track, np.moveaxis(bridge, 0, 1), part], axis=1)
    return track


def _floor(wave: np.ndarray, rate: int) -> float:
    """RMS of a recording's quietest frames."""
    size = round(_FRAME_S * rate)
    frames = wave[: len(wave) // size * size].reshape(-1, size)
    return float(np.percentile(np.sqrt(np.mean(np.square(frames), axis=1)), _FLOOR_PERCENTILE))
