"""What a cause is: something specific that is wrong, with its evidence."""

from dataclasses import dataclass

from vivavoce.training.diagnosis.advice import Advice
from vivavoce.training.diagnosis.states import State

States = dict[str, State]


@dataclass(frozen=True)
class Cause:
    """Something specific that is wrong.

    Attributes:
        name: for machines.
        says: one line.
        evidence: sentences with figures.
        advice: what to change, and what to expect of it.
        task: that it is about; None: the run.
    """

    name: str
    says: str
    evidence: tuple[str, ...]
    advice: Advice
    task: str | None = None
