"""The simulated sets of the liveness benchmark: what trains, what sets thresholds, what is judged."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import soxr

from liveness_corpora import Spoken, half_of_the_speakers, judged, met_again, moved_by, of_length, read_speech
from liveness_oracle import beside_known_motion, known_motion, link_with_known_motion
from liveness_plan import (
    CONDITIONS,
    FAMILIES,
    HELD_OUT,
    LARGE_SWAY,
    LENGTHS_S,
    PAIR,
    STAND10,
    TRAINED_ON,
    VALIDATED_ON,
    Condition,
    Kinds,
    Size,
    judged_kinds,
)
from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.manifest import Row, read_rows, write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.config import KindCounts, SimulationConfig
from vivavoce.simulate.dataset import MANIFEST, simulate_dataset
from vivavoce.simulate.draws import Spread
from vivavoce.simulate.pools import PoolConfig
from vivavoce.simulate.posture import PostureConfig, PostureShares

Half = Literal["all", "seen", "unseen"]


@dataclass(frozen=True)
class SetPlan:
    """One set of recordings: whose speech and whose mouths, how the phone is held, which kinds.

    ``seconds`` None: utterances as they are. ``condition`` None: distances and postures mixed.
    """

    source: str
    split: str
    half: Half
    kinds: tuple[tuple[str, float], ...]
    seconds: float | None = None
    condition: Condition | None = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        parts = [self.split, self.half, self.source]
        if self.condition is not None:
            parts.append(self.condition.name.replace(" ", ""))
        if self.seconds is not None:
            parts.append(f"{self.seconds:g}s")
        return "-".join(parts)


def plan_of(
    source: str, kinds: Kinds, seconds: float, condition: Condition, split: str = "test", half: Half = "unseen"
) -> SetPlan:
    """Plan a set of one length and condition; of unseen speakers, phones, rooms and loudspeakers unless told."""
    return SetPlan(source, split, half, tuple(kinds.items()), seconds, condition)


@dataclass(frozen=True)
class Bench:
    """Where everything lies and how much of it there is."""

    out: Path
    size: Size
    corpus: Path  # table of the speech corpus
    motion: Path  # folder of measured motion
    vocaltract: Path  # folder that judges_vocaltract.py made
    seed: int = 0
    workers: int = 2
    _kept: dict[tuple[str, ...], Spoken] = field(default_factory=dict, repr=False)

    @cached_property
    def speech(self) -> dict[str, Spoken]:
        """The speech corpus, split by speaker."""
        return read_speech(self.corpus, self.out / "corpus", self.seed, self.size, self.workers)

    @property
    def sources(self) -> tuple[str, ...]:
        """Whose motion tests judge by; a folder that is not there is left out, and the page says so."""
        return (*self._judges, *FAMILIES)

    @property
    def _judges(self) -> tuple[str, ...]:
        folders = {"measured": self.motion, "vocaltract": self.vocaltract}
        return tuple(name for name, folder in folders.items() if any(folder.rglob("*.npz")))

    def training_sets(self, trained_on: str) -> tuple[SetPlan, SetPlan]:
        """The sets to train and to validate on."""
        return (
            SetPlan(trained_on, "train", "seen", tuple(TRAINED_ON.items())),
            SetPlan("phonetic", "validation", "seen", tuple(TRAINED_ON.items())),
        )

    def validation_sets(self, seconds: float) -> list[SetPlan]:
        """The sets that thresholds come from: phonetic motion, phones and rooms that training has seen."""
        kinds = VALIDATED_ON | ({"spliced": 1.0} if seconds > 3 else {})
        return [plan_of("phonetic", kinds, seconds, condition, "validation", "seen") for condition in CONDITIONS]

    def test_sets(self, seconds: float) -> list[SetPlan]:
        """The sets that are judged; families differ from one another in the mouth alone, so attacks without one once.

        Six seconds are for swapped mouths, shifts and splices, without the families.
        """
        sets = []
        for source in self.sources if seconds == 3 else (*self._judges, FAMILIES[0]):
            for condition in CONDITIONS:
                kinds = judged_kinds(condition) if seconds == 3 and source not in FAMILIES[1:] else PAIR
                if seconds > 3 and source == "phonetic":
                    kinds = kinds | {"spliced": 1.0}
                sets.append(plan_of(source, kinds, seconds, condition))
        return sets

    def other_sets(self) -> list[SetPlan]:
        """Large sway, and loudspeakers, phones and rooms that training has seen."""
        known = {"live": 1.0, "replay_stand": 1.0, **HELD_OUT}
        return [
            plan_of("phonetic", {"live": 1.0}, 3, LARGE_SWAY),
            plan_of("phonetic", known, 3, STAND10, half="seen"),
        ]

    def all_sets(self) -> list[SetPlan]:
        """Every set of the benchmark."""
        trained = [plan for name in self.trained_on for plan in self.training_sets(name)]
        timed = [plan for s in LENGTHS_S for plan in (*self.validation_sets(s), *self.test_sets(s))]
        return list(dict.fromkeys([*trained, *timed, *self.other_sets()]))

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Motion that trainings use."""
        return (*FAMILIES, *(name for name in self._judges if name == "vocaltract"))

    def manifest(self, plan: SetPlan) -> Path:
        """Where a set's manifest is."""
        return self.out / "recordings" / plan.name / MANIFEST

    def rows(self, plan: SetPlan) -> list[Row]:
        """The recordings of a set, simulated where that was not done yet."""
        self.simulate(plan)
        return read_rows(self.manifest(plan))

    def simulate(self, plan: SetPlan) -> None:
        """Simulate a set, unless that was done."""
        if self.manifest(plan).exists():
            return
        spoken = self.spoken(plan)
        config = simulation(plan, self.seed)
        folder = self.manifest(plan).parent
        simulate_dataset(spoken.rows, folder, config, spoken.phones, spoken.motions, workers=self.workers)

    def with_known_motion(self, rows: list[Row]) -> list[Row]:
        """The same recordings in folders where the phone's true motion lies beside them."""
        recordings = self.out / "recordings"
        places = [row.path.relative_to(recordings) for row in rows]
        plans = {plan.name: plan for plan in self.all_sets()}
        for name in dict.fromkeys(place.parts[0] for place in places):
            folder = recordings / f"{name}-oracle"
            if not known_motion(folder):
                spoken, config = self.spoken(plans[name]), simulation(plans[name], self.seed)
                link_with_known_motion(spoken, config, recordings / name, folder)
        return [
            beside_known_motion(row, recordings / f"{place.parts[0]}-oracle" / Path(*place.parts[1:]))
            for row, place in zip(rows, places, strict=True)
        ]

    def spoken(self, plan: SetPlan) -> Spoken:
        """The utterances of a set and what moves their mouths; they do not depend on the condition."""
        key = (plan.source, plan.split, str(plan.seconds))
        if key not in self._kept:
            self._kept[key] = self._read(plan)
        return self._kept[key]

    def _read(self, plan: SetPlan) -> Spoken:
        if plan.source in FAMILIES:
            spoken = self.speech[plan.split]
            if plan.seconds is not None:
                spoken = of_length(spoken, plan.seconds, self.out / "corpus" / f"{plan.split}-{plan.seconds:g}s")
            return moved_by(spoken, plan.source, self.seed)
        folder = {"measured": self.motion, "vocaltract": self.vocaltract}[plan.source]
        spoken = judged(
            plan.source, folder, plan.seconds, self.out / "corpus" / f"{plan.source}-{plan.seconds or 0:g}s"
        )
        if plan.source == "vocaltract":
            spoken = half_of_the_speakers(spoken, plan.split == "train")
        return met_again(spoken, self._takes(spoken, plan))

    def _takes(self, spoken: Spoken, plan: SetPlan) -> int:
        """How often each speaker of a judge is met: for enough recordings, or for training as long as the others."""
        if plan.split != "train":
            return max(1, round(self.size.judged / len(spoken.rows)))
        own, others = (sum(row.duration_s for row in one.rows) for one in (spoken, self.speech["train"]))
        return max(1, round(others / own))


