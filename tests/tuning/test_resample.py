"""Drawing speakers repeats what they said, and nothing else."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from vivavoce.evaluation.trials.table import NONTARGET, TARGET, Trial
from vivavoce.training.validation import Validation
from vivavoce.training.validation_scores import TandemScores, ValidationScores
from vivavoce.tuning.metric import METRICS, metric_of
from vivavoce.tuning.resample import SpeakerDraws, judge_draw

PEOPLE = 4
TASKS = ("speaker", "liveness")


@pytest.fixture
def split() -> tuple[SpeakerDraws, ValidationScores]:
    """Four people with three live recordings and two replays each; one replay has no usable probe."""
    rows = [
        SimpleNamespace(speaker=f"p{person}", path=f"{person}-{item}.wav", id=f"{person}-{item}")
        for person in range(PEOPLE)
        for item in range(5)
    ]
    is_live = np.array([item < 3 for _ in range(PEOPLE) for item in range(5)])
    trials = [
        Trial((f"{one}-0.wav",), f"{other}-{item}.wav", label)
        for one in range(PEOPLE)
        for other in range(PEOPLE)
        for item in (1, 2, 3, 4)
        if (label := "replay_stand" if item > 2 and one == other else TARGET if one == other else NONTARGET)
        and (item < 3 or one == other)
    ]
    labels = np.array([trial.label for trial in trials])
    usable = np.arange(len(rows)) != 4
    fake = SimpleNamespace(
        rows=rows, trials=trials, is_live=is_live, is_attack=~is_live,
        is_target=labels == TARGET, is_nontarget=labels == NONTARGET, store=SimpleNamespace(usable=usable),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    cosines, logits = rng.normal(size=len(trials)), np.where(usable, rng.normal(size=len(rows)) + is_live, np.nan)
    tested = [[row.path for row in rows].index(trial.test) for trial in trials]
    scores = ValidationScores(
        target=cosines[fake.is_target],
        nontarget=cosines[fake.is_nontarget],
        live=logits[is_live & usable],
        attack=logits[~is_live & usable],
        attack_kinds=np.full((~is_live & usable).sum(), "replay_stand"),
        tandem=TandemScores.of(cosines, logits[tested], fake.is_target, fake.is_nontarget),
    )
    return SpeakerDraws(cast(Validation, cast(Any, fake))), scores


@pytest.mark.parametrize("metric", METRICS)
def test_everybody_once_is_the_metric_itself(metric: Any, split: tuple[SpeakerDraws, ValidationScores]) -> None:
    draws, scores = split
    assert draws.speakers == PEOPLE
    once = draws.apply(scores, np.ones(PEOPLE, dtype=np.intp))
    assert judge_draw(once, metric, TASKS) == pytest.approx(metric_of(scores.summary(), metric))


def test_trials_come_as_often_as_both_their_speakers(split: tuple[SpeakerDraws, ValidationScores]) -> None:
    draws, scores = split
    found = draws.apply(scores, np.array([3, 1, 0, 0]))
    assert len(found.live) == 3 * (3 + 1)
    assert len(found.attack) == 3 * 1 + 2  # the first person's second replay has no score
    assert len(found.target) == 2 * (3 + 1)  # of one person: not squared
    assert len(found.nontarget) == 2 * (3 * 1 + 1 * 3)
    assert found.tandem is not None
    assert [len(part) for part in found.tandem] == [2 * 4, 2 * 6, 3 * 1 + 2]
    assert np.isin(found.live, scores.live).all()


def test_a_draw_without_a_class_is_left_out(split: tuple[SpeakerDraws, ValidationScores]) -> None:
    draws, scores = split
    alone = draws.apply(scores, np.array([4, 0, 0, 0]))  # one person alone meets no other
    assert judge_draw(alone, "speaker_eer", ("speaker",)) is None
    unspoken = ValidationScores(live=alone.live, attack=alone.attack, attack_kinds=alone.attack_kinds)
    assert judge_draw(unspoken, "liveness_eer", ("liveness",)) is not None
