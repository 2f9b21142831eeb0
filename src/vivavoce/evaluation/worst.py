"""The decisions of an evaluation that went wrong by the widest margin."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.report.results import WorstError
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.verdict import Answer

# Of each class: the user refused, another person accepted, an attack accepted.
MOST = 3


def choose_worst(
    rows: Sequence[Row], scores: TrialScores, test: NDArray[np.intp], verdicts: NDArray[np.str_], most: int = MOST
) -> list[WorstError]:
    """Give the worst wrong decisions of each class, the widest margin first, no recording twice in a class.

    No answer is no error here; reports count it apart.

    Args:
        rows: the recordings.
        scores: of the trials, with the threshold of the deciding score.
        test: the recording that each trial tests, ``(trials,)``.
        verdicts: on each trial, ``(trials,)``.
        most: of each class.
    """
    trials, threshold = scores.trials, scores.threshold or 0.0
    accepted = verdicts == Answer.ACCEPT.value
    refused = ~accepted & (verdicts != Answer.ABSTAIN.value)
    margin = np.where(accepted, scores.score - threshold, threshold - scores.score)
    found = []
    for wrong in (
        trials.is_target & refused,
        trials.is_nontarget & accepted,
        trials.is_spoof & accepted,
    ):
        numbers = np.flatnonzero(wrong)
        order = numbers[np.argsort(-margin[numbers], kind="stable")]
        _, first = np.unique(test[order], return_index=True)
        found += [
            _error(rows, scores, test, verdicts, float(margin[number]), number)
            for number in order[np.sort(first)[:most]].tolist()
        ]
    return found


def _error(
    rows: Sequence[Row],
    scores: TrialScores,
    test: NDArray[np.intp],
    verdicts: NDArray[np.str_],
    margin: float,
    number: int,
) -> WorstError:
    trials, row = scores.trials, rows[int(test[number])]
    enrolled = None if trials.speakers is None else trials.speakers[int(trials.enrolment[number])]
    return WorstError(
        truth=trials[number].label,
        verdict=str(verdicts[number]),
        recording=row.id,
        enrolled=enrolled,
        margin=margin,
        speaker_score=_value(scores.speaker, number),
        liveness_score=_value(scores.liveness, number),
        conditions=_conditions(row),
    )


def _value(scores: NDArray[np.float64] | None, number: int) -> float | None:
    return None if scores is None or np.isnan(scores[number]) else float(scores[number])


def _conditions(row: Row) -> dict[str, str]:
    meta = row.meta
    named = {
        "speaker": row.speaker,
        "phone": meta.device,
        "room": meta.room,
        "posture": meta.posture,
        "distance": None if meta.distance_cm is None else f"{meta.distance_cm:.0f} cm",
        "sway": None if meta.sway_mm is None else f"{meta.sway_mm:.2g} mm",
        "length": f"{row.duration_s:.1f} s",
        "words": row.text,
    }
    return {name: value for name, value in named.items() if value}
