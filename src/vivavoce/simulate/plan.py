"""Who gets what: sessions, phones, attacks and their draws for every utterance, before any sound is made."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.signal.probe import draw_probe
from vivavoce.simulate.attacks import POSTURES, Session
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.device import Device, draw_device
from vivavoce.simulate.draws import generator
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.render import Job, Mouth, Source
from vivavoce.simulate.room import draw_room
from vivavoce.simulate.speech import RATE_HZ


@dataclass(frozen=True)
class Planned:
    """A job and what the manifest will say of it."""

    job: Job
    row: Row


@dataclass(frozen=True)
class Corpus:
    """The utterances: rows, their phones by id, measured motions by id."""

    rows: Sequence[Row]
    phones: Mapping[str, Sequence[Phone]]
    motions: Mapping[str, Motion]

    def mouth(self, row: Row) -> Mouth:
        """Return the mouth that says ``row``; a measured motion goes before phones."""
        measured = self.motions.get(row.id)
        if measured is None and row.id not in self.phones:
            raise UserError(f"The utterance {row.id} has neither aligned phones nor measured motion; align it first.")
        phones = () if measured is not None else tuple(self.phones[row.id])
        return Mouth(row.speaker, phones, row.duration_s, measured)


def plan(corpus: Corpus, out_dir: Path, config: SimulationConfig) -> list[Planned]:
    """Plan all recordings, in the order of the rows; equal inputs give equal plans.

    Raises:
        UserError: no rows, nothing asked for, a missing alignment, or no other utterance for a swapped mouth.
    """
    if not corpus.rows:
        raise UserError("There are no recordings to simulate from; import some first.")
    if not config.kinds.items():
        raise UserError("All of `kinds` are 0, so there is nothing to simulate; ask for at least one kind.")
    devices = [
        draw_device(generator(config.seed, "device", str(i)), config.device, f"device{i + 1}", RATE_HZ)
        for i in range(config.devices)
    ]
    sessions = _deal_sessions(corpus.rows, config)
    counts = {kind: _counts(corpus.rows, kind, count, config.seed) for kind, count in config.kinds.items()}
    drawn: dict[tuple[str, str], Session] = {}
    planned: list[Planned] = []
    for row in corpus.rows:
        key = (row.speaker, sessions[row.id])
        if key not in drawn:
            drawn[key] = draw_session(*key, devices, config)
        planned += [
            _plan_one(corpus, row, kind, turn, drawn[key], out_dir, config)
            for kind in counts
            for turn in range(counts[kind][row.id])
        ]
    if not planned:
        raise UserError("The counts of `kinds` round to no recording at all; raise them or give more utterances.")
    return planned


def draw_session(speaker: str, name: str, devices: Sequence[Device], config: SimulationConfig) -> Session:
    """Draw a session of a speaker: the speaker's own phone, a room, a fresh probe, posture and distance."""
    own = int(generator(config.seed, "owner", speaker).integers(len(devices)))
    rng = generator(config.seed, "session", speaker, name)
    return Session(
        name=name,
        device=devices[own],
        room=draw_room(rng, config.room, config.scatter),
        probe=draw_probe(rng, tones=config.probe.tones),
        posture="stand" if rng.random() < config.stand_share else "handheld",
        distance_m=config.distance_cm.draw(rng) / 100,
    )


def _deal_sessions(rows: Sequence[Row], config: SimulationConfig) -> dict[str, str]:
    """Name the session of every row: its own, or one of the speaker's in turn."""
    dealt: dict[str, int] = defaultdict(int)
    sessions = {}
    for row in rows:
        if row.meta.session is not None:
            sessions[row.id] = row.meta.session
            continue
        sessions[row.id] = f"s{dealt[row.speaker] % config.sessions_per_speaker + 1}"
        dealt[row.speaker] += 1
    return sessions