def simulation(plan: SetPlan, seed: int) -> SimulationConfig:
    """The simulator's config of a set: one seed for all, so that halves of the pools stay apart."""
    kinds = KindCounts(**dict.fromkeys(KindCounts.model_fields, 0.0) | dict(plan.kinds))
    pools = PoolConfig(half=plan.half)
    condition = plan.condition
    if condition is None:
        taught = plan.split == "train"
        return SimulationConfig(seed=seed, kinds=kinds, pools=pools, accelerometer=True, mouth_motion=taught)
    posture = PostureConfig()
    if condition.sway_mm is not None:
        limits = (min(0.2, condition.sway_mm), max(5.0, condition.sway_mm))
        posture = PostureConfig(sway_mm=condition.sway_mm, sway_sigma=0, sway_limits_mm=limits)
    shares = {name: float(name == condition.posture) for name in PostureShares.model_fields}
    return SimulationConfig(
        seed=seed, kinds=kinds, pools=pools, postures=PostureShares(**shares), posture=posture,
        distance_cm=Spread.model_validate(condition.distance_cm), distance_jitter=0, accelerometer=True,
    )  # fmt: skip


VOICES_OF_BABBLE = 4


def with_babble(rows: list[Row], voices: list[Row], folder: Path, seed: int) -> Iterator[Row]:
    """Add four other people's voices at 0 dB to the voice band of recordings; the ultrasound band stays as it is.

    The level is that of the whole recording below 8 kHz. Where the sum would clip, all of it is turned down.
    """
    for row in rows:
        rng = np.random.default_rng([seed, *row.id.encode()])
        samples, rate = read_audio(row.path)
        others = [voice for voice in voices if voice.speaker != row.speaker.split("~")[0]]
        babble = np.zeros(len(samples))
        for index in rng.choice(len(others), min(VOICES_OF_BABBLE, len(others)), replace=False):
            babble += _voice(others[index], len(samples), rate, rng)
        own = soxr.resample(samples, rate, 16_000)
        mixed = samples + babble * np.sqrt(np.mean(own**2) / max(np.mean(babble**2), 1e-20))
        mixed *= min(1.0, 0.99 / np.abs(mixed).max())
        target = folder / f"{row.id.replace('/', '_')}.wav"
        write_wav(target, mixed, rate)
        yield replace(row, path=target)


def _voice(row: Row, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """A voice of level 1 at ``rate``, turned round to begin anywhere, repeated to ``samples``."""
    wave, own = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    wave = soxr.resample(wave, own, rate)
    wave = np.roll(np.resize(wave, max(samples, len(wave))), int(rng.integers(len(wave))))[:samples]
    return wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9)


def babbled(bench: Bench, plan: SetPlan) -> list[Row]:
    """Live recordings and swapped mouths of a set, with babble; made once."""
    folder = bench.out / "recordings" / f"{plan.name}-babble"
    manifest = folder / MANIFEST
    if not manifest.exists():
        rows = [row for row in bench.rows(plan) if row.meta.kind in (Kind.LIVE, Kind.SWAPPED_MOUTH)]
        write_rows(with_babble(rows, bench.speech["test"].rows, folder, bench.seed), manifest)
    return read_rows(manifest)
