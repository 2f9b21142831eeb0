"""Background noise at a drawn signal-to-noise ratio, from the user's recordings or synthesised."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from vivavoce.features.augment.bank import Bank, Clips
from vivavoce.features.augment.base import RATE_HZ, Range, Section, Step, column
from vivavoce.features.augment.level import active_power
from vivavoce.features.augment.synthetic_noise import NoiseKind, synthesise
from vivavoce.signal.framing import masked

# A pause in a noise stays one: what was drawn is never lifted by more than this above its file's mean power.
LIFT_DB = 30.0
SEAM = RATE_HZ // 100  # 10 ms over which a clip's end is blended into its beginning
KINDS: tuple[NoiseKind, ...] = ("white", "pink", "speech", "babble")


class NoiseConfig(Section):
    """Background noise."""

    snr_db: Range = Field(default=(5.0, 25.0), description="active speech power against noise power, dB")
    path: Path | None = Field(default=None, description="folder of noise recordings; none: synthesised")
    kinds: tuple[NoiseKind, ...] = Field(default=KINDS, min_length=1, description="synthesised noises to draw from")
    mix: tuple[int, int] = Field(
        default=(1, 1), description="fewest and most noises summed; 3 to 7 files of speech make babble (Snyder 2018)"
    )

    @field_validator("mix")
    @classmethod
    def _counts(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 16:
            raise ValueError("mix is the fewest and then the most noises to sum, from 1 to 16")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "NoiseConfig":
        if self.path is not None and self.kinds != KINDS:
            raise ValueError("kinds belongs to synthesised noise; leave out either it or path")
        return self

    def build(self) -> "Noise":
        """Make the step."""
        return Noise(self)


class Noise(Step):
    """Adds background noise at a signal-to-noise ratio drawn for each recording.

    The signal is the active speech power (ITU-T P.56), so that pauses do not make the same noise count as louder;
    the noise is its mean power over the recording. To silence no noise is added.

    Bands: the voice band alone. The correlation label stays true: the voice itself is unchanged.
    """

    name = "noise"
    bands = frozenset({"voice"})
    keeps_correlation = True

    def __init__(self, config: NoiseConfig) -> None:
        super().__init__(config.probability)
        self.config = config
        self.bank = Bank(config.path, "noise") if config.path is not None else None

    @cached_property
    def clips(self) -> Clips:
        """The user's noises, of unit power and each without a seam where it begins again."""
        assert self.bank is not None
        return Clips([_looped(clip) for clip in self.bank.sounds.values()])

    def load(self) -> None:
        """Read the user's sounds."""
        if self.bank is not None:
            _ = self.clips

    def apply(self, wave: Tensor, lengths: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Add noise; see `Step.apply`."""
        snr_db = np.array([rng.uniform(*self.config.snr_db) for rng in rngs])
        counts = np.array([rng.integers(*self.config.mix, endpoint=True) for rng in rngs])
        total = torch.zeros_like(wave)
        for slot in range(int(counts.max())):
            rows = np.flatnonzero(counts > slot)
            chosen = torch.from_numpy(rows).to(wave.device)
            noise = masked(self._draw([rngs[row] for row in rows.tolist()], wave), lengths[chosen])
            power = noise.square().sum(dim=1, keepdim=True) / lengths[chosen, None]
            total[chosen] += noise / power.clamp(min=10 ** (-LIFT_DB / 10)).sqrt()
        # Each noise that is not in a pause has power 1 by now, so less than 1 is a pause, and not lifted either.
        power = (total.square().sum(dim=1, keepdim=True) / lengths[:, None]).clamp(min=1.0)
        wanted = active_power(wave, lengths)[:, None] * column(10 ** (-snr_db / 10), wave)
        return wave + total * (wanted / power).sqrt()

    def _draw(self, rngs: Sequence[np.random.Generator], wave: Tensor) -> Tensor:
        """One noise an item, ``(batch, samples)``, near unit power."""
        if self.bank is None:
            kinds: list[NoiseKind] = [self.config.kinds[rng.integers(len(self.config.kinds))] for rng in rngs]
            noise = synthesise(kinds, rngs, wave.shape[1], wave)
            return noise / noise.square().mean(dim=1, keepdim=True).sqrt()
        which = np.array([rng.integers(len(self.clips)) for rng in rngs])
        offsets = np.array([rng.integers(size) for rng, size in zip(rngs, self.clips.lengths[which], strict=True)])
        return self.clips.gather(which, offsets, wave.shape[1], wave.device)


def _looped(clip: np.ndarray) -> np.ndarray:
    """Trim a clip's digital silence, blend its end into its beginning, and bring it to unit power."""
    loud = np.flatnonzero(np.abs(clip) > 1e-3 * np.abs(clip).max())
    clip = clip[loud[0] : loud[-1] + 1]
    if len(clip) > 4 * SEAM:
        rise = np.linspace(0, 1, SEAM, dtype=np.float32)
        clip = np.concatenate([clip[:SEAM] * np.sqrt(rise) + clip[-SEAM:] * np.sqrt(1 - rise), clip[SEAM:-SEAM]])
    return clip / np.sqrt(np.square(clip).mean())
