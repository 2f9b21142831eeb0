"""Which voice bands and ultrasound bands are joined: negatives of live recordings, and positives with their seam."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from vivavoce.corpus.groups import source_of
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.features.splicing import LEAST_SHIFT_S, RATES_HZ
from vivavoce.simulate.draws import generator

# Shorter recordings say too little to be worth a place in a training set.
LEAST_S = 1.0
# Scenes in which no living mouth moves before the phone.
STILL = (Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.REPLAY_MOVING, Kind.TTS)
# Random picks from all recordings before they are gone through one by one.
PICKS = 32

Made = Literal["replace", "swap", "shift", "resplice"]


class SplicingConfig(BaseModel):
    """How many negatives are made of each live recording, and how hard they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0, description="one seed for everything that is drawn")
    replace: int = Field(default=1, ge=0, le=100, description="with the ultrasound band of a replay, per recording")
    swap: int = Field(default=1, ge=0, le=100, description="with that of another live recording, per recording")
    shift: int = Field(default=1, ge=0, le=100, description="with its own, shifted in time, per recording")
    hard_share: float = Field(
        default=0.5, ge=0, le=1, description="share of swaps with the same speaker, else the same phrase, if there is"
    )
    shift_ms: tuple[float, float] = Field(
        default=(120.0, 1000.0), description="least and most shift, ms, either sign (DESIGN §6)"
    )

    @field_validator("shift_ms")
    @classmethod
    def _long_enough(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 1000 * LEAST_SHIFT_S <= value[0] <= value[1] <= 60_000:
            raise ValueError("shifts run from 120 ms or more (less is label noise) to 60000 ms at most, rising")
        return value


@dataclass(frozen=True)
class Splice:
    """One recording to make: ``samples`` of the voice of one row with the ultrasound band of another, from places."""

    id: str
    made: Made
    target: Path
    voice: Row
    echo: Row
    voice_start: int
    echo_start: int
    samples: int

    @property
    def span(self) -> tuple[str, int, int]:
        """Which voice it holds."""
        return self.voice.id, self.voice_start, self.samples


@dataclass(frozen=True)
class Plan:
    """What to make, and how many negatives could not be had, by what they would have been."""

    splices: list[Splice]
    left_out: Counter[str] = field(default_factory=Counter)


def plan_negatives(rows: Sequence[Row], out_dir: Path, config: SplicingConfig) -> Plan:
    """Choose what is joined with what; equal inputs give equal plans, and each row's draws are its own.

    Raises:
        UserError: there is no live recording with an ultrasound band, nothing to replace it with, or nothing asked for.
    """
    donors = Donors(rows)
    if config.replace + config.swap + config.shift == 0:
        raise UserError("Nothing is asked for; give --replace, --swap or --shift a number above 0.")
    if not donors.live:
        raise UserError(
            "The manifest holds no live recording of a second or more at 44100, 48000 or 96000 Hz, of which negatives "
            "could be made."
        )
    if config.replace and not donors.still:
        raise UserError(
            "The manifest holds no replay whose ultrasound band could replace a live one; simulate or record some, or "
            "give --replace 0."
        )
    plan = Plan([])
    for row in donors.live:
        negatives = list(_negatives(row, donors, out_dir, config, plan.left_out))
        plan.splices.extend(negatives)
        spans = list(dict.fromkeys(splice.span for splice in negatives))
        for turn, (_, start, samples) in enumerate(spans):
            name = _name(row, "respliced", turn)
            plan.splices.append(Splice(name, "resplice", _target(row, name, out_dir), row, row, start, start, samples))
    if not plan.splices:
        raise UserError("No negative could be made: no two recordings of different words match; give more recordings.")
    _check_targets(plan.splices)
    return plan


class Donors:
    """The recordings of a manifest by what they can give."""

    def __init__(self, rows: Sequence[Row]) -> None:
        usable = [row for row in rows if _usable(row)]
        self.live = [row for row in usable if row.meta.kind is Kind.LIVE]
        self.still = [row for row in usable if row.meta.kind in STILL]

    @cached_property
    def by_speaker(self) -> dict[str, list[Row]]:
        """Live recordings of each speaker."""
        return _grouped(self.live, lambda row: row.speaker)

    @cached_property
    def by_phrase(self) -> dict[str, list[Row]]:
        """Live recordings of each phrase (or text)."""
        return _grouped(self.live, _phrase)

    def other_mouth(self, row: Row, hard: bool, rng: np.random.Generator) -> Row | None:
        """Pick another live recording, of other words or another take; ``hard``: same speaker, else same phrase."""
        pools = [self.live]
        if hard:
            pools = [self.by_speaker[row.speaker], self.by_phrase.get(_phrase(row) or "", []), self.live]
        return _pick(pools, lambda other: _fits(row, other), rng)

    def no_mouth(self, row: Row, rng: np.random.Generator) -> Row | None:
        """Pick a recording in which no mouth moves; one of the same speaker's phone if there is."""
        own = [other for other in self.still_by_speaker.get(row.speaker, []) if other.meta.device == row.meta.device]
        return _pick([own, self.still], lambda other: other.sample_rate == row.sample_rate, rng)

    @cached_property
    def still_by_speaker(self) -> dict[str, list[Row]]:
        """Recordings without a mouth, of each speaker's voice."""
        return _grouped(self.still, lambda row: row.speaker)


def _negatives(
    row: Row, donors: Donors, out_dir: Path, config: SplicingConfig, left_out: Counter[str]
) -> Iterator[Splice]:
    """Plan the negatives of one live recording."""
    bands: tuple[tuple[Made, int], ...] = (("replace", config.replace), ("swap", config.swap))
    for made, count in bands:
        for turn in range(count):
            rng = generator(config.seed, row.id, made, str(turn))
            hard = bool(rng.random() < config.hard_share)
            other = donors.no_mouth(row, rng) if made == "replace" else donors.other_mouth(row, hard, rng)
            if other is None:
                left_out[made] += 1
                continue
            name = _name(row, "replaced" if made == "replace" else "swapped", turn)
            samples = min(_samples(row), _samples(other))
            yield Splice(name, made, _target(row, name, out_dir), row, other, 0, 0, samples)
    for turn in range(config.shift):
        rng = generator(config.seed, row.id, "shift", str(turn))
        most_ms = min(config.shift_ms[1], 1000 * (row.duration_s - LEAST_S))
        if most_ms < config.shift_ms[0]:
            left_out["shift"] += 1
            continue
        shift = round(rng.uniform(config.shift_ms[0], most_ms) / 1000 * row.sample_rate)
        late = bool(rng.random() < 0.5)
        name = _name(row, "shifted", turn)
        places = (shift, 0) if late else (0, shift)
        yield Splice(name, "shift", _target(row, name, out_dir), row, row, *places, _samples(row) - shift)


def _fits(row: Row, other: Row) -> bool:
    """Whether another's mouth says other words than ``row``, or says them at another time."""
    made_from = source_of(row) or row.id
    return (
        other.id != row.id
        and (source_of(other) or other.id) != made_from
        and (other.path, other.start_s) != (row.path, row.start_s)
        and other.sample_rate == row.sample_rate
    )


def _pick(pools: Sequence[list[Row]], fits: Callable[[Row], bool], rng: np.random.Generator) -> Row | None:
    """Pick a row that fits from the first pool that has one."""
    for pool in filter(None, pools):
        for index in rng.integers(len(pool), size=PICKS):
            if fits(pool[index]):
                return pool[index]
        begin = int(rng.integers(len(pool)))
        found = next((row for row in [*pool[begin:], *pool[:begin]] if fits(row)), None)
        if found is not None:
            return found
    return None


def _grouped(rows: Sequence[Row], key: Callable[[Row], str | None]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if (name := key(row)) is not None:
            groups[name].append(row)
    return groups


def _phrase(row: Row) -> str | None:
    return row.meta.phrase or row.text


def _usable(row: Row) -> bool:
    """Whether a recording has both bands, is long enough, and is not itself spliced."""
    spliced = (row.meta.model_extra or {}).get("made") is not None
    return row.sample_rate in RATES_HZ and row.duration_s >= LEAST_S and row.meta.probe_hz != () and not spliced


def _samples(row: Row) -> int:
    return round(row.duration_s * row.sample_rate)


def _name(row: Row, made: str, turn: int) -> str:
    return f"{row.id}.{made}" + (f".{turn + 1}" if turn else "")


def _target(row: Row, name: str, out_dir: Path) -> Path:
    folder, file = (re.sub(r"[^\w.+-]", "_", text) for text in (row.speaker, name))  # names that every system takes
    return out_dir / folder / f"{file}.wav"


def _check_targets(splices: Sequence[Splice]) -> None:
    seen: dict[Path, str] = {}
    for splice in splices:
        if (before := seen.setdefault(splice.target, splice.id)) != splice.id:
            raise UserError(f"{before} and {splice.id} would both be written to {splice.target}; rename one of them.")
