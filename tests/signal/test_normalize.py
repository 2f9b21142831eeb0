import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.signal.framing import length_mask
from vivavoce.signal.normalize import GlobalStats

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=5)


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
