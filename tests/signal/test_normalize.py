import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from vivavoce.signal.framing import length_mask
from vivavoce.signal.normalize import (
    GlobalStats,
    MinMaxNorm,
    MinMaxNormConfig,
    Norm,
    NormConfig,
    SlidingNorm,
    SlidingNormConfig,
    UtteranceNorm,
    UtteranceNormConfig,
)

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=5)
CHANNELS = 3
CONFIGS = [
    {"type": "none"},
    {"type": "utterance"},
    {"type": "utterance", "variance": True},
    {"type": "sliding", "window_s": 0.1},
    {"type": "sliding", "window_s": 0.11, "variance": True},
    {"type": "minmax"},
    {"type": "minmax", "outside": "pass"},
    {"type": "zscore"},
]


def build(config: dict) -> Norm:
    """A normalisation, fitted to noise where it takes fitting."""
    norm = TypeAdapter(NormConfig).validate_python(config).build(CHANNELS)
    if isinstance(norm, GlobalStats | MinMaxNorm):
        norm.update(5 + torch.randn(1, 100, CHANNELS, generator=torch.Generator().manual_seed(0)), torch.tensor([100]))
    return norm.eval()


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    config=st.sampled_from(CONFIGS),
    extra=st.integers(0, 20),
    fill=st.sampled_from([0.0, 1e6, float("nan")]),
)
def test_padding_and_batch_mates_never_matter(lengths: list[int], config: dict, extra: int, fill: float) -> None:
    norm = build(config)
    features = 5 + 2 * torch.randn(len(lengths), max(lengths) + extra, CHANNELS)
    mask = length_mask(torch.tensor(lengths), features.shape[1])
    out = norm(torch.where(mask[:, :, None], features, fill), mask)
    for item, n in enumerate(lengths):
        own = norm(features[item : item + 1, :n])
        torch.testing.assert_close(out[item : item + 1, :n], own, rtol=1e-5, atol=1e-5)
        full = torch.ones(1, n, dtype=torch.bool)
        torch.testing.assert_close(norm(features[item : item + 1, :n], full), own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_gradients_reach_every_frame(config: dict) -> None:
    features = torch.linspace(5, 6, 30 * CHANNELS).sin().reshape(1, 30, CHANNELS).requires_grad_()
    (build(config)(features) * torch.linspace(1, 2, 30).square()[None, :, None]).sum().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_an_utterance_has_mean_0_and_where_asked_spread_1() -> None:
    features = 40 + torch.tensor([0.5, 1, 10]) * torch.randn(2, 50, CHANNELS)
    mean_only = UtteranceNorm(UtteranceNormConfig())(features)
    torch.testing.assert_close(mean_only.mean(dim=1), torch.zeros(2, CHANNELS), rtol=0, atol=1e-4)
    torch.testing.assert_close(mean_only.std(dim=1), features.std(dim=1))
    both = UtteranceNorm(UtteranceNormConfig(variance=True))(features)
    torch.testing.assert_close(both.std(dim=1, correction=0), torch.ones(2, CHANNELS))


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 80), size=st.integers(3, 40), variance=st.booleans())
def test_a_sliding_window_is_kaldis(frames: int, size: int, variance: bool) -> None:
    features = (100 + np.random.default_rng(frames).normal(size=(frames, CHANNELS))).astype(np.float32)
    norm = SlidingNorm(SlidingNormConfig(window_s=size / 100, variance=variance))
    assert norm.size == size
    out = norm(torch.from_numpy(features)[None])[0].numpy()
    for t in range(frames):
        # SlidingWindowCmnInternal of Kaldi's feature-functions.cc with center=true.
        start = t - size // 2
        end = start + size
        if start < 0:
            start, end = 0, end - start
        if end > frames:
            start, end = max(0, start - (end - frames)), frames
        window = features[start:end].astype(float)
        expected = features[t] - window.mean(axis=0)
        if variance:
            expected = expected / np.maximum(window.std(axis=0), 1e-3)
        np.testing.assert_allclose(out[t], expected, atol=2e-5, rtol=1e-4)


def test_a_window_longer_than_the_utterance_is_the_utterance() -> None:
    features = torch.randn(2, 40, CHANNELS) + 7
    for variance in (False, True):
        whole = UtteranceNorm(UtteranceNormConfig(variance=variance))(features)
        slid = SlidingNorm(SlidingNormConfig(window_s=3.0, variance=variance))(features)
        torch.testing.assert_close(slid, whole, rtol=1e-4, atol=1e-5)


def test_a_sliding_window_keeps_its_digits_over_an_hour() -> None:
    features = 1e3 + torch.randn(1, 360_000, 1)
    out = SlidingNorm(SlidingNormConfig(window_s=1.0))(features)
    own = features[:, -101:].double()
    expected = own[:, 50] - own[:, :100].mean(dim=1)
    torch.testing.assert_close(out[:, -51].double(), expected, rtol=0, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(LENGTHS, min_size=1, max_size=4), seed=st.integers(0, 999))
