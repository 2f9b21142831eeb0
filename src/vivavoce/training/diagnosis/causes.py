"""Causes that the curves alone do not name: what gradients, updates, inputs, rates and the data say together."""

from collections.abc import Callable
from fnmatch import fnmatchcase

import numpy as np

from vivavoce.training.diagnosis.advice import Advice
from vivavoce.training.diagnosis.cause import Cause, States
from vivavoce.training.diagnosis.changes import clipping, rate_times, warm_up
from vivavoce.training.diagnosis.data_causes import labels, leak, tiny_data, wrong_data
from vivavoce.training.diagnosis.rates import rate_too_high, rate_too_low
from vivavoce.training.diagnosis.record import STANDS_STILL, Record
from vivavoce.training.diagnosis.trend import level

DEAD = 0.4  # share of units without a gradient
# Inputs: the mean may be as far from zero as this many standard deviations and this much; the spread within these.
OFFSET_STDS, OFFSET, LEAST_STD, MOST_STD = 1.0, 2.0, 0.05, 20.0
# One task's part of the total loss over the other's.
DWARFS = 100.0
UNSOLVED = 0.1  # loss; below, a task has little left to learn


def find_causes(record: Record, states: States) -> list[Cause]:
    """All causes that the evidence allows, those first that explain the others."""
    found = [check(record, states) for check in (CHECKS if record.epochs else (diverged,))]
    return [cause for cause in found if cause is not None]


def diverged(record: Record, states: States) -> Cause | None:
    """Training broke off, for its numbers were none."""
    if not record.facts.ended:
        return None
    sets = (rate_times(record, 0.1), *clipping(record))
    if record.setting("training", "precision") != "float32":
        sets += ("training.precision=float32",)
    advice = Advice(
        sets,
        "The losses stay numbers, and training comes to its end.",
        "Train anew, since a resumed run takes the same step again; listen to the recordings of the batch where the "
        "losses had not risen before.",
    )
    return Cause("diverged", "training ended since a loss was no number", record.facts.ended, advice)


def frozen(record: Record, states: States) -> Cause | None:
    """A part of the model that should learn does not."""
    planned = _planned_freeze(record)
    # A task alone trains its own part, and maybe some of the other.
    own = {part for task, part in (("speaker", "trunk"), ("liveness", "head")) if task in record.tasks}
    ratios = record.update_ratios()
    still = [part for part in ratios if part in own and ratios[part][-1] <= STANDS_STILL and planned.get(part, True)]
    if not still:
        return None
    part = still[0]
    norms = record.monitored(f"grad_norm/{part}")
    evidence = [f"A step changes the weights of the {part} by {ratios[part][-1]:.1e}."]
    if len(norms):
        evidence.append(f"The gradient norm of the {part} is {norms[-1]:.1e}.")
    if part in planned:
        evidence.append("The config freezes it (training.freeze).")
    sets = ("training.freeze=[]",) if part in planned else ()
    advice = Advice(sets, f"The {part} begins to learn: its losses fall below where they stand now.")
    return Cause("frozen", f"the {part} does not learn", tuple(evidence), advice)


def _planned_freeze(record: Record) -> dict[str, bool]:
    """Parts that the config freezes at present: True for ever, False for some epochs yet."""
    found: dict[str, bool] = {}
    for entry in record.setting("training", "freeze") or ():
        epochs = entry.get("epochs")
        if epochs is not None and epochs < record.train[-1]["epoch"]:
            continue
        for part in ("trunk", "head"):
            if any(fnmatchcase(part, name.split(".")[0]) for name in entry["parts"]):
                found[part] = found.get(part, False) or epochs is None
    return found


def dead_units(record: Record, states: States) -> Cause | None:
    """Too many units have no gradient."""
    shares = {part: values[-1] for part, values in record.by_part("dead").items() if len(values)}
    frozen_parts = {part for part, ratios in record.update_ratios().items() if not ratios[-1] > STANDS_STILL}
    worst = max((part for part in shares if part not in frozen_parts), key=lambda part: shares[part], default=None)
    if worst is None or shares[worst] < DEAD:
        return None
    evidence = f"{100 * shares[worst]:.0f} % of the units of the {worst} had no gradient in any step looked at."
    advice = Advice(
        (rate_times(record, 0.1), *warm_up(record)),
        "Trained anew, fewer than a tenth of the units should be dead and the losses fall from the first epochs on.",
        "Dead ReLUs do not come back: train anew; look at how the weights begin where it stays so.",
    )
    return Cause("dead_units", f"most units of the {worst} are dead", (evidence,), advice)


def normalisation(record: Record, states: States) -> Cause | None:
    """The network is fed features far from zero mean and unit spread."""
    for stream, norm in (("voice", "utterance"), ("echo", "zscore")):
        means, stds = record.monitored(f"input_mean/{stream}"), record.monitored(f"input_std/{stream}")
        if not len(means) or (stream == "echo" and "liveness" not in record.tasks):
            continue
        mean, std = float(np.median(means)), float(np.median(stds))
        offset = abs(mean) > OFFSET and abs(mean) > OFFSET_STDS * std
        if not offset and LEAST_STD <= std <= MOST_STD:
            continue
        evidence = f"The {stream} features come in with mean {mean:.2g} and standard deviation {std:.2g}."
        advice = Advice(
            (f"model.{stream}_norm={{type: {norm}}}",), "Losses fall faster and both curves are smoother from epoch 1."
        )
        return Cause("normalisation", f"the {stream} features are not normalised", (evidence,), advice)
    return None


def joint_loss(record: Record, states: States) -> Cause | None:
    """One task's loss counts so much that the other is not learned."""
    if len(record.tasks) < 2 or (record.setting("multitask", "type") or "sum") != "sum":
        return None
    speaker = record.series(record.train, "loss_speaker")
    rest = record.series(record.train, "loss") - speaker
    share = float(np.nanmedian(np.abs(rest) / np.maximum(np.abs(speaker), 1e-3)))
    big, small = ("liveness", "speaker") if share > 1 else ("speaker", "liveness")
    ratio = share if share > 1 else 1 / max(share, 1e-12)
    # A loss that went to zero is dwarfed by anything, and nothing is lost.
    if not ratio > DWARFS or not level(record.series(record.train, f"loss_{small}"), last=True) > UNSOLVED:
        return None
    weight = record.setting("correlation", "weight")
    evidence = [f"The {big} loss counts {ratio:.0f} times as much as the {small} loss in the total."]
    if weight not in (None, 1, 1.0):
        evidence.append(f"correlation.weight is {weight:g}.")
    sets = ("multitask.type=scale_matched", "correlation.weight=1.0")
    advice = Advice(sets, f"The {small} loss begins to fall; the {big} loss falls as before.")
    return Cause("joint_loss", f"the {big} loss dwarfs the {small} loss", tuple(evidence), advice, small)


Check = Callable[[Record, States], Cause | None]
CHECKS: tuple[Check, ...] = (
    diverged, leak, frozen, dead_units, normalisation, joint_loss, rate_too_high, rate_too_low, tiny_data, labels,
    wrong_data,
)  # fmt: skip
