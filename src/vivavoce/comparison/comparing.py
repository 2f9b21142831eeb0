"""Compare systems on the same trials: figures with intervals, paired differences, and whether these are real."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vivavoce.comparison.differences import differences
from vivavoce.comparison.figures import figures_of
from vivavoce.comparison.results import Comparison, SystemResult
from vivavoce.comparison.same_trials import on_same_trials
from vivavoce.comparison.wording import headline, notes_of
from vivavoce.errors import UserError
from vivavoce.evaluation.bootstrap import RESAMPLES, Bootstrap
from vivavoce.evaluation.measuring import Figure
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5, ADcfCosts
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.system import CLASSES, class_masks
from vivavoce.evaluation.trials.table import Trials, check_classes
from vivavoce.progress import track

Bools = NDArray[np.bool_]

# The least p-value of R resamples is 2 / (R + 1), which Holm's correction multiplies by the number of pairs: so many
# resamples a pair leave it well below 0.05.
RESAMPLES_A_PAIR = 200


def compare(
    systems: Sequence[TrialScores], *, costs: ADcfCosts = ASVSPOOF5, resamples: int | None = None, seed: int = 0
) -> Comparison:
    """Compare systems that scored the same trials, in any order.

    Curves and costs are taken on the trials that all systems answer; decisions, of systems whose threshold is known,
    on all trials, where no answer is a rejection. All systems share the draws of speakers.

    Args:
        systems: scores of two systems or more, their names distinct.
        costs: priors and costs of the a-DCF.
        resamples: draws of speakers; None: 1000, or more where there are many pairs.
        seed: of the draws.

    Raises:
        UserError: a system lacks a trial of another one, two disagree on a truth, or there are no targets, or neither
            other people nor attacks, among the trials that all systems answer.
        ValueError: there are fewer than two systems, or two have the same name.
    """
    if len(systems) < 2 or len({system.name for system in systems}) < len(systems):
        raise ValueError("a comparison needs two systems or more, with distinct names")
    ordered = [_of_classes(system) for system in on_same_trials(systems)]
    trials = ordered[0].trials
    check_classes(trials)
    answered = np.all([~np.isnan(system.score) for system in ordered], axis=0)
    compared = _counts(trials, answered)
    _refuse_unanswered(compared)
    pairs = list(combinations(range(len(ordered)), 2))
    draws = resamples or max(RESAMPLES, RESAMPLES_A_PAIR * len(pairs))
    boot = Bootstrap(trials.speaker_codes()[2], draws, seed)
    judged = _judged(ordered)
    figures = [figures_of(system, boot, answered, judged, costs) for system in track(ordered, "Resample systems")]
    found = Comparison(
        headline="",
        systems=[_result(system, one) for system, one in zip(ordered, figures, strict=True)],
        differences=differences(ordered, figures, boot.speakers),
        trials=_counts(trials, np.ones(len(trials), bool)),
        compared=compared,
        speakers=boot.speakers,
        resamples=draws,
        seed=seed,
    )
    notes = notes_of(found, knows_speakers=trials.speakers is not None and trials.test_speakers is not None)
    return found.model_copy(update={"headline": headline(found), "notes": notes})


def _of_classes(system: TrialScores) -> TrialScores:
    """Leave out trials that no answer is due to, such as those without a probe."""
    trials = system.trials
    due = trials.is_target | trials.is_nontarget | trials.is_spoof
    return system if due.all() else system.take(due)


def _counts(trials: Trials, among: Bools) -> dict[str, int]:
    masks = class_masks(trials)
    return {name: int((masks[name] & among).sum()) for name in CLASSES}


def _refuse_unanswered(compared: Mapping[str, int]) -> None:
    target, nontarget, spoof = (compared[name] for name in CLASSES)
    if not target or not (nontarget or spoof):
        lacking = "the user" if not target else "other people and none of attacks"
        raise UserError(
            f"All systems answer no trial of {lacking}, so there are no error rates to compare; leave out the system "
            "that abstains."
        )


def _judged(systems: Sequence[TrialScores]) -> Bools:
    known = [~np.isnan(system.liveness) for system in systems if system.liveness is not None]
    return np.all(known, axis=0) if known else np.zeros(len(systems[0].trials), bool)


def _result(system: TrialScores, figures: Mapping[str, Figure]) -> SystemResult:
    return SystemResult(
        name=system.name,
        threshold=system.threshold,
        unanswered=_counts(system.trials, np.isnan(system.score)),
        measures={name: one.measure for name, one in figures.items()},
    )
