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
from vivavoce.simulate.attacks.kinds import PLAYED, POSTURES
from vivavoce.simulate.attacks.mouthing import mouthed_along
from vivavoce.simulate.attacks.take import Session
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.draws import generator
from vivavoce.simulate.espeak import available
from vivavoce.simulate.job import Job, Mouth, Source, true_phone_motion
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.phonemes import SILENCE, Phone
from vivavoce.simulate.pools import Pools, draw_pools
from vivavoce.simulate.speech import RATE_HZ

# Spliced words begin this long after the recording's first sample at least, and end as long before its last, s.
SPLICE_EDGE_S = 0.05


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
    pools = draw_pools(config.seed, config.pools, config.device, config.room, config.scatter)
    sessions = _deal_sessions(corpus.rows, config)
    counts = {kind: _counts(corpus.rows, kind, count, config.seed) for kind, count in config.kinds.items()}
    drawn: dict[tuple[str, str], Session] = {}
    planned: list[Planned] = []
    for row in corpus.rows:
        key = (row.speaker, sessions[row.id])
        if key not in drawn:
            drawn[key] = draw_session(*key, pools, config)
        planned += [
            _plan_one(corpus, row, kind, turn, drawn[key], pools, out_dir, config)
            for kind in counts
            for turn in range(counts[kind][row.id])
        ]
    if not planned:
        raise UserError("The counts of `kinds` round to no recording at all; raise them or give more utterances.")
    return planned


def draw_session(speaker: str, name: str, pools: Pools, config: SimulationConfig) -> Session:
    """Draw a session of a speaker: the speaker's own phone, a room, a fresh probe, posture and distance."""
    own = int(generator(config.seed, "owner", speaker).integers(len(pools.devices)))
    rng = generator(config.seed, "session", speaker, name)
    posture = config.postures.draw(rng)
    return Session(
        name=name,
        device=pools.devices[own],
        room=pools.rooms[int(rng.integers(len(pools.rooms)))],
        probe=draw_probe(rng, tones=config.probe.tones),
        posture=posture,
        distance_m=config.distances_cm(posture).draw(rng) / 100,
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
    corpus: Corpus,
    row: Row,
    kind: Kind,
    turn: int,
    session: Session,
    pools: Pools,
    out_dir: Path,
    config: SimulationConfig,
) -> Planned:
    name = f"{row.id}.{kind}" + (f".{turn + 1}" if turn else "")
    rng = generator(config.seed, "plan", name)
    limits = config.distances_cm(session.posture)
    distance_cm = session.distance_m * 100 * np.exp(config.distance_jitter * rng.standard_normal())
    distance_cm = float(np.clip(distance_cm, limits.low, limits.high))
    size = pools.loudspeakers[int(rng.integers(len(pools.loudspeakers)))]
    job = Job(
        id=name,
        kind=kind,
        target=out_dir / _file_name(row.speaker) / f"{_file_name(name)}.wav",
        source=_source(row),
        session=session,
        posture=POSTURES.get(kind, session.posture),
        distance_m=distance_cm / 100,
        mouth=corpus.mouth(row),
        loudspeaker=size if kind in PLAYED else None,
    )
    job, extra = _made_an_attack(corpus, row, job, rng, pools, config)
    sway_m = float(np.std(true_phone_motion(job, config)[:, 0]))
    return Planned(job, _manifest_row(row, job, sway_m, config, extra))


