import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.spoofing import min_a_dcf
from vivavoce.training.guard import Diverged
from vivavoce.training.validation import Validation, ValidationScores
from vivavoce.training.validation_scores import TandemScores

from ..synthetic import make_rows, make_store, small_model

LN_2 = float(np.log(2))


def drawn(seed: int, count: int = 400, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(apart, 1, count), rng.normal(0, 1, count + 50)


def both(voice: tuple[float, float, float], mouth: tuple[float, float, float], count: int = 300) -> ValidationScores:
    """Scores whose classes, target, non-target and spoof, lie at ``voice`` and ``mouth`` with a spread of 1."""
    rng = np.random.default_rng(0)
    parts = [rng.normal([v, m], 1, (count, 2)) for v, m in zip(voice, mouth, strict=True)]
    live, attack = np.concatenate([parts[0][:, 1], parts[1][:, 1]]), parts[2][:, 1]
    kinds = np.full(len(attack), "replay_stand")
    return ValidationScores(parts[0][:, 0], parts[1][:, 0], live, attack, kinds, TandemScores(*parts))


def test_the_speaker_loss_says_nothing_at_ln_2_and_falls_as_the_voices_part():
    found = [ValidationScores(*drawn(0, 4000, apart)).speaker_loss for apart in (0.0, 1.0, 2.0, 4.0, 9.0)]
    assert all(value is not None for value in found)
    assert found == sorted(found, reverse=True)  # pyright: ignore[reportArgumentType]
    assert found[0] == pytest.approx(LN_2, abs=2e-3)
    assert found[-1] is not None
    assert found[-1] < 0.005
    # Two unit normals at 0 and 2 give the log-likelihood ratio 2x - 2; its cross-entropy, by integration.
    x = np.linspace(-10, 12, 200_001)
    density = np.exp(-0.5 * (x - 2) ** 2) / np.sqrt(2 * np.pi)
    assert found[2] == pytest.approx(np.trapezoid(density * np.logaddexp(0, 2 - 2 * x), x), rel=0.05)


@given(seed=st.integers(0, 20), scale=st.floats(0.05, 20), offset=st.floats(-5, 5))
def test_the_speaker_loss_does_not_depend_on_the_scale_of_the_cosines(seed, scale, offset):
    target, nontarget = drawn(seed, 60)
    plain = ValidationScores(target, nontarget).speaker_loss
    moved = ValidationScores(scale * target + offset, scale * nontarget + offset).speaker_loss
    assert moved == pytest.approx(plain, rel=1e-4)


def test_the_speaker_loss_moves_with_a_score_where_the_error_rate_stands_still():
    target, nontarget = np.array([1.0, 2.0, 3.0, 4.0]), np.array([-1.0, 0.0, 1.5, 0.5])
    other = np.array([1.0, 2.0, 3.2, 4.0])
    plain, moved = ValidationScores(target, nontarget), ValidationScores(other, nontarget)
    assert plain.speaker_eer == moved.speaker_eer
    assert 1e-5 < abs(plain.speaker_loss - moved.speaker_loss) < 0.05  # pyright: ignore[reportOperatorIssue]


def test_each_kind_of_attack_has_figures_of_its_own_against_all_live_recordings():
    live, easy = drawn(1, apart=6.0)
    hard = drawn(2)[1] + 5.0
    kinds = np.array(["replay_stand"] * len(easy) + ["shifted"] * len(hard))
    scores = ValidationScores(live=live, attack=np.concatenate([easy, hard]), attack_kinds=kinds)
    summary = scores.summary()
    names = {"loss_liveness", "liveness_eer"}
    assert summary.keys() == names | {f"{name}/{kind}" for name in names for kind in ("replay_stand", "shifted")}
    assert summary["liveness_eer/replay_stand"] == eer(live, easy).rate
    assert summary["liveness_eer/shifted"] == eer(live, hard).rate > 0.2
    expected = 0.5 * np.log1p(np.exp(-live)).mean() + 0.5 * np.log1p(np.exp(hard)).mean()
    assert summary["loss_liveness/shifted"] == pytest.approx(expected)
    alone = replace(scores, attack=hard, attack_kinds=kinds[len(easy) :]).summary()
    assert alone["loss_liveness"] == alone["loss_liveness/shifted"] == summary["loss_liveness/shifted"]


def test_a_dcf_of_both_tasks_asks_for_both():
    good = both((4, -4, 4), (4, 4, -4))
    assert good.a_dcf == pytest.approx(0, abs=0.01)
    # Who cannot tell voices lets other speakers in, 10 * 0.05; who cannot tell mouths had better refuse all, 0.9.
    assert both((0, 0, 0), (4, 4, -4)).a_dcf == pytest.approx(0.5 / 0.9, abs=0.05)
    assert both((4, -4, 4), (0, 0, 0)).a_dcf == pytest.approx(1, abs=0.06)
    assert both((0, 0, 0), (0, 0, 0)).a_dcf == pytest.approx(1, abs=0.03)


def test_a_very_good_voice_does_not_make_up_for_a_missing_mouth():
    """The fusion is no sum: spoofs whose voice is surer than any target's are refused all the same."""
    scores = both((4, -4, 40), (4, 4, -4))
    assert scores.a_dcf is not None
    assert scores.a_dcf < 0.02
    assert scores.tandem is not None
    summed = [part.sum(axis=1) for part in scores.tandem]
    assert min_a_dcf(*summed).value > 0.5


def test_a_recording_without_a_liveness_answer_is_in_no_trial_of_both():
    cosines, logits = np.arange(6.0), np.array([1.0, np.nan, 2.0, 3.0, 4.0, np.nan])
    is_target, is_nontarget = np.arange(6) < 2, (np.arange(6) >= 2) & (np.arange(6) < 4)
    tandem = TandemScores.of(cosines, logits, is_target, is_nontarget)
    assert tandem is not None
    assert [part.tolist() for part in tandem] == [[[0.0, 1.0]], [[2.0, 2.0], [3.0, 3.0]], [[4.0, 4.0]]]
    logits[4] = np.nan
    assert TandemScores.of(cosines, logits, is_target, is_nontarget) is None


def test_the_cost_is_the_metric_that_is_asked_for():
    scores = both((2, 0, 2), (2, 2, 0))
    summary = scores.summary()
    assert scores.cost() == scores.cost("eer") == summary["speaker_eer"] + summary["liveness_eer"]
    assert scores.cost("loss") == summary["loss_speaker"] + summary["loss_liveness"]
    assert scores.cost("a_dcf") == summary["a_dcf"]
    assert scores.cost("speaker_eer") == summary["speaker_eer"]
    assert scores.cost("liveness_eer") == summary["liveness_eer"]
    alone = ValidationScores(scores.target, scores.nontarget)
    assert alone.cost("eer") == summary["speaker_eer"]
    assert alone.summary().keys() == {"loss_speaker", "speaker_eer"}
    for metric in ("a_dcf", "liveness_eer"):
        with pytest.raises(ValueError, match=metric):
            alone.cost(metric)


def test_a_split_is_scored_by_class_kind_and_trial(validation_corpus):
    rows, store = validation_corpus
    validation = Validation(rows, store, 0)
    scores = validation.score(small_model())
    assert set(scores.attack_kinds) == {"replay_stand"}
    assert len(scores.attack_kinds) == len(scores.attack) == 18
    assert scores.tandem is not None
    assert [len(part) for part in scores.tandem] == [
        sum(label == trial.label for trial in validation.trials) for label in ("target", "nontarget", "replay_stand")
    ]
    assert scores.tandem.target[:, 0].tolist() == scores.target.tolist()
    assert set(scores.tandem.spoof[:, 1].tolist()) == set(scores.attack.tolist())
    assert set(scores.tandem.target[:, 1].tolist()) <= set(scores.live.tolist())
    assert 0 <= scores.summary()["a_dcf"] <= 1
    for task in ("speaker", "liveness"):
        one = Validation(rows, store, 0, (task,)).score(small_model())
        assert one.summary().items() <= scores.summary().items()
        assert one.tandem is None
        assert not {name for name in one.summary() if {"speaker": "liveness", "liveness": "speaker"}[task] in name}


@pytest.mark.parametrize(("task", "layer"), [("liveness", "head.judge"), ("speaker", "trunk.embedding")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_no_missing_answers(validation_corpus, task, layer, value):
    """Taken for recordings without an answer, they made the epoch that diverged the best one."""
    rows, store = validation_corpus
    model = small_model()
    model.get_submodule(layer).register_forward_hook(lambda *given: given[2] * value)
    for tasks in ((task,), ("speaker", "liveness")):
        with pytest.raises(Diverged, match=rf"The {task} scores of 36 of 36.*{rows[0].id}.*training\.learning_rate"):
            Validation(rows, store, 0, tasks).score(model)


def test_a_recording_whose_probe_is_not_usable_needs_no_answer():
    rows = make_rows(["a", "b"], [Kind.LIVE, Kind.REPLAY_STAND, Kind.PROBE_ABSENT])
    scores = Validation(rows, make_store(rows), 0).score(small_model())
    assert set(scores.attack_kinds) == {"replay_stand"}


def test_a_split_that_cannot_give_the_metric_is_refused_before_training():
    rows = [row for row in make_rows(["a", "b", "c"], [Kind.LIVE, Kind.REPLAY_STAND]) if row.speaker != "c"]
    # Attacks on a speaker whom nobody can enrol teach liveness, but are in no trial.
    rows = [row for row in rows if row.meta.kind is Kind.LIVE]
    rows += make_rows(["d"], [Kind.REPLAY_STAND])
    store = make_store(rows)
    assert Validation(rows, store, 0).score(small_model()).a_dcf is None
    with pytest.raises(UserError, match=r"training\.best_by is a_dcf.*spoof trials"):
        Validation(rows, store, 0, best_by="a_dcf")


def test_the_figures_of_a_large_split_take_no_time_that_is_noticed():
    rng = np.random.default_rng(0)
    parts = [rng.normal(mean, 1, (n, 2)) for mean, n in (((2, 2), 10_000), ((0, 2), 100_000), ((2, 0), 10_000))]
    kinds = np.repeat(["replay_stand", "shifted"], 5_000)
    live = rng.normal(2, 1, 10_000)
    scores = ValidationScores(parts[0][:, 0], parts[1][:, 0], live, parts[2][:, 1], kinds, TandemScores(*parts))
    began = time.process_time()
    summary = scores.summary()
    assert time.process_time() - began < 5
    assert 0 < summary["a_dcf"] < 1
