"""What scores a calibration has seen, so that it can be told when others come."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

# Shares of a class's scores below each of its quantiles.
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# So much of a class is left out at either end of its range, where there are scores enough: a single freak score of a
# million must not widen it. With fewer than 2000 scores the range is from the lowest to the highest.
TAIL = 0.001


class SeenScores(BaseModel):
    """The scores of one class of the validation split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(gt=0, description="scores")
    worth: float = Field(gt=0, description="how many independent scores they are worth: those of one speaker are alike")
    lowest: float = Field(allow_inf_nan=False)
    highest: float = Field(allow_inf_nan=False)
    low: float = Field(allow_inf_nan=False, description="lower end of the range that drift is told by")
    high: float = Field(allow_inf_nan=False, description="its upper end")
    outside: int = Field(gt=0, description="rank of both ends, from the outside; 1: the lowest and the highest score")
    quantiles: tuple[float, ...] = Field(description="below which 1, 5, 25, 50, 75, 95 and 99 % of the scores lie")

    @classmethod
    def of(cls, scores: ArrayLike, correlation: float = 0.0, speakers: ArrayLike | None = None) -> Self:
        """Take the range of scores of one class.

        Args:
            scores: ``(scores,)``, finite, one or more.
            correlation: of the scores of one speaker.
            speakers: whose each is, ``(scores,)``; None: each of a speaker of its own.

        Source: Kish, "Survey Sampling", 1965, section 5.4 (the design effect of clusters of correlated values).
        """
        values = np.sort(np.asarray(scores, np.float64).ravel())
        rank = max(1, int(TAIL * (values.size + 1)))
        worth = float(values.size)
        if speakers is not None:
            sizes = np.unique(np.asarray(speakers), return_counts=True)[1]
            # The scores of the average score's speaker, itself among them.
            worth /= 1 + (float(np.square(sizes).sum()) / values.size - 1) * correlation
        return cls(
            n=values.size,
            worth=worth,
            lowest=float(values[0]),
            highest=float(values[-1]),
            low=float(values[rank - 1]),
            high=float(values[-rank]),
            outside=rank,
            quantiles=tuple(np.quantile(values, LEVELS).tolist()),
        )
