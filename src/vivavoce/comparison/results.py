"""What a comparison of systems found, ready for JSON and for the page."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vivavoce import __version__
from vivavoce.evaluation.measures import Measure, Unit

Status = Literal["better", "not shown", "same", "no verdict"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SystemResult(_Part):
    """The figures of one system; those of one name are comparable between systems."""

    name: str
    threshold: float | None = Field(description="fixed before these trials; None: not known, so no decisions")
    unanswered: dict[str, int] = Field(description="class: trials that the system gives no answer to")
    measures: dict[str, Measure] = Field(description="by the name of the figure, parameters included")


class Difference(_Part):
    """A figure of one system minus that of another, on the same draws of speakers; below 0 the first is better."""

    figure: str = Field(description="its name, by which the systems list it")
    key: str = Field(description="what it is, for programs: sv_eer, min_a_dcf …")
    unit: Unit
    first: str = Field(description="name of a system")
    second: str
    value: float | None = Field(description="None: a class has too few trials for a figure")
    low: float | None = Field(description="of the paired 95 % interval; None: nothing to resample")
    high: float | None
    p_value: float | None = Field(description="two-sided, of no difference; None: no verdict can be given")
    p_holm: float | None = Field(description="the same, after Holm's correction for all pairs of this figure")
    detectable: float | None = Field(
        description="a smaller difference would not have shown on these speakers; None: not known"
    )
    status: Status
    better: str | None = Field(description="name of the better system; None: none is shown to be")
    verdict: str = Field(description="in words")


class Comparison(_Part):
    """Systems on the same trials, the figures of each, and the differences of each pair."""

    headline: str = Field(description="what it comes to, in a sentence")
    systems: list[SystemResult]
    differences: list[Difference]
    trials: dict[str, int] = Field(description="class: trials")
    compared: dict[str, int] = Field(description="class: trials that all systems answer, behind curves and costs")
    speakers: int
    resamples: int
    seed: int
    notes: list[str] = Field(default=[], description="sentences a reader should know")
    command: str | None = Field(default=None, description="gives this result again")
    version: str = Field(default=__version__, description="of this package")

    @property
    def figures(self) -> dict[str, Measure]:
        """One measure of every figure that occurs, by its name, in the order of the tables."""
        return {name: measure for system in reversed(self.systems) for name, measure in system.measures.items()}

    def pair(self, first: str, second: str) -> list[Difference]:
        """The differences of two systems, a figure each."""
        return [one for one in self.differences if (one.first, one.second) == (first, second)]
