"""Levels are scored as an evaluation scores them, on one list of trials, and enrolments stay as they are."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from vivavoce.corpus.cuts import Row
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import Trials
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.extractor import Extractor, hear, in_memory
from vivavoce.stress.config import StressConfig
from vivavoce.stress.protocol import Protocol, protocol_of
from vivavoce.stress.runner import StressTest
from vivavoce.stress.scoring import Scorer, Task
from vivavoce.stress.sounds import Sound

from .conftest import make_run

CONFIG = StressConfig(workers=1, resamples=100)


def protocol(rows: Sequence[Row], most: int | None = None) -> Protocol:
    return protocol_of(rows, Trials.of(make_trials(rows)), most)


class Destroyed:
    """A degradation after which nothing of the recording is left."""

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        return sound._replace(samples=(1e-3 * rng.standard_normal(len(sound.samples))).astype(np.float32))


def test_recordings_as_they_are_score_as_in_an_evaluation(rows: list[Row], run: Any) -> None:
    found = protocol(rows)
    with closing(StressTest(run, found, CONFIG)) as test:
        answers = test._answers(test.clean, 0, test.enrolled)
    extractor = Extractor(run.config.front_end, AugmentConfig())
    store = in_memory([extractor.original(hear(row)) for row in rows])
    plain = score_recordings(run.model, store)
    assert answers.speaker is not None
    assert answers.liveness is not None
    assert answers.speaker == pytest.approx(score_trials(found.trials, rows, plain.embeddings).scores, abs=1e-5)
    assert answers.liveness == pytest.approx(plain.liveness[found.tests], abs=1e-4, nan_ok=True)
    kinds = found.kinds
    assert np.isnan(answers.liveness[kinds == "probe_absent"]).all()
    assert np.isfinite(answers.liveness[kinds == "live"]).any()


def test_the_first_level_of_an_applied_curve_is_the_recordings_as_they_are(rows: list[Row], run: Any) -> None:
    with closing(StressTest(run, protocol(rows), StressConfig(workers=1, resamples=100, duration=(60.0,)))) as test:
        curve = test.applied("duration")
    unchanged, whole = curve.levels
    assert unchanged.measures == whole.measures  # a crop of a minute changes none of these recordings
    assert all(change.value == change.low == change.high == 0 for change in whole.changes.values())


def test_only_tests_get_worse_unless_both_are_to(rows: list[Row], run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.stress.runner.degradation", lambda *_: Destroyed())
    heard: list[tuple[str, bool]] = []
    score = Scorer.score

    def spy(self: Scorer, tasks: Sequence[Task], *more: Any) -> Any:
        heard.extend((task.row.id, task.levels != (None,)) for task in tasks)
        return score(self, tasks, *more)

    monkeypatch.setattr(Scorer, "score", spy)
    found = protocol(rows)
    enrolled = {rows[index].id for index in found.enrolled}
    for both in (False, True):
        heard.clear()
        config = StressConfig(workers=1, resamples=100, gain=(0.0,), degrade_enrolment=both)
        with closing(StressTest(run, found, config)) as test:
            before = np.asarray(test.enrolled).copy()
            test.applied("gain")
            assert np.array_equal(np.asarray(test.enrolled), before)
        worse = {name for name, is_worse in heard if is_worse}
        assert {rows[index].id for index in found.tests} <= worse
        assert (enrolled <= worse) is both
        assert not both or enrolled & worse


@pytest.mark.slow
def test_the_same_seed_gives_the_same_and_processes_change_nothing(rows: list[Row], run: Any) -> None:
    curves = []
    for workers, seed in ((1, 0), (2, 0), (1, 1)):
        config = StressConfig(workers=workers, resamples=100, snr=(0.0,), seed=seed)
        with closing(StressTest(run, protocol(rows, 24), config)) as test:
            curves.append(test.applied("snr"))
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


def test_a_rate_without_ultrasound_gets_no_answer(rows: list[Row], run: Any) -> None:
    with closing(StressTest(run, protocol(rows), StressConfig(workers=1, resamples=100, rate=(16_000,)))) as test:
        curve = test.applied("rate")
    unchanged, low = curve.levels
    assert (unchanged.figure("live_abstained") or 0) < 1
    assert low.figure("live_abstained") == 1
    assert low.figure("attack_abstained") == 1
    assert "liveness_eer" not in low.measures
    assert low.figure("speaker_eer") is not None
    assert sum(low.reasons.values()) == low.recordings
    assert any("most live recordings get none at 16 kHz" in sentence for sentence in curve.sentences)


def test_groups_hold_each_recording_once(rows: list[Row], run: Any) -> None:
    with closing(StressTest(run, protocol(rows), CONFIG)) as test:
        distance, posture = test.grouped("distance"), test.grouped("posture")
        assert test.grouped("sway") is None  # nothing is known of it
        assert test.grouped("rolloff") is None
    assert distance is not None
    assert posture is not None
    assert [level.name for level in distance.levels] == ["up to 7.1 cm", "7.1–14 cm", "over 28 cm"]
    assert [level.name for level in posture.levels] == ["handheld", "stand"]
    for curve in (distance, posture):
        assert sum(level.recordings for level in curve.levels) == len(test.protocol.tests)
        assert not any(level.changes for level in curve.levels)


@pytest.mark.parametrize("part", ["speaker", "liveness"])
def test_a_run_with_one_task_is_measured_on_that_one(rows: list[Row], part: str) -> None:
    found = protocol(rows) if part == "speaker" else protocol_of(rows, None)
    with closing(StressTest(make_run(part), found, StressConfig(workers=1, resamples=100, duration=(1.0,)))) as test:
        curve = test.applied("duration")
    assert curve.has("speaker_eer") == (part == "speaker")
    assert curve.has("liveness_eer") == (part == "liveness")
    assert not curve.has("a_dcf")
