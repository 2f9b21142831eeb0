import re
from pathlib import Path

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.evaluation.breakdowns import MOST_LEVELS, Judged, break_down
from vivavoce.evaluation.cards import data_card, model_card
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.system import bootstrap_of
from vivavoce.evaluation.trials.table import LABELS, Trials

SPEAKERS, EACH = 12, 12


def _rows() -> list[Row]:
    kinds = [Kind.LIVE] * 8 + [Kind.REPLAY_STAND] * 4
    rows = []
    for speaker in range(SPEAKERS):
        for number, kind in enumerate(kinds):
            meta = Metadata(
                kind=kind,
                sex="F" if speaker % 2 else "M",
                device=f"phone {speaker}",
                posture="stand",
                distance_cm=5.0 if number % 2 else 20.0,
            )
            name = f"s{speaker}-{number}"
            row = Row(name, Path(f"{name}.wav"), f"s{speaker}", None, 0.0, 1.0 + number, 48_000, 0, meta)
            rows.append(row)
    return rows


def _judged(seed: int = 0) -> Judged:
    """All recordings tested against their own speaker, the live ones against the next speaker, too."""
    rng, rows = np.random.default_rng(seed), _rows()
    own = np.repeat(np.arange(SPEAKERS), EACH)
    live = np.array([row.meta.kind is Kind.LIVE for row in rows])
    tests = np.concatenate([np.arange(len(rows)), np.flatnonzero(live)])
    enrolled = np.concatenate([own, (own[live] + 1) % SPEAKERS])
    label = np.concatenate([np.where(live, 0, LABELS.index("replay_stand")), np.ones(live.sum(), int)])
    drawn = np.concatenate([np.zeros(len(rows), int), 1 + np.arange(live.sum()) % 2])
    names = [f"s{number}" for number in range(SPEAKERS)]
    trials = Trials(
        [(f"e{number}",) for number in range(SPEAKERS)],
        [row.id for row in rows],
        enrolled,
        tests,
        label,
        drawn,
        names,
        [row.speaker for row in rows],
    )
    liveness = np.where(live, 2.0, -2.0) + rng.normal(0, 1.5, len(rows))
    liveness[rng.random(len(rows)) < 0.1] = np.nan
    voice = np.where(label == 1, -1.0, 1.0) + rng.normal(0, 1, len(tests))
    score = np.minimum(voice, liveness[tests])
    scores = TrialScores("made", trials, score, voice, liveness[tests], 0.0)
    return Judged(rows, scores, tests.astype(np.intp), score >= 0, np.isnan(score), liveness, own)


def test_each_level_has_the_figures_of_its_recordings_alone() -> None:
    judged = _judged()
    found = break_down(judged, bootstrap_of(judged.scores.trials), np.linspace(0, 40, len(judged.rows)))
    women = next(one for one in found if (one.factor, one.level) == ("sex", "F"))
    here = np.array([row.meta.sex == "F" for row in judged.rows])
    trials = judged.scores.trials
    assert women.recordings == here.sum()
    tested = here[judged.test]
    assert women.trials["target"] == (trials.is_target & tested).sum()
    assert women.false_accepts is not None
    assert women.false_accepts.value == judged.accepted[trials.is_nontarget & tested].mean()
    assert women.false_rejects is not None
    assert women.false_rejects.value == (~judged.accepted[trials.is_target & tested]).mean()
    assert judged.scores.speaker is not None
    voice = judged.scores.speaker
    assert women.speaker_eer is not None
    assert women.speaker_eer.value == eer(voice[trials.is_target & tested], voice[trials.is_nontarget & tested]).rate
    live = np.array([row.meta.kind is Kind.LIVE for row in judged.rows])
    answered = ~np.isnan(judged.liveness) & here
    assert women.liveness_eer is not None
    assert women.liveness_eer.value == eer(judged.liveness[live & answered], judged.liveness[~live & answered]).rate


def test_levels_cover_every_recording_once_and_single_levels_say_nothing() -> None:
    judged = _judged()
    found = break_down(judged, bootstrap_of(judged.scores.trials), np.linspace(0, 40, len(judged.rows)))
    factors = list(dict.fromkeys(one.factor for one in found))
    assert factors == ["sex", "device", "distance", "duration", "noise", "non-targets"], "one posture is no factor"
    for factor in factors[:-1]:
        assert sum(one.recordings for one in found if one.factor == factor) == len(judged.rows)
    phones = [one.level for one in found if one.factor == "device"]
    assert len(phones) == MOST_LEVELS
    assert phones[-1] == "others"


def test_each_way_of_drawing_meets_all_targets() -> None:
    judged = _judged()
    found = [one for one in break_down(judged, bootstrap_of(judged.scores.trials)) if one.factor == "non-targets"]
    trials = judged.scores.trials
    assert [one.level for one in found] == ["drawn at random", "of the same sex"]
    assert all(one.trials["target"] == trials.is_target.sum() for one in found)
    assert sum(one.trials["nontarget"] for one in found) == trials.is_nontarget.sum()
    assert "noise" not in {one.factor for one in break_down(judged, bootstrap_of(trials))}


def test_the_data_card_counts_what_is_there() -> None:
    rows = _rows()
    card = data_card(rows, _judged().scores.trials)
    assert card["Recordings"]["number"] == "144"
    assert card["Recordings"]["ultrasound"] == "recorded"
    assert card["People"] == {"speakers": "12", "sex of the speakers": "F 6, M 6", "sessions": "12"}
    assert card["Conditions"]["phones"] == "12 different"
    assert card["Conditions"]["rooms"] == "not known"
    assert card["Conditions"]["distance, median (range)"] == "12.5 cm (5–20 cm)"
    assert card["Trials"]["enrolled"] == "12 enrolments of 1 recordings"
    assert card["Trials"]["replay_stand"] == "48"


def test_the_model_card_says_sizes_and_use() -> None:
    card = model_card({"trunk": 2_500_000}, {"name": "ecapa-fused"}, {"epochs": "3"}, "comparing")
    assert card["Model"] == {"name": "ecapa-fused", "weights, trunk": "2.50 million"}
    assert card["Use"]["meant for"] == "comparing"
    assert re.fullmatch(r"\d+", card["Trained on"]["epochs"])
