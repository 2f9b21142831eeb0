"""What to change, ready for ``--set``, and what to expect of it."""

import math
from dataclasses import dataclass

from vivavoce.training.diagnosis.changes import clipping, decay, half_batch, masking, rate_times, stopping
from vivavoce.training.diagnosis.record import Facts, Record
from vivavoce.training.diagnosis.states import State
from vivavoce.training.diagnosis.trend import Trend

RIGHT_DATA = "With data that are right the training loss falls first and validation follows."


@dataclass(frozen=True)
class Advice:
    """Changes of the config (``key=value``), what they should do, and what to do beside them."""

    sets: tuple[str, ...] = ()
    expect: str = ""
    beside: str = ""


def of_state(record: Record, task: str, state: State, validation: Trend) -> Advice:
    """What a task's state calls for."""
    if state is State.LEARNING:
        return _go_on(record, validation)
    if state is State.OVERFITTING:
        return _hold_back(record, task)
    if state is State.BOTTLENECK:
        sets = (rate_times(record, 0.3), *half_batch(record, task))
        return Advice(sets, "Within three epochs the training loss falls again; where it does not, try the next thing.")
    if state is State.STRUCTURE:
        expect = "The training loss falls; where it rises still, clean the data (vivavoce audit) or change the model."
        return Advice((rate_times(record, 0.1), *clipping(record)), expect)
    if state is State.DATA:
        return Advice((), RIGHT_DATA, _about_data(record.facts))
    return Advice()


def _about_data(facts: Facts) -> str:
    """What to do about data that the curves say are at fault."""
    if facts.shared or facts.wrong:
        return "See below what is wrong with them."
    if facts.audited:
        return (
            "The audit found nothing wrong, so look at what it cannot hear: whether speakers and kinds are named "
            "right, and whether validation is easier than training."
        )
    return "Audit both manifests against each other (vivavoce audit TRAIN --against VALIDATION) and split anew."


def _go_on(record: Record, validation: Trend) -> Advice:
    share = 100 * (1 - math.exp(validation.change))
    quarter = max(1, round(record.epochs / 4))
    if record.share_done is not None and record.share_done >= 1:
        planned = record.setting("training", "epochs")
        more = f"training.epochs={math.ceil(1.5 * planned)}"
        return Advice((more,), f"Validation fell by {share:.0f} % in the last {quarter} epochs and may go on so.")
    return Advice((), f"At this pace validation falls by another {share:.0f} % over {quarter} more epochs.")


def _hold_back(record: Record, task: str) -> Advice:
    return Advice(
        (*stopping(record), *decay(record), *masking(record, task)),
        "The training loss falls more slowly and validation's lowest point comes later and lower; the best epoch so "
        "far is kept in any case.",
    )
