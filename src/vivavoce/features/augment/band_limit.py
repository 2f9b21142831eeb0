"""Band limits of telephone lines, wideband calls, and microphones."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field, field_validator
from torch import Tensor

from vivavoce.features.augment.base import RATE_HZ, Range, Section, Step, positive
from vivavoce.features.augment.fourier import irfft, rfft

BandLimitKind = Literal["telephone", "wideband", "low_pass", "high_pass"]
TELEPHONE_HZ = (300.0, 3400.0)  # ITU-T G.712; also what AMR carries
WIDEBAND_HZ = (50.0, 7000.0)  # ITU-T G.722; also what AMR-WB (G.722.2) carries
# Butterworth magnitudes: 24 dB an octave below the band, 72 dB above it, as anti-alias filters are steep.
LOW_ORDER, HIGH_ORDER = 4, 12


class BandLimitConfig(Section):
    """Band limits."""

    probability: float = Field(default=0.2, ge=0, le=1, description="share of the recordings it is applied to")
    kinds: tuple[BandLimitKind, ...] = Field(
        default=("telephone", "wideband", "low_pass", "high_pass"),
        min_length=1,
        description="telephone 300–3400 Hz (as AMR), wideband 50–7000 Hz (as AMR-WB), or one random edge",
    )
    low_pass_hz: Annotated[Range, AfterValidator(positive)] = Field(
        default=(2500.0, 7000.0), description="edge of low_pass, Hz"
    )
    high_pass_hz: Annotated[Range, AfterValidator(positive)] = Field(
        default=(80.0, 500.0), description="edge of high_pass, Hz"
    )

    @field_validator("low_pass_hz", "high_pass_hz")
    @classmethod
    def _below_nyquist(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[1] > RATE_HZ / 2:
            raise ValueError(f"the voice band ends at 8000 Hz; an edge of {value[1]:g} Hz lies above it")
        return value

    def build(self) -> "BandLimit":
        """Make the step."""
        return BandLimit(self)


class BandLimit(Step):
    """Takes away what a telephone line, a wideband call or a cheap microphone does not carry.

    The filters have Butterworth magnitudes and no phase, so that nothing is delayed.

    Bands: the voice band alone. The correlation label stays true: nothing moves in time.
    """

    name = "band_limit"
    bands = frozenset({"voice"})
    keeps_correlation = True

    def __init__(self, config: BandLimitConfig) -> None:
        super().__init__(config.probability)
        self.config = config

    @property
    def reach(self) -> int:
        """Ringing of the 50 Hz edge: 1e-3 of its peak behind 60 ms."""
        return int(0.1 * RATE_HZ)

    def apply(self, wave: Tensor, lengths: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Filter; see `Step.apply`."""
        hertz = np.fft.rfftfreq(wave.shape[1], 1 / RATE_HZ)
        gains = torch.from_numpy(np.stack([self._gain(rng, hertz) for rng in rngs])).to(wave.device)
        return irfft(rfft(wave).mul_(gains), wave.shape[1])

    def _gain(self, rng: np.random.Generator, hertz: np.ndarray) -> np.ndarray:
        kind = self.config.kinds[rng.integers(len(self.config.kinds))]
        low, high = {
            "telephone": TELEPHONE_HZ,
            "wideband": WIDEBAND_HZ,
            "low_pass": (0.0, rng.uniform(*self.config.low_pass_hz)),
            "high_pass": (rng.uniform(*self.config.high_pass_hz), 0.0),
        }[kind]
        squared = np.ones_like(hertz)
        if high:
            squared += (hertz / high) ** (2 * HIGH_ORDER)
        if low:
            squared += (low / np.maximum(hertz, 1e-3)) ** (2 * LOW_ORDER)
        return (1 / np.sqrt(squared)).astype(np.float32)
