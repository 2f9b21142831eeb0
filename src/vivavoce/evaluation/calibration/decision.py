"""What a calibration decides by: the fused score, its threshold, what that was chosen for, and the risk it carries."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from vivavoce.evaluation.calibration.fusion import Fusion
from vivavoce.evaluation.intervals import rate_interval
from vivavoce.evaluation.measures import LEAST_TRIALS
from vivavoce.evaluation.metrics.exact import clopper_pearson
from vivavoce.evaluation.metrics.spoofing import ADcfCosts

Question = Literal["speaker", "liveness"]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CostAim(_Stored):
    """The threshold that costs least, where ratios are calibrated."""

    type: Literal["costs"] = "costs"
    costs: ADcfCosts


class FalseAcceptAim(_Stored):
    """The lowest threshold that accepts no more than a share of other speakers, nor of attacks."""

    type: Literal["false_accepts"] = "false_accepts"
    rate: float = Field(gt=0, lt=0.5)
    extrapolate: bool = Field(default=False, description="a rate that the trials are too few to show may be aimed at")
    costs: ADcfCosts = Field(description="how other speakers and attacks are mixed in the fused score")


Aim = Annotated[CostAim | FalseAcceptAim, Field(discriminator="type")]


class StatedRate(_Stored):
    """An error rate on the validation split, with its 95 % interval."""

    rate: float = Field(ge=0, le=1)
    errors: int = Field(ge=0)
    trials: int = Field(gt=0)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    method: str = Field(description="how the interval was found")

    @classmethod
    def of(cls, wrong: ArrayLike, first: ArrayLike, second: ArrayLike) -> Self | None:
        """Count errors; None where there is no trial.

        Args:
            wrong: whether each trial was decided wrongly, ``(trials,)``.
            first: code of the enrolled speaker of each, ``(trials,)``.
            second: code of the speaker heard in each, ``(trials,)``.
        """
        errors = np.asarray(wrong, bool)
        if not errors.size:
            return None
        count = int(errors.sum())
        interval = rate_interval(errors, first, second)
        if interval is None:  # one speaker alone leaves nothing to resample
            low, high = clopper_pearson(count, errors.size)
            method = "exact"
        else:
            low, high, method = interval.low, interval.high, interval.method
        if errors.size < LEAST_TRIALS:
            exact = clopper_pearson(count, errors.size)
            low, high, method = min(low, exact[0]), max(high, exact[1]), "exact"
        return cls(rate=count / errors.size, errors=count, trials=errors.size, low=low, high=high, method=method)


class QuestionRisk(_Stored):
    """What the threshold of one question alone does."""

    miss: StatedRate = Field(description="targets, or live recordings, refused")
    false_accept: StatedRate = Field(description="other speakers, or attacks, let pass")


class Risk(_Stored):
    """What the decision did on the validation trials that it gave an answer to."""

    miss: StatedRate = Field(description="the user, live, refused")
    speakers: StatedRate | None = Field(default=None, description="other live speakers accepted; None: not asked")
    attacks: StatedRate | None = Field(default=None, description="attacks of all kinds accepted; None: not asked")
    species: dict[str, StatedRate] = Field(default={}, description="attacks accepted, by kind")
    unanswered: float = Field(default=0.0, ge=0, le=1, description="share of the user's trials without an answer")
    questions: dict[Question, QuestionRisk] = Field(
        default={}, description="of a rule: what each of its thresholds does alone"
    )


class Optimum(_Stored):
    """What the decision costs on the validation trials, and what the best threshold for these very trials would."""

    cost: float = Field(description="normalised cost at the decision's threshold; 1: no better than one blind answer")
    least: float = Field(description="that at the best threshold, known only after the trials")
    threshold: float = Field(description="the best threshold, nats of the fused score")


class Decision(_Stored):
    """How a run decides, as `vivavoce calibrate` set it."""

    method: Literal["logistic", "isotonic"]
    fusion: Fusion | None = Field(description="None: the run knows one question alone, and its ratio is the score")
    threshold: float = Field(allow_inf_nan=False, description="accept where the fused score, nats, reaches it")
    aim: Aim
    risk: Risk
    optimum: Optimum
    notes: tuple[str, ...] = Field(default=(), description="sentences that make the risk less certain")
    data: str = Field(default="", description="name and SHA-256 of the manifest that it was set on")