def _made_an_attack(
    corpus: Corpus, row: Row, job: Job, rng: np.random.Generator, pools: Pools, config: SimulationConfig
) -> tuple[Job, dict[str, Any]]:
    """Add to a job what its kind draws; returns what the metadata say of it beyond our own names, too."""
    attack = config.attack
    if job.kind is Kind.SWAPPED_MOUTH:
        same = rng.random() < attack.same_speaker_share
        other = _other_utterance(corpus.rows, row, rng, same, job.kind)
        return replace(job, mouth=corpus.mouth(other), delay_s=attack.mouth_delay_s.draw(rng)), {"mouth": other.id}
    if job.kind is Kind.SHIFTED:
        shift_ms = float(rng.choice((-1.0, 1.0)) * rng.uniform(*attack.shift_ms))
        return replace(job, delay_s=shift_ms / 1000), {"shift_ms": round(shift_ms, 3)}
    if job.kind is Kind.MOUTHING:
        # An attacker's articulation of its own, whoever else is in the corpus.
        mouth, lag_s = mouthed_along(job.mouth, f"{job.id}/attacker", rng, attack)
        return replace(job, mouth=mouth, delay_s=lag_s), {"lag_ms": round(1000 * lag_s, 3)}
    if job.kind is Kind.RECORDED_ULTRASOUND:
        return replace(job, earlier=draw_session(row.speaker, f"{job.session.name}/{job.id}", pools, config)), {}
    if job.kind is Kind.TTS:
        text = row.text if available() else None
        made_by = "vocoder" if text is None else "espeak-ng"
        return replace(job, text=text, sex=row.meta.sex), {"synthesis": made_by}
    if job.kind is Kind.SPLICED:
        other = _other_utterance(corpus.rows, row, rng, True, job.kind)
        played = rng.random() < attack.splice_played_share
        size = pools.loudspeakers[int(rng.integers(len(pools.loudspeakers)))] if played else None
        spans = (_splice(job.mouth, rng, attack.splice_s),)
        return replace(job, other=_source(other), splices=spans, loudspeaker=size), {"spliced_from": other.id}
    return job, {}


def _splice(mouth: Mouth, rng: np.random.Generator, lengths_s: tuple[float, float]) -> tuple[float, float]:
    """Draw which span of a voice is replaced, in s: within what is spoken, as far as the phones are known."""
    spoken = [phone for phone in mouth.phones if phone.name != SILENCE]
    first, last = (spoken[0].start_s, spoken[-1].end_s) if spoken else (0.0, mouth.duration_s)
    first, last = max(first, SPLICE_EDGE_S), min(last, mouth.duration_s - SPLICE_EDGE_S)
    length = min(rng.uniform(*lengths_s), 0.6 * mouth.duration_s, last - first)
    start = rng.uniform(first, max(first, last - length))
    return round(float(start), 4), round(float(start + length), 4)


def _other_utterance(rows: Sequence[Row], row: Row, rng: np.random.Generator, same: bool, kind: Kind) -> Row:
    """Choose another utterance, with another text, of the same or of another speaker, as far as there is one."""
    others = [other for other in rows if other.id != row.id and (other.text is None or other.text != row.text)]
    wanted = [other for other in others if (other.speaker == row.speaker) == same] or others
    if not wanted:
        raise UserError(
            f"No other utterance than {row.id} is there for the kind {kind}; give more recordings or set "
            f"kinds.{kind} to 0."
        )
    return wanted[int(rng.integers(len(wanted)))]


def _source(row: Row) -> Source:
    return Source(row.path, row.channel, row.start_s, row.duration_s)


def _manifest_row(row: Row, job: Job, sway_m: float, config: SimulationConfig, extra: dict[str, Any]) -> Row:
    session = job.session
    meta = row.meta.of_what_is_said() | {
        "session": session.name,
        "kind": job.kind,
        "device": session.device.name,
        "posture": job.posture,
        "distance_cm": round(job.distance_m * 100, 3),
        "probe_hz": () if job.kind is Kind.PROBE_ABSENT else session.probe.tones_hz,
        "room": session.room.name,
        "loudspeaker": job.loudspeaker,
        "sway_mm": round(1000 * sway_m, 5),
        "splices": job.splices or None,
        "accelerometer": job.acceleration.name if config.accelerometer else None,
        "mouth_motion": job.mouth_motion.name if job.shows_mouth(config) else None,
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
        duration_s=job.samples / RATE_HZ,
        sample_rate=RATE_HZ,
        channel=0,
        meta=Metadata.model_validate(meta),
        file_samples=job.samples,
        file_channels=1,
    )


def _file_name(text: str) -> str:
    """Make a name that every file system takes."""
    return re.sub(r"[^\w.+-]", "_", text)