def test_a_range_is_that_of_all_frames_at_once(batches: list[list[int]], seed: int) -> None:
    torch.manual_seed(seed)
    norm, frames = MinMaxNorm(MinMaxNormConfig(outside="pass"), CHANNELS), []
    for lengths in batches:
        features = 100 + torch.tensor([0.5, 1, 10]) * torch.randn(len(lengths), max(lengths) + 3, CHANNELS)
        norm.update(features, torch.tensor(lengths))
        frames.append(features[length_mask(torch.tensor(lengths), features.shape[1])])
    everything = torch.cat(frames)
    assert torch.equal(norm.low, everything.amin(dim=0))
    assert torch.equal(norm.high, everything.amax(dim=0))
    scaled = norm.eval()(everything[None])
    assert scaled.min() == 0
    assert norm.out_of_range == 0
    if len(everything) > 1:
        assert scaled.max() == 1


@pytest.mark.parametrize("outside", ["clip", "pass"])
def test_what_leaves_the_range_is_counted_and_clipped_or_passed_on(outside: str) -> None:
    norm = MinMaxNorm(MinMaxNormConfig.model_validate({"type": "minmax", "outside": outside}), 1)
    norm.update(torch.tensor([[[-1.0], [3.0]]]), torch.tensor([2]))
    new = torch.tensor([[[-1.0], [1.0], [3.0], [7.0]], [[-5.0], [0.0], [99.0], [99.0]]])
    mask = length_mask(torch.tensor([4, 2]), 4)
    norm.train()(new, mask)
    assert norm.out_of_range == 0  # training does not count
    out = norm.eval()(new, mask)[mask][:, 0].tolist()
    assert out == ([0, 0.5, 1, 1, 0, 0.25] if outside == "clip" else [0, 0.5, 1, 2, -1, 0.25])
    assert norm.out_of_range == pytest.approx(2 / 6)
    norm(new[:1, :3])
    assert norm.out_of_range == pytest.approx(2 / 9)
    norm.reset()
    assert norm.out_of_range == 0
    assert sorted(norm.state_dict()) == ["high", "low"]
    loaded = MinMaxNorm(norm.config, 1).eval()
    loaded.load_state_dict(norm.state_dict())
    assert torch.equal(loaded(new), norm(new))


def test_a_channel_without_a_range_is_not_blown_up() -> None:
    norm = MinMaxNorm(MinMaxNormConfig(outside="pass"), 1)
    norm.update(torch.full((1, 10, 1), 3.0), torch.tensor([10]))
    assert norm(torch.full((1, 10, 1), 3.0)).abs().max() == 0


@pytest.mark.parametrize(
    "config", [{"type": "sliding", "window_s": 0.0}, {"type": "minmax", "outside": "wrap"}, {"type": "cmvn"}], ids=str
)
def test_impossible_options_are_refused(config: dict) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(NormConfig).validate_python(config)


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(LENGTHS, min_size=1, max_size=4), seed=st.integers(0, 999))
def test_global_stats_equal_those_of_all_frames_at_once(batches: list[list[int]], seed: int) -> None:
    torch.manual_seed(seed)
    stats, frames = GlobalStats(4), []
    for lengths in batches:
        features = 100 + torch.tensor([0.5, 1, 10, 2]) * torch.randn(len(lengths), max(lengths) + 3, 4)
        stats.update(features, torch.tensor(lengths))
        frames.append(features[length_mask(torch.tensor(lengths), features.shape[1])])
    everything = torch.cat(frames).double()
    torch.testing.assert_close(stats.mean, everything.mean(dim=0).float())
    torch.testing.assert_close(stats.std, everything.std(dim=0, correction=0).clamp(min=1e-3).float())


def test_global_stats_are_saved_with_the_weights_and_normalise() -> None:
    stats = GlobalStats(2)
    features = torch.randn(3, 50, 2) * 4 - 7
    lengths = torch.tensor([50, 20, 0])
    torch.testing.assert_close(stats(features), features)  # not fitted: unchanged
    stats.update(features, lengths)
    loaded = GlobalStats(2)
    loaded.load_state_dict(stats.state_dict())
    out = loaded(features)
    assert sorted(stats.state_dict()) == ["mean", "std"]
    used = out[length_mask(lengths, 50)]
    torch.testing.assert_close(used.mean(dim=0), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(used.std(dim=0, correction=0), torch.ones(2))


def test_a_constant_channel_is_not_blown_up() -> None:
    stats = GlobalStats(1)
    stats.update(torch.full((1, 10, 1), 3.0), torch.tensor([10]))
    assert stats(torch.full((1, 10, 1), 3.0)).abs().max() < 1e-3