def _counts(rows: Sequence[Row], kind: Kind, count: float, seed: int) -> dict[str, int]:
    """How many recordings of ``kind`` each row gets; a fraction falls on that share of each speaker's rows."""
    whole, part = int(count), count - int(count)
    result = {row.id: whole for row in rows}
    if part == 0:
        return result
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_speaker[row.speaker].append(row.id)
    for speaker, ids in by_speaker.items():
        rng = generator(seed, "count", kind, speaker)
        # Rounded up or down at random, so that few utterances a speaker give the right share over all.
        chosen = int(part * len(ids) + rng.random())
        for index in rng.permutation(len(ids))[:chosen]:
            result[ids[index]] += 1
    return result


def _plan_one(
    corpus: Corpus, row: Row, kind: Kind, turn: int, session: Session, out_dir: Path, config: SimulationConfig
) -> Planned:
    name = f"{row.id}.{kind}" + (f".{turn + 1}" if turn else "")
    rng = generator(config.seed, "plan", name)
    posture = POSTURES.get(kind, session.posture)
    limits = config.distance_cm
    distance_cm = session.distance_m * 100 * np.exp(config.distance_jitter * rng.standard_normal())
    distance_cm = float(np.clip(distance_cm, limits.low, limits.high))
    job = Job(
        id=name,
        kind=kind,
        target=out_dir / _file_name(row.speaker) / f"{_file_name(name)}.wav",
        source=Source(row.path, row.channel, row.start_s, row.duration_s),
        session=session,
        posture=posture,
        distance_m=distance_cm / 100,
        mouth=corpus.mouth(row),
    )
    extra: dict[str, Any] = {}
    if kind is Kind.SWAPPED_MOUTH:
        other = _other_utterance(corpus.rows, row, rng, config)
        job = replace(job, mouth=corpus.mouth(other), delay_s=config.attack.mouth_delay_s.draw(rng))
        extra["mouth"] = other.id
    elif kind is Kind.SHIFTED:
        shift_ms = float(rng.choice((-1.0, 1.0)) * rng.uniform(*config.attack.shift_ms))
        job = replace(job, delay_s=shift_ms / 1000)
        extra["shift_ms"] = round(shift_ms, 3)
    elif kind is Kind.RECORDED_ULTRASOUND:
        job = replace(job, earlier=draw_session(row.speaker, f"{session.name}/{name}", [session.device], config))
    return Planned(job, _manifest_row(row, job, extra))


def _other_utterance(rows: Sequence[Row], row: Row, rng: np.random.Generator, config: SimulationConfig) -> Row:
    """Choose whose mouth, saying what, is put before the phone instead: another text, of this or another speaker."""
    same = rng.random() < config.attack.same_speaker_share
    others = [other for other in rows if other.id != row.id and (other.text is None or other.text != row.text)]
    wanted = [other for other in others if (other.speaker == row.speaker) == same] or others
    if not wanted:
        raise UserError(
            f"No other utterance than {row.id} is there for a swapped mouth; give more recordings or set "
            "kinds.swapped_mouth to 0."
        )
    return wanted[int(rng.integers(len(wanted)))]


def _manifest_row(row: Row, job: Job, extra: dict[str, Any]) -> Row:
    session = job.session
    samples = round(row.duration_s * RATE_HZ)
    meta = row.meta.of_what_is_said() | {
        "session": session.name,
        "kind": job.kind,
        "device": session.device.name,
        "posture": job.posture,
        "distance_cm": round(job.distance_m * 100, 3),
        "probe_hz": () if job.kind is Kind.PROBE_ABSENT else session.probe.tones_hz,
        "source": row.id,
        "simulated": True,
        **extra,
    }
    return Row(
        id=job.id,
        path=job.target,
        speaker=row.speaker,
        text=row.text,
        start_s=0.0,
        duration_s=samples / RATE_HZ,
        sample_rate=RATE_HZ,
        channel=0,
        meta=Metadata.model_validate(meta),
        file_samples=samples,
        file_channels=1,
    )


def _file_name(text: str) -> str:
    """Make a name that every file system takes."""
    return re.sub(r"[^\w.+-]", "_", text)
