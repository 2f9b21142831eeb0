"""Who speaks in the liveness benchmark, and whose mouth moves: splits by speaker, utterances of one length, judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from judges import family, measured, vocaltract
from liveness_plan import Size
from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.split import split_by_speaker
from vivavoce.corpus.table import read_table
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.phonemes import SILENCE, Phone

# Silence kept before the first and behind the last phone, and between utterances that are joined, s.
EDGE_S, PAUSE_S = 0.1, 0.3
TAKE = "~"  # parts the name of a measured speaker from the number of the virtual one
Phones = Mapping[str, Sequence[Phone]]


@dataclass(frozen=True)
class Spoken:
    """Utterances with what moves their mouths: phones, or a motion of their own."""

    rows: list[Row]
    phones: Phones = field(default_factory=dict)
    motions: dict[str, Motion] = field(default_factory=dict)


def read_speech(table: Path, out: Path, seed: int, size: Size, workers: int) -> dict[str, Spoken]:
    """Read a corpus, split it by speaker into train, validation and test, and align it; kept in ``out``."""
    speakers = _by_speaker(finish(read_table(table), table.parent).rows)[: size.speakers]
    rows = [row for own in speakers for row in own[: size.utterances]]
    phones = AlignmentCache(out / "alignments.jsonl").get_many(rows, workers)
    splits = split_by_speaker(rows, seed=seed)
    return {name: Spoken(members, {row.id: phones[row.id] for row in members}) for name, members in splits.items()}


def _by_speaker(rows: Sequence[Row]) -> list[list[Row]]:
    """Each speaker's rows, in the order of the names."""
    ordered = sorted(rows, key=lambda row: row.speaker)
    return [list(own) for _, own in groupby(ordered, lambda row: row.speaker)]


def of_length(spoken: Spoken, seconds: float, folder: Path) -> Spoken:
    """Cut utterances to exactly ``seconds``: short ones are joined with the speaker's next ones, long ones end early.

    Silence at the edges of an utterance is cut off but for 0.1 s, and 0.3 s lie between two that are joined. No
    utterance is in two of the results; what is left of a speaker, too short for another, is left out.
    """
    rows: list[Row] = []
    phones: dict[str, list[Phone]] = {}
    for members in _by_speaker(spoken.rows):
        waiting: list[Row] = []
        length = 0.0
        for row in members:
            first, last = _span(spoken.phones[row.id])
            waiting.append(row)
            length += last - first + (PAUSE_S if len(waiting) > 1 else 0.0)
            if length >= seconds:
                joined, aligned = _join(waiting, spoken.phones, seconds, folder)
                rows.append(joined)
                phones[joined.id] = aligned
                waiting, length = [], 0.0
    return Spoken(rows, phones)


def _span(phones: Sequence[Phone]) -> tuple[float, float]:
    """From a little before the first phone to a little behind the last, s."""
    spoken = [phone for phone in phones if phone.name != SILENCE]
    if not spoken:
        return phones[0].start_s, phones[-1].end_s
    return max(phones[0].start_s, spoken[0].start_s - EDGE_S), min(phones[-1].end_s, spoken[-1].end_s + EDGE_S)


def _join(members: Sequence[Row], phones: Phones, seconds: float, folder: Path) -> tuple[Row, list[Phone]]:
    name = "+".join(row.id for row in members)
    parts: list[np.ndarray] = []
    aligned: list[Phone] = []
    at, rate = 0.0, members[0].sample_rate
    for row in members:
        first, last = _span(phones[row.id])
        samples, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
        if parts:
            parts.append(np.zeros(round(PAUSE_S * rate), dtype=np.float32))
            aligned.append(Phone(SILENCE, at, at + PAUSE_S))
            at += PAUSE_S
        parts.append(samples[round(first * rate) : round(last * rate)])
        aligned += [
            Phone(phone.name, max(phone.start_s, first) - first + at, min(phone.end_s, last) - first + at)
            for phone in phones[row.id]
            if phone.end_s > first and phone.start_s < last
        ]
        at += last - first
    wave = np.concatenate(parts)[: round(seconds * rate)]
    wave = np.pad(wave, (0, round(seconds * rate) - len(wave)))
    path = folder / f"{name.replace('/', '_')}.wav"
    if not path.exists():
        write_wav(path, wave, rate)
    cut = [Phone(phone.name, phone.start_s, min(phone.end_s, seconds)) for phone in aligned if phone.start_s < seconds]
    texts = [row.text for row in members if row.text]
    row = replace(
        members[0], id=name, path=path, text=" ".join(texts) or None, start_s=0.0, duration_s=seconds, channel=0,
        sample_rate=rate, file_samples=len(wave), file_channels=1,
    )  # fmt: skip
    return row, cut


def moved_by(spoken: Spoken, name: str, seed: int) -> Spoken:
    """Let another family of articulation than the phonetic one move the mouths."""
    if name == "phonetic":
        return spoken
    judge = family(spoken.rows, spoken.phones, name, seed)
    return Spoken(judge.rows, motions=judge.motions)


def judged(name: str, folder: Path, seconds: float | None, work: Path) -> Spoken:
    """Utterances of an independent judge, with the motion that came with them."""
    judge = {"measured": measured, "vocaltract": vocaltract}[name](folder, seconds, work)
    return Spoken(judge.rows, motions=judge.motions)


def half_of_the_speakers(spoken: Spoken, training: bool) -> Spoken:
    """Every second speaker, those for training or the others."""
    names = sorted({row.speaker for row in spoken.rows})
    kept = set(names[0 if training else 1 :: 2])
    return Spoken([row for row in spoken.rows if row.speaker in kept], spoken.phones, spoken.motions)


def met_again(spoken: Spoken, takes: int) -> Spoken:
    """Each speaker ``takes`` times, by another name: with other faces, phones, rooms and sessions."""
    rows = [
        replace(row, id=f"{row.id}{TAKE}{take}", speaker=f"{row.speaker}{TAKE}{take}")
        for take in range(takes)
        for row in spoken.rows
    ]
    return Spoken(rows, motions={row.id: spoken.motions[row.id.rsplit(TAKE, 1)[0]] for row in rows})
