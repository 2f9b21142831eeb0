"""What the sync score promises: tolerance for ±40 ms, none for more, and a gate that can only veto."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vivavoce.models.heads.sync import SyncHead, SyncHeadConfig
from vivavoce.models.layers.gate import LevelGate, moving_sum, veto
from vivavoce.models.layers.stream import odd_window
from vivavoce.models.layers.sync import SyncScore

CHANNELS = 8
LOGITS = st.floats(-30, 30, width=32)


def score_of(shift: int, frames: int = 150, noise: float = 0.0) -> torch.Tensor:
    """Sync evidence ``(2,)`` of a smooth stream with itself ``shift`` frames later, both embedded as they are."""
    generator = torch.Generator().manual_seed(3)
    stream = functional.avg_pool1d(torch.randn(1, CHANNELS, frames + 250, generator=generator), 5, stride=1)
    score = SyncScore(CHANNELS, CHANNELS, window=31)
    with torch.no_grad():
        for layer in (score.voice, score.echo):
            layer.weight.copy_(torch.eye(CHANNELS)[:, :, None])
        voice, echo = stream[..., 100 : 100 + frames], stream[..., 100 + shift : 100 + shift + frames]
        echo = echo + noise * torch.randn(echo.shape, generator=generator)
        return score(voice, echo, torch.ones(1, 1, frames)).utterance[0]


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_forty_milliseconds_do_no_harm(shift):
    aligned, off = score_of(0), score_of(shift)
    assert (aligned - off).abs().max() < 0.35 * aligned[0]


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_score_falls_with_the_shift_until_it_speaks_against(sign):
    scores = [score_of(sign * shift, noise=0.3)[0] for shift in (0, 4, 5, 10)]
    assert scores[0] > scores[1] > scores[2]
    assert scores[0] > 2 > 0 > scores[2]
    assert scores[3] < -2
    # Further away than any lag that is looked at, no lag agrees: neither for nor against.
    assert abs(score_of(sign * 80)[0]) < 1.5


def test_evidence_grows_with_the_length():
    assert score_of(0, frames=300, noise=1.0)[0] > 1.2 * score_of(0, frames=100, noise=1.0)[0]


@settings(deadline=None)
@given(LOGITS, LOGITS)
def test_a_veto_is_the_product_of_two_probabilities_and_never_vouches(logit, gate):
    both = veto(torch.tensor(logit, dtype=torch.double), torch.tensor(gate, dtype=torch.double))
    assert both <= min(logit, gate) + 1e-9
    product = torch.tensor([logit, gate], dtype=torch.double).sigmoid().prod()
    torch.testing.assert_close(both.sigmoid(), product, atol=1e-12, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.sampled_from([1, 3, 9, 31]))
def test_a_moving_sum_is_the_sum_over_its_window(frames, window):
    x = torch.randn(2, 3, frames, dtype=torch.double)
    expected = [x[..., max(0, t - window // 2) : t + window // 2 + 1].sum(dim=-1) for t in range(frames)]
    torch.testing.assert_close(moving_sum(x, window), torch.stack(expected, dim=-1))


def test_the_gate_reads_the_level_that_centring_takes_away():
    torch.manual_seed(0)
    gate = LevelGate(CHANNELS, 9)
    echo = torch.randn(1, CHANNELS, 60)
    utterance, frames = gate(echo)
    louder = gate(echo + 2.0)
    assert not torch.allclose(utterance, louder[0])
    assert not torch.allclose(frames, louder[1])
    assert utterance.sigmoid() > 0.9  # open until it learns otherwise
    # A window that is cut short at an end holds the mean of what there is.
    steady = gate(torch.ones(1, CHANNELS, 60))
    torch.testing.assert_close(steady[1], steady[0][:, None].expand(-1, 60))


def test_a_closed_gate_overrules_a_perfect_match():
    torch.manual_seed(0)
    head = SyncHead(SyncHeadConfig(channels=CHANNELS), CHANNELS, CHANNELS).eval()
    voice = torch.randn(1, CHANNELS, 100)
    before = head.compare(voice, voice)
    with torch.no_grad():
        head.gate.judge.bias.fill_(-8.0)
    after = head.compare(voice, voice)
    assert before.utterance > after.utterance
    assert after.utterance < -6
    assert after.frames.max() < -6


def test_windows_are_odd_numbers_of_frames():
    assert odd_window(0.6) == 31
    assert [odd_window(seconds) % 2 for seconds in (0.1, 0.25, 1.0)] == [1, 1, 1]
