"""Causes that lie in the data: what is shared, missing or mislabelled."""

import math

import numpy as np

from vivavoce.training.diagnosis.advice import RIGHT_DATA, Advice
from vivavoce.training.diagnosis.cause import Cause, States
from vivavoce.training.diagnosis.changes import masking, stopping
from vivavoce.training.diagnosis.record import CHANCE_EER, TOO_SMALL, Record
from vivavoce.training.diagnosis.states import State
from vivavoce.training.diagnosis.trend import level

AT_CHANCE = 0.4  # error rate
UNLEARNED, FEWEST_UNLEARNED = 0.7, 8  # share of a training loss that is left, after so many epochs
WORSE = 1.05  # times the first epoch's validation loss; one that only stands is a bottleneck
FEW_RECORDINGS, FEW_SPEAKERS = 60, 5
FINDINGS = 5  # of the audit that are told
GAP = 3.0  # validation loss over training loss


def leak(record: Record, states: States) -> Cause | None:
    """Training and validation share something."""
    shared = record.facts.shared
    if not shared:
        return None
    expect = "Validation errors will rise to what unseen speakers really give; every figure until then is too good."
    advice = Advice((), expect, "Split anew by speaker (vivavoce split) and train again.")
    return Cause("leak", "validation leaks: it shares recordings or speakers with training", shared, advice)


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
    sets = (*stopping(record), *(change for task in record.tasks for change in masking(record, task)))
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


def wrong_data(record: Record, states: States) -> Cause | None:
    """The curves say that the data are at fault, and the audit says what is wrong with them."""
    wrong = record.facts.wrong
    if State.DATA not in states.values() or not wrong or labels(record, states):
        return None
    more = (f"The audit found {len(wrong) - FINDINGS} more.",) if len(wrong) > FINDINGS else ()
    advice = Advice(
        (), RIGHT_DATA, "Mend that (vivavoce audit TRAIN --against VALIDATION names the recordings), and train again."
    )
    return Cause("data", "the data are at fault, as the audit shows", (*wrong[:FINDINGS], *more), advice)


def _unlearned(train: np.ndarray) -> bool:
    """A training loss that has hardly come down."""
    return level(train, last=True) > UNLEARNED * level(train)


def _worse(validation: np.ndarray) -> bool:
    """A validation curve that ends above where its first epoch left it."""
    return level(validation, last=True) > WORSE * validation[0]


def _at_chance(record: Record, task: str) -> bool:
    best = record.best_eer(task)
    return not math.isnan(best) and best >= AT_CHANCE
