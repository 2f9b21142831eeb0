from dataclasses import replace

import numpy as np
import pytest

from vivavoce.comparison.same_trials import on_same_trials, on_trials, places
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.table import LABEL_CODES, Trials

from .made import make_scores, make_trials

TRIALS = make_trials(4, 3)
OURS = make_scores("ours", TRIALS)


def test_places_find_each_trial_and_no_other() -> None:
    order = np.random.default_rng(3).permutation(len(TRIALS))
    found = places(TRIALS, TRIALS.take(order))
    np.testing.assert_array_equal(order[found], np.arange(len(TRIALS)))
    half = places(TRIALS, TRIALS.take(np.arange(0, len(TRIALS), 2)))
    np.testing.assert_array_equal(half[0::2], np.arange(len(half[0::2])))
    assert (half[1::2] == -1).all()
    assert (places(TRIALS, Trials.of([])) == -1).all()
    assert len(places(Trials.of([]), TRIALS)) == 0


def test_whichever_lacks_trials_is_named() -> None:
    short = replace(OURS.take(np.arange(5, len(TRIALS))), name="short")
    first = TRIALS[0]
    words = rf"short has no score of 5 of the {len(TRIALS)} trials of ours \(first: .*{first.test}\)"
    for pair in ((OURS, short), (short, OURS)):
        with pytest.raises(UserError, match=words):
            on_same_trials(pair)


def test_another_truth_is_refused() -> None:
    label = TRIALS.label.copy()
    label[2] = LABEL_CODES["replay_stand"]
    other = replace(OURS, name="other", trials=replace(TRIALS, label=label))
    with pytest.raises(UserError, match=r"disagree on the truth of 1 of .* target or replay_stand"):
        on_same_trials([OURS, other])


def test_a_shorter_list_chooses_and_its_truths_count() -> None:
    wanted = TRIALS.take([7, 2, 9])
    wanted = replace(wanted, label=np.full(3, LABEL_CODES["tts"]))
    found = on_trials(OURS, wanted)
    np.testing.assert_array_equal(found.score, OURS.score[[7, 2, 9]])
    assert [trial.label for trial in found.trials] == ["tts"] * 3
    with pytest.raises(UserError, match=r"ours has no score of 1 of 3 trials"):
        on_trials(OURS.take(np.flatnonzero(np.arange(len(TRIALS)) != 2)), wanted)
