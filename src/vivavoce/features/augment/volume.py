"""Volume up and down, with the clipping of a microphone's converter."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field
from torch import Tensor

from vivavoce.features.augment.base import Range, Section, Step, column

# The largest 16-bit code; the converter of a phone ends there.
FULL_SCALE = 32_767 / 32_768


class VolumeConfig(Section):
    """Volume up and down."""

    gain_db: Range = Field(default=(-12.0, 12.0), description="gain, dB; what it lifts above full scale is clipped")

    def build(self) -> "Volume":
        """Make the step."""
        return Volume(self)


class Volume(Step):
    """Plays a recording louder or quieter and clips it at full scale, as a phone's converter does.

    Bands: the voice band alone. The correlation label stays true: nothing moves in time.
    """

    name = "volume"
    bands = frozenset({"voice"})
    keeps_correlation = True

    def __init__(self, config: VolumeConfig) -> None:
        super().__init__(config.probability)
        self.config = config

    def apply(self, wave: Tensor, lengths: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Scale and clip; see `Step.apply`."""
        gains_db = np.array([rng.uniform(*self.config.gain_db) for rng in rngs])
        return (wave * column(10 ** (gains_db / 20), wave)).clamp(-1.0, FULL_SCALE)
