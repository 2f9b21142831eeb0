"""Causes that lie in the learning rate: steps that are too large, or too small to get anywhere."""

import numpy as np

from vivavoce.training.diagnosis.advice import Advice, rate_times
from vivavoce.training.diagnosis.cause import Cause, States
from vivavoce.training.diagnosis.record import STANDS_STILL, TOO_LARGE, TOO_SMALL, USUAL, Record
from vivavoce.training.diagnosis.states import State
from vivavoce.training.diagnosis.trend import level

SPIKE = 1.15  # of the training loss from one epoch to the next
SHOWN = 4  # epochs after which steps that are too small show


def rate_too_high(record: Record, states: States) -> Cause | None:
    """Steps that throw the weights about."""
    total = record.series(record.train, "loss")
    evidence = []
    if not np.isfinite(total).all():
        evidence.append("The training loss is no number.")
    ratios = record.update_ratios()
    largest = {part: float(np.max(values)) for part, values in ratios.items()}
    part = max(largest, key=lambda name: largest[name], default=None)
    bold = part is not None and largest[part] > TOO_LARGE
    if part is not None and bold:
        evidence.append(f"A step changes the weights of the {part} by {100 * largest[part]:.0f} % of their size.")
    spikes = int((total[1:] > SPIKE * total[:-1]).sum()) if np.isfinite(total).all() else 0
    if spikes:
        evidence.append(f"The training loss jumped up by more than {100 * (SPIKE - 1):.0f} % {spikes} times.")
    clipped = record.monitored("clipped")
    if len(clipped) and np.median(clipped) > 0.5:
        evidence.append(f"Gradients were clipped in {100 * np.median(clipped):.0f} % of the steps.")
    if not (bold or not np.isfinite(total).all() or (not ratios and spikes > 2)):
        return None
    expect = "The training loss falls without jumps; steps change the weights by some thousandths of their size."
    factor = USUAL / largest[part] if part is not None and bold else 0.1
    sets = (rate_times(record, factor), "training.clip_norm=1.0")
    return Cause("rate_too_high", "the learning rate is too high", tuple(evidence), Advice(sets, expect))


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
