"""Causes that the curves alone do not name: what gradients, updates, inputs, rates and the data say together."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from vivavoce.training.diagnosis.advice import Advice, rate_times
from vivavoce.training.diagnosis.record import CHANCE_EER, Record
from vivavoce.training.diagnosis.states import State
from vivavoce.training.diagnosis.trend import level

# A part whose weights move by less than this of their size in a step does not learn; weight decay alone moves them so.
STANDS_STILL = 1e-9
DEAD = 0.4  # share of units without a gradient
# Inputs: the mean may be as far from zero as this many standard deviations and this much; the spread within these.
OFFSET_STDS, OFFSET, LEAST_STD, MOST_STD = 1.0, 2.0, 0.05, 20.0
# One task's part of the total loss over the other's.
DWARFS = 100.0
UNSOLVED = 0.1  # loss; below, a task has little left to learn
# Update of a step over the weights, median of an epoch. About 1e-3 is a common rule of thumb; the default rate gives
# 2e-3 to 5e-3 at its peak (benchmarks/provoked_runs.py).
USUAL, TOO_LARGE, TOO_SMALL = 3e-3, 0.05, 1e-4
SPIKE = 1.15  # of the training loss from one epoch to the next
AT_CHANCE = 0.4  # error rate
SHOWN = 4  # epochs after which steps that are too small show
UNLEARNED, FEWEST_UNLEARNED = 0.7, 8  # share of a training loss that is left, after so many epochs
WORSE = 1.05  # times the first epoch's validation loss; one that only stands is a bottleneck
FEW_RECORDINGS, FEW_SPEAKERS = 60, 5
GAP = 3.0  # validation loss over training loss


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


States = dict[str, State]


def find_causes(record: Record, states: States) -> list[Cause]:
    """All causes that the evidence allows, those first that explain the others."""
    found = [check(record, states) for check in CHECKS] if record.epochs else []
    return [cause for cause in found if cause is not None]


def leak(record: Record, states: States) -> Cause | None:
    """Training and validation share something."""
    shared = record.facts.shared
    if not shared:
        return None
    expect = "Validation errors will rise to what unseen speakers really give; every figure until then is too good."
    advice = Advice((), expect, "Split anew by speaker (vivavoce split) and train again.")
    return Cause("leak", "validation leaks: it shares recordings or speakers with training", shared, advice)


def frozen(record: Record, states: States) -> Cause | None:
    """A part of the model that should learn does not."""
    planned = _planned_freeze(record)
    still = [
        part
        for part, ratios in record.update_ratios().items()
        if ratios[-1] <= STANDS_STILL and part in ("trunk", "head") and planned.get(part, True)
    ]
    if not still or ("head" in still and record.tasks == ("speaker",)):
        return None
    part = still[0]
    norms = record.monitored(f"grad_norm/{part}")
    evidence = [f"A step changes the weights of the {part} by {record.monitored(f'update_ratio/{part}')[-1]:.1e}."]
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
        (rate_times(record, 0.1), "training.schedule.warmup_share=0.15"),
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


def tiny_data(record: Record, states: States) -> Cause | None:
    """So few recordings that the model learns them by heart."""
    facts = record.facts
    few = facts.recordings is not None and facts.recordings < FEW_RECORDINGS
    few = few or (facts.speakers is not None and facts.speakers < FEW_SPEAKERS and "speaker" in record.tasks)
    if not few:
        return None
    evidence = [f"The training manifest holds {facts.recordings} recordings of {facts.speakers} speakers."]
    for task in record.tasks:
        curves = record.curves(task)
        last = level(curves.train, last=True), level(curves.validation, last=True)
        if last[1] > GAP * last[0]:
            evidence.append(f"{task.capitalize()}: training loss {last[0]:.2g}, validation loss {last[1]:.2g}.")
    sets = ("training.early_stopping.patience=5", "training.mask_mels=20", "training.mask_frames=40")
    advice = Advice(
        sets,
        "The gap between training and validation narrows; more speakers do far more than any setting.",
        "Record more speakers, or simulate from a larger corpus (vivavoce simulate).",
    )
    return Cause("tiny_data", "there is too little to learn from", tuple(evidence), advice)


def labels(record: Record, states: States) -> Cause | None:
    """Steps of a usual size teach nothing that holds on validation, as where labels do not go with the recordings."""
    evidence = []
    ratios = [values.max() for values in record.update_ratios().values()]
    if ratios and max(ratios) <= TOO_SMALL:
        return None  # nothing was learned since nothing moved
    for task in record.tasks:
        best, curves = record.best_eer(task), record.curves(task)
        if _at_chance(record, task):
            evidence.append(
                f"{task.capitalize()}: the error rate on validation was never below {100 * best:.0f} %, where chance "
                f"is {100 * CHANCE_EER:.0f} %."
            )
        elif task == "speaker" and _unlearned(curves.train) and _worse(curves.validation):
            evidence.append(
                f"Speaker: the training loss went from {level(curves.train):.2g} to "
                f"{level(curves.train, last=True):.2g}, and validation is worse than after the first epoch."
            )
    if not evidence or record.epochs < FEWEST_UNLEARNED:
        return None
    evidence += record.facts.wrong[:3]
    advice = Advice(
        (),
        "With right labels the error rate on validation falls within the first epochs.",
        "Check how speakers and kinds come into the manifest; listen to some (vivavoce audit MANIFEST --run RUN).",
    )
    says = "training teaches nothing that holds, as with labels that do not go with the recordings"
    return Cause("labels", says, tuple(evidence), advice)


def _unlearned(train: np.ndarray) -> bool:
    """A training loss that has hardly come down."""
    return level(train, last=True) > UNLEARNED * level(train)


def _worse(validation: np.ndarray) -> bool:
    """A validation curve that ends above where its first epoch left it."""
    return level(validation, last=True) > WORSE * validation[0]


def _at_chance(record: Record, task: str) -> bool:
    best = record.best_eer(task)
    return not math.isnan(best) and best >= AT_CHANCE


def _losses(record: Record) -> list[np.ndarray]:
    return [record.series(record.train, f"loss_{task}") for task in record.tasks]


Check = Callable[[Record, States], Cause | None]
CHECKS: tuple[Check, ...] = (
    leak, frozen, dead_units, normalisation, joint_loss, rate_too_high, rate_too_low, tiny_data, labels,
)  # fmt: skip
