import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from vivavoce.corpus.groups import group_rows
from vivavoce.corpus.policy import Grouping, Policy, choose_cut
from vivavoce.corpus.split import cut_rows
from vivavoce.corpus.stratify import Balancer, Strata, Uncovered, count_strata, deal, largest_remainder

from .made import corpus


def balancer(counts, start, fractions, needs=None, sizes=None) -> Balancer:
    counts = np.asarray(counts, dtype=float)
    strata = Strata([("all", "")] + [("kind", str(n)) for n in range(counts.shape[1] - 1)], counts)
    groups = len(counts)
    sizes = np.ones(groups) if sizes is None else np.asarray(sizes)
    return Balancer(strata, np.asarray(start), fractions, sizes, needs or [[]] * groups, np.random.default_rng(0))


def miss(one: Balancer, counts) -> float:
    """The weighted squared deviation of the shares, counted anew."""
    counts = np.asarray(counts, dtype=float)
    held = np.stack([counts[one.part == part].sum(axis=0) for part in range(one.parts)]) / counts.sum(axis=0)
    off = (held - one.fractions[:, None]) ** 2 / one.fractions[:, None]
    return float((off * one.weights).sum())


@settings(max_examples=30)
@given(st.data())
def test_exchanges_only_ever_improve_and_the_books_are_right(data):
    groups = data.draw(st.integers(6, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    counts = np.concatenate([np.ones((groups, 1)), rng.integers(0, 4, (groups, 3))], axis=1)
    counts[0] = 1  # no stratum is empty
    fractions = (0.6, 0.2, 0.2)
    needs = [["even"] if number % 2 else [] for number in range(groups)]
    one = balancer(counts, deal(rng.permutation(groups).tolist(), fractions), fractions, needs)
    before, sizes = miss(one, counts), np.bincount(one.part, minlength=3)
    had = [{need for group in np.flatnonzero(one.part == part) for need in needs[group]} for part in range(3)]
    one.run()
    assert miss(one, counts) <= before + 1e-9 or not all(had)
    np.testing.assert_allclose(
        one.miss, Strata([("all", "")] * 4, counts).shares(one.part, 3) - np.array(fractions)[:, None], atol=1e-9
    )
    if all(had):
        wanted = np.array(fractions) * groups
        limit = np.maximum(np.abs(sizes - wanted), 1)
        assert (np.abs(np.bincount(one.part, minlength=3) - wanted) <= limit + 1e-6).all()
    for part in range(3):
        assert {need for group in np.flatnonzero(one.part == part) for need in needs[group]} == {"even"}


def test_a_split_that_can_be_even_becomes_even():
    # One of each kind in every part is possible; the start has them all apart.
    counts = [[1, 1, 0, 0]] * 3 + [[1, 0, 1, 0]] * 3 + [[1, 0, 0, 1]] * 3
    one = balancer(counts, [0, 0, 0, 1, 1, 1, 2, 2, 2], (1 / 3,) * 3)
    one.run()
    for part in range(3):
        assert np.asarray(counts)[one.part == part].sum(axis=0).tolist() == [3, 1, 1, 1]


def test_needs_are_covered_where_they_can_be():
    counts = [[1]] * 6
    needs = [["a", "b"], ["a"], ["b"], ["a"], ["b"], []]
    part = balancer(counts, [0, 0, 0, 1, 1, 2], (1 / 3,) * 3, needs).run()
    for index in range(3):
        assert {need for group in np.flatnonzero(part == index) for need in needs[group]} == {"a", "b"}
    with pytest.raises(Uncovered) as caught:
        balancer(counts, [0, 0, 1, 1, 2, 2], (1 / 3,) * 3, [["a"], ["a"], [], [], [], []]).run()
    assert (caught.value.part, caught.value.need) == (1, "a") or caught.value.part == 2


def test_unknown_values_count_in_no_stratum_and_one_value_alone_says_nothing():
    groups = np.array([0, 0, 1, 2])
    strata = count_strata(groups, {"sex": ["F", None, "M", "F"], "kind": ["live"] * 4, "device": [None] * 4})
    assert strata.names == [("all", ""), ("sex", "F"), ("sex", "M")]
    assert strata.counts.tolist() == [[2, 1, 0], [1, 0, 1], [1, 1, 0]]
    assert strata.weights.tolist() == [1, 0.5, 0.5]


@given(st.integers(3, 500), st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_largest_remainder_is_whole_and_near(total, parts):
    fractions = [part / sum(parts) for part in parts]
    counts = largest_remainder(total, fractions)
    assert sum(counts) == total
    assert min(counts) >= 1
    for count, fraction in zip(counts, fractions, strict=True):
        assert abs(count - fraction * total) < 3


@pytest.mark.parametrize("by", Grouping)
@pytest.mark.parametrize(("speakers", "bound"), [(40, 0.2), (200, 0.012)])
def test_every_stratum_is_nearer_to_its_share_than_its_largest_group_is_large(speakers, bound, by):
    rows = corpus(speakers, seed=3)
    families = {name: [getattr(row.meta, name) for row in rows] for name in ("kind", "sex", "device")}
    strata = count_strata(group_rows(rows, by), families)
    largest = (strata.counts / strata.counts.sum(axis=0)).max(axis=0)
    for cut in (choose_cut(Policy.AUTO, len(rows)), choose_cut(Policy.KFOLD, len(rows), folds=5)):
        parts = cut_rows(rows, cut, by)
        assert parts.strata == strata.names
        miss = np.abs(parts.shares - np.array(cut.fractions)[:, None])
        assert (miss < largest).all(), parts.worst()
        assert miss.max() < bound, parts.worst()


def test_more_even_than_scikit_learns_stratified_group_folds():
    """Its folds know one label, so it gets all of them as one; ours are nearer on every corpus, by a factor of two."""
    for seed in range(2):
        rows = corpus(100, seed)
        groups = group_rows(rows)
        label = [f"{row.meta.kind}|{row.meta.sex}|{row.meta.device}" for row in rows]
        part = np.zeros(groups.max() + 1, dtype=int)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # labels rarer than folds
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(label, label, groups)
            for number, (_, test) in enumerate(folds):
                part[groups[test]] = number
        families = {name: [getattr(row.meta, name) for row in rows] for name in ("kind", "sex", "device")}
        theirs = np.abs(count_strata(groups, families).shares(part, 5) - 0.2)
        ours = np.abs(cut_rows(rows, choose_cut(Policy.KFOLD, len(rows)), seed=seed).shares - 0.2)
        assert ours.mean() < theirs.mean() / 2
        assert ours.max() < theirs.max()
