"""Handling noise: a phone is bumped and rubbed while it is held."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import scipy.signal
import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional

from vivavoce.features.augment.bank import Bank, Clips
from vivavoce.features.augment.base import RATE_HZ, Range, Section, Step, column, positive
from vivavoce.features.augment.level import active_power

BANK_S = 60.0
LONGEST_S = 1.0  # of one event
MOST_EVENTS = 32
SYNTHESISED = 64  # bumps, and as many rubs
# A bump rings the phone's body, two low modes that are gone in 10 to 60 ms, and taps its shell, noise that is gone in
# 5 to 30 ms. A rub is noise that swells and fades. The upper edges of both noises are drawn so that half the power
# lies where it does in recorded ones: 0.1 to 1.2 kHz for taps, 0.1 to 2.1 kHz for rubs.
BUMP_HZ, BUMP_DECAY_S, BUMP_S = (40.0, 250.0), (0.010, 0.060), 0.25
TAP_HZ, TAP_DECAY_S = (300.0, 4000.0), (0.005, 0.030)
RUB_HZ, RUB_S = (150.0, 6000.0), (0.15, 0.6)
LOWEST_HZ = 40.0
STICK_S = 0.1  # skin sticks and slips some ten times a second


class HandlingConfig(Section):
    """Bumps and rubbing of the hand at the phone."""

    probability: float = Field(default=0.2, ge=0, le=1, description="share of the recordings it is applied to")
    level_db: Range = Field(
        default=(-15.0, 5.0), description="power of an event while it sounds against active speech power, dB"
    )
    events_per_s: Annotated[Range, AfterValidator(positive)] = Field(
        default=(0.3, 2.0), description="events in a second of the recording, at least one in each recording"
    )
    path: Path | None = Field(default=None, description="folder of recorded handling noises; none: synthesised")

    def build(self) -> "Handling":
        """Make the step."""
        return Handling(self)


class Handling(Step):
    """Adds the bumps and the rubbing of a hand at the phone, at random times.

    Bands: the voice band alone; of the motion that comes with it the echo shows nothing. The correlation label stays
    true: the voice itself is unchanged.
    """

    name = "handling"
    bands = frozenset({"voice"})
    keeps_correlation = True

    def __init__(self, config: HandlingConfig) -> None:
        super().__init__(config.probability)
        self.config = config
        self.bank = Bank(config.path, "handling noise", BANK_S, LONGEST_S) if config.path is not None else None

    @cached_property
    def events(self) -> Clips:
        """One event a clip, of unit power."""
        clips = synthesised_events() if self.bank is None else list(self.bank.sounds.values())
        return Clips([clip / np.sqrt(np.square(clip).mean()) for clip in clips])

    def load(self) -> None:
        """Read the user's sounds."""
        if self.bank is not None:
            _ = self.events

    def apply(self, wave: Tensor, lengths: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Add events; see `Step.apply`."""
        events, rows = self.events, len(rngs)
        counts = np.empty(rows, dtype=np.int64)
        which, starts = np.zeros((2, MOST_EVENTS, rows), dtype=np.int64)
        gains = np.zeros((MOST_EVENTS, rows))
        for row, (rng, samples) in enumerate(zip(rngs, lengths.tolist(), strict=True)):
            expected = rng.uniform(*self.config.events_per_s) * samples / RATE_HZ
            counts[row] = count = min(max(1, rng.poisson(expected)), MOST_EVENTS)
            which[:count, row] = rng.integers(len(events), size=count)
            starts[:count, row] = rng.integers(samples, size=count)
            levels_db = rng.uniform(*self.config.level_db, size=count)
            gains[:count, row] = rng.choice((-1.0, 1.0), size=count) * 10 ** (levels_db / 20)
        longest = int(events.lengths.max())
        time = torch.arange(longest, device=wave.device)
        total = functional.pad(torch.zeros_like(wave), (0, longest))
        zeros = np.zeros(rows, dtype=np.int64)
        for slot in range(int(counts.max())):  # one event of each item at a time, so that no place is added to twice
            sizes = torch.from_numpy(events.lengths[which[slot]]).to(wave.device)[:, None]
            event = events.gather(which[slot], zeros, longest, wave.device) * column(gains[slot], wave)
            place = torch.from_numpy(starts[slot]).to(wave.device)[:, None] + time
            total.scatter_add_(1, place, torch.where(time < sizes, event, 0.0))
        return wave + total[:, : wave.shape[1]] * active_power(wave, lengths)[:, None].sqrt()


def synthesised_events() -> list[np.ndarray]:
    """Bumps and rubs, always the same ones; which, when and how loud is what varies."""
    rng = np.random.default_rng(0)
    return [make(rng) for make in (_bump, _rub) for _ in range(SYNTHESISED)]


def _bump(rng: np.random.Generator) -> np.ndarray:
    time = np.arange(int(BUMP_S * RATE_HZ)) / RATE_HZ
    hertz, decay_s = rng.uniform(*BUMP_HZ, (2, 1)), rng.uniform(*BUMP_DECAY_S, (2, 1))
    phase = rng.uniform(0, 2 * np.pi, (2, 1))
    ringing = (np.sin(2 * np.pi * hertz * time + phase) * np.exp(-time / decay_s)).sum(axis=0)
    tap = _coloured(rng, len(time), TAP_HZ) * np.exp(-time / rng.uniform(*TAP_DECAY_S))
    share = rng.uniform()
    event = np.sqrt(1 - share) * ringing / np.linalg.norm(ringing) + np.sqrt(share) * tap / np.linalg.norm(tap)
    return (event * np.minimum(time / 0.001, 1)).astype(np.float32)


def _rub(rng: np.random.Generator) -> np.ndarray:
    samples = int(rng.uniform(*RUB_S) * RATE_HZ)
    step = int(STICK_S * RATE_HZ)
    points = np.arange(0, samples + step, step)
    slips = np.interp(np.arange(samples), points, rng.uniform(0.2, 1, len(points)))
    return (_coloured(rng, samples, RUB_HZ) * slips * np.hanning(samples)).astype(np.float32)


def _coloured(rng: np.random.Generator, samples: int, edge_hz: tuple[float, float]) -> np.ndarray:
    """Noise that falls by 6 dB an octave above an edge drawn log-uniformly."""
    edge = np.exp(rng.uniform(*np.log(edge_hz)))
    sections = scipy.signal.butter(1, (LOWEST_HZ, edge), "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(scipy.signal.sosfilt(sections, rng.standard_normal(samples)))
