"""Speed: which factor a recording is played at; the front end performs it on both bands."""

from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from vivavoce.features.augment.base import Band, Section, stream


class SpeedConfig(Section):
    """Recordings played faster or slower, pitch and formants along with it."""

    probability: float = Field(default=2 / 3, ge=0, le=1, description="share of the recordings whose speed is changed")
    factors: tuple[float, ...] = Field(
        default=(0.9, 1.1), min_length=1, description="how many times as fast; between 0.5 and 2, in hundredths"
    )
    weights: tuple[float, ...] | None = Field(
        default=None, description="how often each factor is drawn against the others; as often where not given"
    )

    @field_validator("factors")
    @classmethod
    def _plausible(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0.5 <= factor <= 2 and round(factor, 2) == factor for factor in value):
            raise ValueError("factors must lie between 0.5 and 2, in hundredths")
        if len(set(value)) < len(value):
            raise ValueError("each factor is named once; use weights to draw one more often")
        return value

    @model_validator(mode="after")
    def _weights_fit(self) -> "SpeedConfig":
        if self.weights is not None:
            if len(self.weights) != len(self.factors):
                raise ValueError(f"{len(self.factors)} factors need as many weights, not {len(self.weights)}")
            if not all(0 < weight < np.inf for weight in self.weights):
                raise ValueError("weights must be numbers above 0; leave a factor out rather than weigh it 0")
        return self

    def build(self) -> "Speed":
        """Make the drawing of factors."""
        return Speed(self)


class Speed:
    """Plays a whole recording faster or slower: voice, mouth and time shrink together (Ko et al. 2015).

    Bands: both, consistently; the probe's tones stay where they are, and the Doppler of the mouth scales. The
    correlation label stays true: voice and mouth keep step. The speaker label does not: each factor is a speaker of
    its own (Yamamoto et al. 2019).
    """

    name: ClassVar[str] = "speed"
    bands: ClassVar[frozenset[Band]] = frozenset({"voice", "ultrasound"})
    keeps_correlation: ClassVar[bool] = True

    def __init__(self, config: SpeedConfig) -> None:
        self.probability = config.probability
        self._factors = np.array(config.factors)
        weights = np.array(config.weights or [1.0] * len(config.factors))
        self._edges = np.cumsum(weights) / weights.sum()
        drawn = config.factors if config.probability > 0 else ()
        untouched = (1.0,) if config.probability < 1 or 1.0 in drawn else ()
        self.factors = (*untouched, *(factor for factor in drawn if factor != 1.0))

    def draw(self, seeds: np.ndarray) -> np.ndarray:
        """Return the factor of each item, ``(items,)`` float64."""
        draws = np.array([stream(seed, self.name).random(2) for seed in seeds.tolist()]).reshape(-1, 2)
        which = np.searchsorted(self._edges, draws[:, 1], side="right").clip(max=len(self._factors) - 1)
        return np.where(draws[:, 0] < self.probability, self._factors[which], 1.0)
