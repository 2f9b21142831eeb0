"""Causes that lie in the learning rate: steps that are too large, or too small to get anywhere."""

from typing import NamedTuple

import numpy as np

from vivavoce.training.diagnosis.advice import Advice
from vivavoce.training.diagnosis.cause import Cause, States
from vivavoce.training.diagnosis.changes import clipping, rate_times
from vivavoce.training.diagnosis.gradients import gradient_evidence
from vivavoce.training.diagnosis.record import STANDS_STILL, TOO_LARGE, TOO_SMALL, USUAL, Record
from vivavoce.training.diagnosis.states import HELD, State
from vivavoce.training.diagnosis.trend import level

SPIKE = 1.15  # of the training loss from one epoch to the next
MOST_SPIKES = 2  # that tell nothing, where steps were not recorded
# Overshoot of steps (see `vivavoce.training.diagnosis.curvature`): a step of 1 gains nothing for its own batch, one of
# 1.5 is three times as long as would be best. Epochs of healthy runs have 0.1 to 0.7, and training at the edge of what
# is stable hovers about 1 (Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of
# stability"), which is no fault.
OVERSHOOTS = 1.5
SHOWN = 4  # epochs after which steps that are too small show


def rate_too_high(record: Record, states: States) -> Cause | None:
    """Steps that throw the weights about: now, or at any time of a run that is over, whose last steps are small."""
    bold, over = largest_step(record, HELD, record.over), overshoot(record, HELD, record.over)
    spoilt, spikes = _spoilt(record)
    if not (bold or over > OVERSHOOTS or spoilt or (not record.update_ratios() and spikes > MOST_SPIKES)):
        return None
    evidence = [bold.says] if bold else []
    if over:
        evidence.append(f"A step goes {2 * over:.2g} times as far as would lower the loss of its own batch most.")
    evidence += ["The training loss is no number."] if spoilt else []
    if spikes:
        evidence.append(f"The training loss jumped up by more than {100 * (SPIKE - 1):.0f} % {spikes} times.")
    evidence += gradient_evidence(record)
    expect = "The training loss falls without jumps; steps change the weights by some thousandths of their size."
    factors = [USUAL / bold.size] if bold else []
    factors += [0.5 / over] if over > OVERSHOOTS else []
    sets = (rate_times(record, min(factors, default=0.1)), *clipping(record))
    return Cause("rate_too_high", "the learning rate is too high", tuple(evidence), Advice(sets, expect))


class Bold(NamedTuple):
    """Steps that are too large: beside the weights, and in words."""

    size: float
    says: str


def largest_step(record: Record, last: int, over: bool = False) -> Bold | None:
    """The part that was thrown about most, in each of the ``last`` epochs or, of a run that is ``over``, in some two.

    Weights that were blown up make all later steps small beside them. What the diagnosis has mended does not count.
    """
    found = []
    for part in record.update_ratios():
        values = np.nan_to_num(record.since_lowered(f"update_ratio/{part}"))
        says = f"A step changes the weights of the {part} by {{:.0f}} % of their size in {{}} epochs."
        if len(values) >= last:
            size = float(values[-last:].min())
            found.append(Bold(size, says.format(100 * size, f"each of the last {last}")))
        if over and len(values) > 1:
            size = float(np.sort(values)[-2])
            found.append(Bold(size, says.format(100 * size, "two or more")))
    largest = max(found, default=None)
    return largest if largest is not None and largest.size > TOO_LARGE else None


def overshoot(record: Record, last: int, over: bool = False) -> float:
    """How far steps went in each of the ``last`` epochs or, of a run that is ``over``, in most; 0: not measured."""
    values = np.nan_to_num(record.since_lowered("overshoot"))
    lasting = float(values[-last:].min()) if len(values) >= last else 0.0
    return max(0.0, lasting, float(np.median(values)) if over and len(values) else 0.0)


def _spoilt(record: Record) -> tuple[bool, int]:
    """Whether the training loss is no number of late, and how often it jumped up in the last half of the run."""
    total = record.series(record.train, "loss")
    recent = total[len(total) // 2 :]
    return not np.isfinite(total[-HELD:]).all(), int((recent[1:] > SPIKE * recent[:-1]).sum())


def rate_too_low(record: Record, states: States) -> Cause | None:
    """Steps too small to get anywhere, and not because the rate still warms up."""
    if record.epochs < SHOWN or (record.rate[-1] > 1.01 * record.rate[-2]):
        return None
    ratios = [values.max() for values in record.update_ratios().values()]
    if not ratios or max(ratios) > TOO_SMALL or max(ratios) <= STANDS_STILL:
        return None
    fallen = [1 - level(values, last=True) / level(values) for values in _losses(record)]
    # Losses that fell a great deal all the same have no use for larger steps.
    if (fallen and max(fallen) > 0.5) or states.get("speaker") is State.FINISHED:
        return None
    evidence = [f"A step changes the weights by {max(ratios):.1e} of their size at most; {USUAL:.0e} is usual."]
    evidence += [f"The training losses fell by {100 * max(fallen):.0f} % in {record.epochs} epochs."] if fallen else []
    expect = "Training losses fall several times as fast within two epochs."
    advice = Advice((rate_times(record, USUAL / max(ratios)),), expect)
    return Cause("rate_too_low", "the learning rate is too low", tuple(evidence), advice)


def _losses(record: Record) -> list[np.ndarray]:
    return [record.series(record.train, f"loss_{task}") for task in record.tasks]
