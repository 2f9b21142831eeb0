"""A feature that gives the kind away is named, with its direction; chance is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from vivavoce.audit.confounds import LEAST_AUC, LEAST_ROWS, auc_interval, find_confounds

KINDS = np.array(["live", "replay_stand", "tts"])
ROWS = 400


def corpus(seed: int, rows: int = ROWS, groups: int = 20) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """A generator, kinds and speakers."""
    rng = np.random.default_rng(seed)
    return rng, KINDS[rng.integers(0, 3, rows)], np.array([f"s{n}" for n in rng.integers(0, groups, rows)])


def harmless(rng: np.random.Generator, speakers: np.ndarray) -> dict[str, np.ndarray]:
    """Columns that vary with the speaker and by chance, not with the kind."""
    names, numbers = np.unique(speakers, return_inverse=True)
    phones = np.array(["a", "b", None], object)[rng.integers(0, 3, len(names))]
    return {
        "level": rng.normal(-30, 5, len(names))[numbers] + rng.normal(0, 2, len(speakers)),
        "duration": rng.gamma(4, 1, len(speakers)),
        "device": phones[numbers],
        "noise floor": np.where(rng.random(len(speakers)) < 0.3, np.nan, rng.normal(-70, 5, len(speakers))),
        "rate": np.full(len(speakers), 48_000),
    }


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([-6.0, 6.0]))
def test_a_level_that_goes_with_one_attack_is_named_with_its_direction(seed: int, shift: float) -> None:
    rng, kinds, speakers = corpus(seed)
    columns = harmless(rng, speakers)
    columns["level"] = rng.normal(-30, 3, ROWS) + shift * (kinds == "tts")
    (found,) = find_confounds(columns, kinds, speakers)
    assert (found.feature, found.kind, found.kinds) == ("level", "tts", ("tts",))
    assert LEAST_AUC < found.low < found.auc < found.high <= 1
    assert ("higher" if shift > 0 else "lower") in found.direction
    assert "level" in found.what
    assert "tts" in found.what


def test_a_device_is_named_with_its_share() -> None:
    rng, kinds, speakers = corpus(1)
    columns = harmless(rng, speakers)
    columns["device"] = np.where((kinds == "live") | (rng.random(ROWS) < 0.2), "phone", "recorder").astype(object)
    (found,) = find_confounds(columns, kinds, speakers)
    assert found.feature == "device"
    assert found.kinds == ("replay_stand", "tts")
    assert found.auc == pytest.approx(0.9, abs=0.04)
    assert "`recorder`" in found.direction or "`phone`" in found.direction


def test_a_band_of_values_and_a_missing_value_tell_kinds_apart_as_well() -> None:
    rng, kinds, speakers = corpus(2)
    live = kinds == "live"
    columns = {
        "duration": np.where(live, rng.normal(3, 0.1, ROWS), rng.uniform(1, 5, ROWS)),
        "noise floor": np.where(live | (rng.random(ROWS) < 0.1), rng.normal(size=ROWS), np.nan),
    }
    found = {confound.feature: confound for confound in find_confounds(columns, kinds, speakers)}
    assert set(found) == set(columns)
    assert "otherwise" in found["duration"].direction
    assert "missing" in found["noise floor"].direction


def test_a_speaker_s_own_value_is_not_taken_for_a_confound() -> None:
    """Each speaker has one kind and one device of their own: nothing of it holds for another speaker."""
    rng = np.random.default_rng(3)
    speakers = np.repeat(np.arange(30), 20)
    kinds = KINDS[rng.integers(0, 3, 30)][speakers]
    columns = {"device": np.array([f"phone of {n}" for n in speakers]), "level": rng.normal(0, 5, 30)[speakers]}
    assert not find_confounds(columns, kinds, speakers)


def test_chance_is_hardly_ever_named() -> None:
    alarms = 0
    for seed in range(24):
        rng, kinds, speakers = corpus(seed, rows=150 + 12 * seed, groups=5 + seed)
        if seed % 2:  # a speaker has one kind only
            kinds = KINDS[rng.integers(0, 3, 30)][np.unique(speakers, return_inverse=True)[1]]
        alarms += bool(find_confounds(harmless(rng, speakers), kinds, speakers))
    assert alarms <= 1


def test_the_same_table_gives_the_same_answer_in_any_order() -> None:
    rng, kinds, speakers = corpus(4)
    columns = harmless(rng, speakers) | {"level": rng.normal(size=ROWS) + 2.0 * (kinds == "tts")}
    first = find_confounds(columns, kinds, speakers)
    assert first == find_confounds(columns, kinds, speakers)
    order = rng.permutation(ROWS)
    again = find_confounds({name: column[order] for name, column in columns.items()}, kinds[order], speakers[order])
    assert [one.feature for one in again] == ["level"]
    assert again[0].auc == pytest.approx(first[0].auc, abs=0.03)


def test_large_tables_are_sampled_and_give_what_the_whole_would() -> None:
    rng, kinds, speakers = corpus(5, rows=60_000, groups=200)
    level = rng.normal(size=60_000) + 1.0 * (kinds == "tts")
    (found,) = find_confounds({"level": level}, kinds, speakers)
    assert found.low < 0.7602 < found.high  # Φ(1/√2), two normals a standard deviation apart


@pytest.mark.parametrize(
    "kinds",
    [
        np.array(["live"] * 100),
        np.array(["tts"] * 100),
        np.array(["live"] * (101 - LEAST_ROWS) + ["tts"] * (LEAST_ROWS - 1)),
        np.array([], str),
    ],
    ids=["live alone", "attacks alone", "few attacks", "nothing"],
)
def test_too_little_to_say_anything_says_nothing(kinds: np.ndarray) -> None:
    level = np.where(kinds == "live", 0.0, 1.0)
    assert not find_confounds({"level": level}, kinds, np.arange(len(kinds)) % 10)


def test_few_speakers_say_nothing_about_others() -> None:
    kinds = np.repeat(["live", "tts"], 60)
    assert not find_confounds({"level": (kinds == "tts").astype(float)}, kinds, np.arange(120) % 3)


def test_infinite_and_constant_columns_are_no_obstacle() -> None:
    _, kinds, speakers = corpus(6)
    columns = {
        "constant": np.ones(ROWS),
        "missing": np.full(ROWS, np.nan),
        "infinite": np.where(kinds == "live", -np.inf, 0.0),
        "none": np.full(ROWS, None, object),
    }
    assert [found.feature for found in find_confounds(columns, kinds, speakers)] == ["infinite"]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ties=st.booleans())
def test_the_area_is_that_of_scikit_learn(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(80) < rng.uniform(0.2, 0.8)
    positive[:2] = True, False
    scores = rng.normal(size=80) + positive
    if ties:
        scores = scores.round()
    auc, low, high = auc_interval(scores, positive, np.arange(80), 0.975)
    assert auc == pytest.approx(roc_auc_score(positive, scores))
    assert 0 <= low <= auc <= high <= 1


def test_the_interval_covers_the_truth_and_widens_with_groups() -> None:
    """Speakers differ in their scores: the interval over speakers covers the true area, that over rows does not."""
    covered = narrow = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), 10)
        positive = rng.random(400) < 0.5
        own = rng.normal(0, 1, 40)[groups]
        positive = np.where(own > 0, rng.random(400) < 0.6, positive)
        scores = rng.normal(size=400) + rng.normal(0, 2, 40)[groups]  # says nothing about the class
        _, low, high = auc_interval(scores, positive, groups, 0.975)
        _, thin_low, thin_high = auc_interval(scores, positive, np.arange(400), 0.975)
        covered += low <= 0.5 <= high
        narrow += thin_high - thin_low < high - low
    assert covered >= 90
    assert narrow > 50
