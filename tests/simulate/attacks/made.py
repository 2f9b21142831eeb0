"""Jobs of single kinds over a small corpus, on a phone that adds nothing of its own."""

from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.levels import split_static, tone_factor
from vivavoce.simulate.plan import Corpus, Planned, plan
from vivavoce.simulate.render import samples_of
from vivavoce.simulate.speech import RATE_HZ

from ..utterances import write_corpus

CLEAN = {
    **{"gain_control_share": 0, "alpha2_db": -120, "alpha3_db": -120, "noise_dbc_hz": -120},
    **{"direct_cm": 1.5, "rolloff_db_per_khz": 0},
}
NONE = dict.fromkeys(SimulationConfig().kinds.model_dump(), 0)


def config(*kinds: Kind, count: float = 1, **changes: Any) -> SimulationConfig:
    fixed = {"distance_cm": 10, "distance_jitter": 0, "device": CLEAN, "postures": "stand"}
    return SimulationConfig.model_validate({"kinds": NONE | dict.fromkeys(kinds, count)} | fixed | changes)


def small_corpus(folder: Path, each: int = 3, seconds: float = 2.0) -> Corpus:
    rows, phones = write_corpus(folder, each=each, seconds=seconds)
    return Corpus(rows, phones, {})


def planned(corpus: Corpus, settings: SimulationConfig) -> list[Planned]:
    return plan(corpus, Path("out"), settings)


def recorded(item: Planned, settings: SimulationConfig) -> np.ndarray:
    """Samples (samples,) in [−1, 1]."""
    return samples_of(item.job, settings) / 32768


def moving_parts(wave: np.ndarray, tones_hz: tuple[float, ...]) -> list[np.ndarray]:
    """What moves of each tone's factor against its carrier, 300 frames a second."""
    parts = [split_static(tone_factor(wave, RATE_HZ, tone)) for tone in tones_hz]
    return [moving / abs(still) for still, moving in parts]
