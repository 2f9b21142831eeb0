"""One figure of an evaluation: its parameters in its name, its interval, the trials behind it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vivavoce.evaluation.bootstrap import Interval

# With fewer trials than this in a class a figure would be a matter of one or two of them: its interval alone is given.
LEAST_TRIALS = 10

Unit = Literal["rate", "cost", "bits"]


class Measure(BaseModel):
    """A figure with its 95 % interval; no value, but its interval, where a class has fewer than 10 trials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(description="what it is, for programs: eer, min_dcf, apcer …")
    name: str = Field(
        description="what it is, for people, with its parameters: minDCF(p_target=0.01, c_miss=1, c_fa=1)"
    )
    unit: Unit = Field(description="rate (0-1), cost (1: no better than always giving the same answer), or bits")
    value: float | None
    low: float | None = Field(default=None, description="of the 95 % interval; None: nothing to resample")
    high: float | None = None
    method: str | None = Field(default=None, description="how the interval was found")
    species: str | None = Field(default=None, description="the kind of attack; `all`: pooled; None: no attack")
    parameters: dict[str, float] = {}
    threshold: float | None = Field(default=None, description="of the score, where the figure is taken at one")
    trials: dict[str, int] = Field(description="class: trials behind the figure")
    errors: int | None = Field(default=None, description="trials decided wrongly, of a rate at a fixed threshold")

    @property
    def too_few(self) -> bool:
        """Whether a class has too few trials for a figure."""
        return self.value is None

    def with_interval(self, found: Interval | None) -> "Measure":
        """Join the figure and its interval."""
        if found is None:
            return self
        return self.model_copy(update={"low": found.low, "high": found.high, "method": found.method})
