import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.corpus.sampling.conftest import make
from vivavoce.corpus.sampling import BatchSpec, Items, WeightedConfig, WeightedSampler
from vivavoce.errors import UserError

WEIGHTS = np.array([0.0, 0.5, 1.0, 1.0, 2.0, 4.0, 8.0])


def items_with(**columns):
    size = len(next(iter(columns.values())))
    return Items(np.arange(size), np.array(["live"] * size), np.ones(size), columns)


def inclusion(draws):
    """How many of the draws (draws, num_samples) hold each item, and how often each item is in them at all."""
    held = np.stack([(draws == item).any(axis=1).mean() for item in range(len(WEIGHTS))])
    return held, np.bincount(draws.ravel(), minlength=len(WEIGHTS)) / len(draws)


@pytest.mark.parametrize("num_samples", [1, 3, 6])
@pytest.mark.parametrize("replacement", [True, False])
def test_items_are_drawn_as_often_as_by_torch(replacement, num_samples):
    count = 20_000
    sampler = WeightedSampler(WEIGHTS, num_samples, replacement, BatchSpec(1, 0))
    ours = inclusion(np.stack([sampler.order(epoch) for epoch in range(count)]))
    generator = torch.Generator().manual_seed(1)
    weights = torch.from_numpy(WEIGHTS)[None].expand(count, -1)
    theirs = inclusion(torch.multinomial(weights, num_samples, replacement, generator=generator).numpy())
    for mine, torchs in zip(ours, theirs, strict=True):
        deviation = np.sqrt(2 * np.maximum(torchs, 1 / count) * num_samples / count)
        assert (np.abs(mine - torchs) <= 5 * deviation).all()
        assert mine[0] == 0
    if not replacement:
        assert np.array_equal(ours[0], ours[1]), "nothing is drawn twice"


def test_the_first_draw_without_replacement_follows_the_weights():
    sampler = WeightedSampler(WEIGHTS, 6, False, BatchSpec(1, 0))
    first = np.bincount([sampler.order(epoch)[0] for epoch in range(20_000)], minlength=7) / 20_000
    expected = WEIGHTS / WEIGHTS.sum()
    assert (np.abs(first - expected) <= 5 * np.sqrt(expected / 20_000)).all()


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("scale", [1e-300, 1e308])
def test_only_the_ratios_of_weights_count(scale, replacement):
    plain, scaled = (
        WeightedSampler(weights, 4, replacement, BatchSpec(1, 0)).order(0)
        for weights in (np.array([1.0, 0.5, 1.0, 1.0]), scale * np.array([1.0, 0.5, 1.0, 1.0]))
    )
    assert np.array_equal(plain, scaled)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_inverse_frequency_gives_each_value_alike(values):
    weights = WeightedConfig(column="x").item_weights(items_with(x=np.array(values)))
    sums = {value: weights[np.array(values) == value].sum() for value in set(values)}
    assert list(sums.values()) == pytest.approx([1.0] * len(sums))


@pytest.mark.parametrize("column", ["kind", "speaker", "device"])
def test_a_stratified_epoch_holds_each_value_alike_often(column, items):
    sampler = make({"type": "weighted", "column": column, "num_samples": 20_000}, items, 1)
    drawn = items.column(column)[sampler.order(0)]
    shares = np.unique(drawn, return_counts=True)[1] / 20_000
    expected = 1 / len(np.unique(items.column(column)))
    assert np.abs(shares - expected).max() < 5 * np.sqrt(expected / 20_000)


def test_given_weights(items):
    by_value = WeightedConfig(column="device", weights={"a": 3.0, "b": 0.5}).item_weights(items)
    assert np.array_equal(by_value, np.where(items.columns["device"] == "a", 3.0, 0.5))
    as_given = WeightedConfig(column="weight", weights="as_given").item_weights(items)
    assert np.array_equal(as_given, items.columns["weight"])


def test_as_many_as_asked(items):
    assert len(make({"type": "weighted", "num_samples": 250}, items, 10)) == 25
    assert len(make({"type": "weighted"}, items, 10)) == 9
    assert len(make({"type": "weighted", "num_samples": 13, "drop_last": False}, items, 10)) == 2


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0.0, 0.0], "sum to zero"),
        ([1.0, -0.5], r"1 of 2 .* negative .*-0.5 of recording 1"),
        ([float("nan"), 1.0], "not numbers"),
        ([1.0, float("inf")], "not numbers"),
        ([1.0, None], "not numbers"),
        (["much", 1.0], "not all of it are numbers"),
    ],
)
def test_weights_that_are_none_are_refused(numbers, message):
    items = items_with(x=np.array(numbers, object))
    with pytest.raises(UserError, match=message):
        make({"type": "weighted", "column": "x", "weights": "as_given"}, items, 1)


def test_zero_weights_by_value_are_refused_where_none_is_left(items):
    with pytest.raises(UserError, match="sum to zero"):
        make({"type": "weighted", "column": "device", "weights": {"a": 0, "b": 0}}, items, 1)


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}])
def test_each_value_has_a_weight_and_each_weight_a_value(weights, items):
    with pytest.raises(UserError, match=r"[bc] is amiss"):
        make({"type": "weighted", "column": "device", "weights": weights}, items, 1)


def test_no_more_without_replacement_than_have_a_weight():
    items = items_with(x=np.array([1.0, 2.0, 0.0]))
    options = {"type": "weighted", "column": "x", "weights": "as_given", "replacement": False}
    with pytest.raises(UserError, match=r"3 recordings .* only 2 have a weight"):
        make(options, items, 1)
    assert sorted(np.concatenate(list(make(options | {"num_samples": 2}, items, 1)))) == [0, 1]
