"""What a step's negatives are made of: nothing that could be true, in the shares asked for, hard as the run is far."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.features.batch import Origin
from vivavoce.training.negatives import KINDS, LEAST_SHIFT_S, CurriculumConfig, NegativesConfig, Plan, Planner

# Speakers, texts and sources of a corpus in which each utterance was simulated twice, as live and in attacks.
SPEAKERS, TEXTS = 4, 5
KINDS_MADE = (Kind.LIVE, Kind.LIVE, Kind.REPLAY_STAND, Kind.SWAPPED_MOUTH)


def make_corpus(with_text: bool = True) -> list[Row]:
    rows = []
    for speaker in range(SPEAKERS):
        for text in range(TEXTS):
            source = f"s{speaker}-{text}"
            for number, kind in enumerate(KINDS_MADE):
                extra = {"source": source}
                if kind is Kind.SWAPPED_MOUTH:  # the mouth says what another row of the batch says
                    extra["mouth"] = f"s{speaker}-{(text + 1) % TEXTS}"
                meta = Metadata.model_validate({"kind": kind, **extra})
                name, words = f"{source}.{number}", f"Text {text} " if with_text else None
                rows.append(Row(name, Path(f"{name}.wav"), f"s{speaker}", words, 0.0, 2.0, 48_000, 0, meta))
    return rows


ROWS = make_corpus()
ITEMS = np.arange(len(ROWS))
LIVE = np.array([row.meta.kind is Kind.LIVE for row in ROWS])


def source(item: int) -> str:
    return (ROWS[item].meta.model_extra or {})["source"]


def mouth(item: int) -> str:
    return (ROWS[item].meta.model_extra or {}).get("mouth", source(item))


def draw(config: NegativesConfig, seed: int = 0, progress: float = 1.0, size: int = 24) -> tuple[np.ndarray, Plan]:
    rng = np.random.default_rng(seed)
    items = rng.choice(ITEMS, size, replace=False)
    return items, Planner(ROWS, ITEMS, config).plan(items, LIVE[items], progress, rng)


def crops(items: np.ndarray, plan: Plan) -> np.ndarray:
    """Recordings of the crops that a plan numbers."""
    return np.concatenate([items, plan.partners])


@given(seed=st.integers(0, 999), hard=st.floats(0, 1), size=st.integers(2, 40))
def test_no_negative_could_be_a_true_pair(seed, hard, size):
    items, plan = draw(NegativesConfig(hard_share=hard), seed, size=size)
    recordings = crops(items, plan)
    for kind, of, first, second in zip(plan.kind, plan.of, plan.first, plan.second, strict=True):
        voice = int(items[of])
        assert LIVE[voice]
        if kind == Origin.SHIFT:
            assert first == second == -1
            continue
        echo = int(recordings[first])
        assert source(voice) not in (source(echo), mouth(echo))
        assert LIVE[echo] == (kind != Origin.REPLACE)
        if kind == Origin.PARTIAL:
            other = int(recordings[second])
            assert LIVE[other]
            assert len({source(voice), source(echo), source(other)}) == 3
        if kind != Origin.REPLACE:  # two takes of one text by one speaker may be nearly one
            assert (ROWS[voice].speaker, ROWS[voice].text) != (ROWS[echo].speaker, ROWS[echo].text)


def test_shares_hold_and_every_live_crop_gets_its_negatives():
    config = NegativesConfig(per_live=5, replace=1, swap=2, shift=3, partial=4)
    kinds, drawn = [], 0
    for seed in range(60):
        items, plan = draw(config, seed)
        assert np.bincount(plan.of, minlength=len(items)).tolist() == (5 * LIVE[items]).tolist()
        kinds.append(plan.kind)
        drawn += len(plan.kind)
        # Dealt, not thrown: each step has its due.
        counts = np.bincount(plan.kind, minlength=5)[1:] / len(plan.kind)
        assert np.abs(counts - [0.1, 0.2, 0.3, 0.4]).max() < 2 / len(plan.kind)
    shares = np.bincount(np.concatenate(kinds), minlength=5)[1:] / drawn
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0.4], atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_of_nought_makes_none(kind):
    config = NegativesConfig.model_validate({"replace": 1, "swap": 1, "shift": 1, "partial": 1, kind.name.lower(): 0})
    made = np.concatenate([draw(config, seed)[1].kind for seed in range(20)])
    assert set(made.tolist()) == {other for other in KINDS if other != kind}


@pytest.mark.parametrize("hard", [0.0, 0.3, 1.0])
def test_hard_ones_are_the_same_speakers_with_another_text(hard):
    config = NegativesConfig(swap=1, replace=0, shift=0, partial=1, hard_share=hard)
    same = []
    for seed in range(40):
        items, plan = draw(config, seed)
        recordings = crops(items, plan)
        partner = plan.first >= len(items)
        same.append(partner)
        chosen = recordings[plan.first[partner]], recordings[plan.second[partner & (plan.kind == Origin.PARTIAL)]]
        speaker = np.array([row.speaker for row in ROWS])
        assert (speaker[chosen[0]] == speaker[items[plan.of[partner]]]).all()
        assert (plan.second[partner & (plan.kind == Origin.PARTIAL)] >= len(items)).all()
        assert set(plan.partners) <= set(ITEMS[LIVE])
    assert np.concatenate(same).mean() == pytest.approx(hard, abs=0.04)


def test_where_the_speaker_has_no_other_text_the_same_words_of_another_are_the_hard_ones():
    rows = [row for row in make_corpus() if row.text == "Text 1 "]
    live = np.array([row.meta.kind is Kind.LIVE for row in rows])
    config = NegativesConfig(swap=1, replace=0, shift=0, partial=0, hard_share=1.0)
    items = np.arange(len(rows))
    plan = Planner(rows, items, config).plan(items, live, 1.0, np.random.default_rng(0))
    assert (plan.first >= len(items)).all()
    for of, partner in zip(plan.of, plan.partners[plan.first - len(items)], strict=True):
        assert rows[partner].speaker != rows[items[of]].speaker


def test_both_spans_of_a_partial_come_from_the_same_kind_of_recording():
    """The seam tells nothing: what the true pair gets and what the false one gets are drawn alike."""
    config = NegativesConfig(partial=1, replace=0, swap=0, shift=0, per_live=8, hard_share=0.5)
    firsts, seconds = [], []
    for seed in range(60):
        items, plan = draw(config, seed)
        made = plan.kind == Origin.PARTIAL
        firsts.append(crops(items, plan)[plan.first[made]])
        seconds.append(crops(items, plan)[plan.second[made]])
    first, second = (np.bincount(np.concatenate(part), minlength=len(ROWS))[LIVE] for part in (firsts, seconds))
    assert first.sum() > 3000
    difference = (first - second) / np.sqrt(first + second)  # of counts with one expectation: standard normal
    assert (difference**2).mean() < 2


def test_two_takes_of_one_text_by_one_speaker_are_never_swapped():
    rows = [row for row in make_corpus() if row.meta.kind is Kind.LIVE and row.speaker == "s0"]
    rows = [replace(row, text="the same", meta=Metadata(kind=Kind.LIVE)) for row in rows]
    items, live = np.arange(len(rows)), np.ones(len(rows), bool)
    plan = Planner(rows, items, NegativesConfig()).plan(items, live, 1.0, np.random.default_rng(0))
    assert (plan.kind == Origin.SHIFT).all()


def test_what_cannot_be_made_becomes_a_shift():
    rows = [
        row for row in make_corpus() if row.meta.kind is Kind.LIVE and row.speaker == "s0" and row.text == "Text 0 "
    ]
    items, live = np.arange(len(rows)), np.ones(len(rows), bool)
    plan = Planner(rows, items, NegativesConfig()).plan(items, live, 1.0, np.random.default_rng(0))
    assert (plan.kind == Origin.SHIFT).all()
    assert not len(plan.partners)


def test_without_live_recordings_or_without_negatives_there_is_none():
    attacks = ITEMS[~LIVE][:6]
    plan = Planner(ROWS, ITEMS, NegativesConfig()).plan(attacks, LIVE[attacks], 0.5, np.random.default_rng(0))
    assert not len(plan.kind)
    assert not len(draw(NegativesConfig(per_live=0))[1].kind)


def test_unknown_words_are_not_the_same_words():
    rows = make_corpus(with_text=False)
    planner = Planner(rows, ITEMS, NegativesConfig(hard_share=1.0, swap=1, replace=0, shift=0, partial=0))
    plan = planner.plan(ITEMS, LIVE, 1.0, np.random.default_rng(0))
    assert (plan.kind == Origin.SWAP).all()
    assert len(plan.partners) == LIVE.sum()


@given(
    over=st.floats(0, 1), hard=st.floats(0, 1), begin=st.floats(0, 1), shift=st.floats(0.12, 1.0),
    steps=st.lists(st.floats(0, 1), min_size=2, max_size=9),
)  # fmt: skip
def test_negatives_only_grow_harder_and_reach_full_rigour(over, hard, begin, shift, steps):
    curriculum = CurriculumConfig(over=over, hard_from=begin * hard, shift_from_s=shift)
    config = NegativesConfig(hard_share=hard, curriculum=curriculum)
    rigours = [config.rigour(progress) for progress in sorted(steps)]
    for before, after in itertools.pairwise(rigours):
        assert after.hard_share >= before.hard_share - 1e-12
        assert after.least_shift_s <= before.least_shift_s + 1e-12
    assert config.rigour(over) == pytest.approx((hard, 0.12))
    assert config.rigour(1.0) == pytest.approx((hard, 0.12))
    if over:
        assert config.rigour(0.0) == pytest.approx((begin * hard, shift))


def test_the_same_randomness_gives_the_same_plan():
    one, other = (draw(NegativesConfig(), 5)[1] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"shift_s": [0.08, 1.0]}, "noise"),
        ({"shift_s": [LEAST_SHIFT_S - 1e-3, 1.0]}, "noise"),
        ({"shift_s": [1.0, 0.5]}, "smallest and a largest"),
        ({"shift_s": [0.6, 1.0]}, "shift_from_s"),
        ({"partial_s": [0.05, 1.0]}, "0.1 or more"),
        ({"replace": 0, "swap": 0, "shift": 0, "partial": 0}, "cannot all be 0"),
        ({"hard_share": 0.2, "curriculum": {"hard_from": 0.3}}, "must not exceed"),
        ({"curriculum": {"shift_from_s": 2.0}}, "must lie within"),
    ],
)
def test_impossible_negatives_are_refused_with_the_reason(values, says):
    with pytest.raises(ValidationError, match=says):
        NegativesConfig.model_validate(values)
