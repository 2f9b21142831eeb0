"""Tell when new scores leave the range of those that a run was calibrated on."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.calibration.logistic import Floats
from vivavoce.evaluation.calibration.parts import Calibration, PartCalibration
from vivavoce.evaluation.calibration.seen import SeenScores
from vivavoce.evaluation.trials.table import NONTARGET, TARGET

# How often one call of `drift_notes` may tell of a drift that is none, all of its tests together.
FALSE_ALARMS = 0.01
MEND = "run `vivavoce calibrate` with a validation split of recordings like these"
CLASSES = {
    "speaker": {"target": (TARGET,), "nontarget": (NONTARGET,)},
    "liveness": {
        "target": (TARGET, NONTARGET, Kind.LIVE.value),
        "nontarget": tuple(kind.value for kind in Kind if kind.is_spoof),
    },
}
WORDS = {
    ("speaker", "target"): "speaker scores of the user",
    ("speaker", "nontarget"): "speaker scores of other people",
    ("liveness", "target"): "liveness scores of live recordings",
    ("liveness", "nontarget"): "liveness scores of attacks",
}


def drift_notes(
    calibration: Calibration,
    speaker_scores: ArrayLike | None,
    liveness_scores: ArrayLike | None,
    labels: ArrayLike | None = None,
    kinds: ArrayLike | None = None,
) -> list[str]:
    """Give a sentence for each set of scores of which more than chance lie outside of what was calibrated on.

    The range of a class leaves 0.1 % of its validation scores out at either end, or none where there are fewer than
    2000. How many of m new scores of the same kind lie outside of a range between two ranks of n is beta-binomial,
    whatever the distribution (Wilks, "Determination of sample sizes for setting tolerance limits", Annals of
    Mathematical Statistics 12, 1941; Fligner & Wolfe 1976); the scores of one speaker count for fewer, as
    `SeenScores.worth` says. Where truth is not known, scores may be of either class, so the range spans both, and the
    class with the fewest scores sets what is expected.

    Args:
        calibration: of the run; one of an earlier version has no ranges and gives no note.
        speaker_scores: ``(trials,)``; None: none.
        liveness_scores: of trials or recordings, NaN where there was no answer; None: none.
        labels: the truth of each speaker score: ``target``, ``nontarget`` or the kind of an attack; None: unknown.
        kinds: the truth of each liveness score: ``live`` or the kind of an attack, or a label; None: that of
            ``labels`` where there are as many.

    Returns:
        Sentences. Where nothing drifted, one call in a hundred gives any.
    """
    truths = {"speaker": labels, "liveness": labels if kinds is None else kinds}
    scores = {"speaker": speaker_scores, "liveness": liveness_scores}
    tests: list[tuple[str, Floats, list[SeenScores]]] = []
    for question, values in scores.items():
        part: PartCalibration | None = getattr(calibration, question)
        if values is not None and part is not None and part.seen:
            tests += _tests(question, np.asarray(values, np.float64).ravel(), part.seen, truths[question])
    limit = FALSE_ALARMS / max(1, len(tests))
    return [note for name, found, seen in tests if (note := _note(name, found, seen, limit))]


def unseen_notes(calibration: Calibration, speaker: float, liveness: float) -> list[str]:
    """Give a sentence for each score of one recording that is higher or lower than all that calibration has seen.

    Args:
        calibration: of the run.
        speaker: the speaker score; NaN: there is none.
        liveness: the liveness score; NaN: there is none.
    """
    notes = []
    for name, score, part in (("speaker", speaker, calibration.speaker), ("liveness", liveness, calibration.liveness)):
        if part is None or not part.seen:
            continue
        lowest = min(one.lowest for one in part.seen.values())
        highest = max(one.highest for one in part.seen.values())
        if score < lowest or score > highest:
            notes.append(
                f"The {name} score {score:.2f} lies outside of all that the calibration has seen ({lowest:.2f} to "
                f"{highest:.2f}), so what is made of it is extrapolated."
            )
    return notes


def _tests(
    question: str, values: Floats, seen: Mapping[str, SeenScores], truth: ArrayLike | None
) -> list[tuple[str, Floats, list[SeenScores]]]:
    """What is to be tested: a name, finite scores, and the ranges that they may lie in."""
    heard = np.isfinite(values)
    labels: NDArray[np.str_] | None = None if truth is None else np.asarray(truth, np.str_).ravel()
    if labels is None or labels.size != values.size:
        return [(f"{question} scores", values[heard], list(seen.values()))] if heard.any() else []
    tests = []
    for name, members in CLASSES[question].items():
        which = heard & np.isin(labels, members)
        if which.any():
            tests.append((WORDS[question, name], values[which], [seen[name]]))
    return tests


def _note(name: str, values: Floats, seen: list[SeenScores], limit: float) -> str | None:
    low, high = min(one.low for one in seen), max(one.high for one in seen)
    outside = int(np.sum((values < low) | (values > high)))
    fewest = min(seen, key=lambda one: one.worth)
    # Clustered scores are as many as they are worth, the new ones like those of the calibration.
    share = fewest.worth / fewest.n
    expected = max(2 * fewest.outside / (fewest.n + 1), 2 / (fewest.worth + 1))
    ends = expected * (fewest.worth + 1), (1 - expected) * (fewest.worth + 1)
    trials, errors = max(1, round(share * values.size)), int(share * outside)
    chance = float(betabinom.sf(errors - 1, trials, *ends)) if errors and min(ends) > 0 else 1.0
    if chance >= limit:
        return None
    return (
        f"{outside} of {values.size} {name} lie outside of the calibration's range ({low:.2f} to {high:.2f}), where "
        f"{100 * expected:.2g} % are expected (p = {chance:.1g}), so thresholds and probabilities may not hold for "
        f"them; {MEND}."
    )
