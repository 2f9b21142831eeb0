"""Trials with scores drawn from known distributions, for tests of figures and intervals."""

import numpy as np

from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.trials.table import LABELS, Trials


def drawn_scores(
    seed: int = 0, speakers: int = 12, each: int = 40, separation: float = 3.0, unanswered: float = 0.05
) -> TrialScores:
    """Scores of ``each`` trials a speaker: targets, non-targets and two species, some without a liveness answer."""
    rng = np.random.default_rng(seed)
    count, tests_each = speakers * each, 10
    enrolment = np.repeat(np.arange(speakers), each)
    names = np.array(["target", "nontarget", "replay_stand", "swapped_mouth"])
    label = rng.choice(names, count, p=[0.3, 0.4, 0.15, 0.15])
    other = (enrolment + rng.integers(1, speakers, count)) % speakers
    tested = np.where(label == "nontarget", other, enrolment)
    test = tested * tests_each + rng.integers(0, tests_each, count)
    table = Trials(
        [(f"e{number}",) for number in range(speakers)],
        [f"t{number}" for number in range(speakers * tests_each)],
        enrolment,
        test,
        [LABELS.index(name) for name in label],
        None,
        [f"s{number}" for number in range(speakers)],
        [f"s{number // tests_each}" for number in range(speakers * tests_each)],
    )
    voice = np.where(label == "nontarget", 0.0, separation) + rng.normal(0, 1, count)
    mouth = np.where(np.isin(label, names[:2]), separation, 0.0) + rng.normal(0, 1, count)
    mouth[rng.random(count) < unanswered] = np.nan
    return TrialScores("drawn", table, np.minimum(voice, mouth), voice, mouth, separation / 2)
