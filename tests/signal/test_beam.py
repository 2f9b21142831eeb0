"""Tones added up in phase: an echo keeps its level, noise falls, and nobody needs to know the distance."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.signal import beam
from vivavoce.signal.iq import IQ_RATE_HZ

C = 343.0
FRAMES = 3 * IQ_RATE_HZ
LEVEL = 0.05


def echoes(tones_hz: torch.Tensor, distance_m: float = 0.1, seed: int = 0) -> torch.Tensor:
    """A reflector that moves as lips do, seen on each tone: ``(1, tones, 2, frames)`` without its mean."""
    time_s = torch.arange(FRAMES, dtype=torch.float64) / IQ_RATE_HZ
    phases = 2 * math.pi * torch.rand(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    speeds = torch.tensor([2.0, 4.0, 6.0], dtype=torch.float64)
    way = 0.002 * torch.sin(2 * math.pi * speeds[:, None] * time_s + phases[:, None]).sum(dim=0)
    turns = torch.polar(
        torch.full((len(tones_hz), FRAMES), LEVEL, dtype=torch.float64),
        -4 * math.pi / C * tones_hz.double()[:, None] * (distance_m + way),
    )
    moving = turns - turns.mean(dim=1, keepdim=True)
    return torch.stack([moving.real, moving.imag], dim=1)[None].float()


def noise(tones: int, seed: int = 0) -> torch.Tensor:
    return 0.5 * LEVEL * torch.randn(1, tones, 2, FRAMES, generator=torch.Generator().manual_seed(seed))


def combined(iq: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    return beam.combined(iq, torch.ones(len(iq), iq.shape[3], dtype=torch.bool), shares)


def power_db(iq: torch.Tensor) -> float:
    return 10 * math.log10(float(iq.square().sum(dim=2).mean()))


def alike(tones: int) -> torch.Tensor:
    return torch.full((1, tones), 1 / tones)


@given(
    distance_m=st.floats(0.04, 0.4),
    seed=st.integers(0, 99),
    tones=st.lists(st.floats(18e3, 20e3), min_size=2, max_size=10),
)
def test_an_echo_keeps_the_level_it_has_on_a_tone(distance_m: float, seed: int, tones: list[float]) -> None:
    seen = echoes(torch.tensor(tones), distance_m, seed)
    # Some hundredths are lost, since a way of millimetres is not the same part of each tone's wave.
    assert power_db(combined(seen, alike(len(tones)))) == pytest.approx(power_db(seen), abs=0.4)


@pytest.mark.parametrize("tones", [2, 4, 8])
def test_noise_falls_by_the_number_of_tones(tones: int) -> None:
    hertz = torch.linspace(18_000, 20_000, tones)
    clean, rough = echoes(hertz), noise(tones)
    left = combined(clean + rough, alike(tones)) - combined(clean, alike(tones))
    # The weights of both may differ by a phase, so that power is compared and not the difference.
    gained = power_db(rough) - 10 * math.log10(
        max(1e-12, 10 ** (power_db(combined(clean + rough, alike(tones))) / 10) - 10 ** (power_db(clean) / 10))
    )
    assert left.shape == (1, 1, 2, FRAMES)
    assert gained == pytest.approx(10 * math.log10(tones), abs=1.0)


@given(seed=st.integers(0, 99))
def test_no_phase_of_the_phones_response_matters(seed: int) -> None:
    hertz = torch.linspace(18_000, 20_000, 6)
    clean = echoes(hertz)
    angle = 2 * math.pi * torch.rand(1, 6, 1, generator=torch.Generator().manual_seed(seed))
    cos, sin = torch.cos(angle), torch.sin(angle)
    turned = torch.stack(
        [cos * clean[:, :, 0] - sin * clean[:, :, 1], sin * clean[:, :, 0] + cos * clean[:, :, 1]], dim=2
    )
    torch.testing.assert_close(
        combined(turned, alike(6)).square().sum(dim=2),
        combined(clean, alike(6)).square().sum(dim=2),
        atol=1e-6,
        rtol=1e-3,
    )


def test_a_tone_that_is_not_used_or_only_noise_counts_for_nothing() -> None:
    clean = echoes(torch.linspace(18_000, 20_000, 4))
    shares = torch.tensor([[0.25, 0.25, 0.25, 0.25, 0.0]])
    wider = torch.cat([clean, 100 * noise(1)], dim=1)
    found, expected = (combined(*pair).square().sum(dim=2) for pair in ((wider, shares), (clean, alike(4))))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_batch_mates_and_padding_do_not_change_a_recording() -> None:
    first, second = echoes(torch.linspace(18_000, 20_000, 4)), echoes(torch.linspace(18_100, 19_000, 4), seed=3)
    padded = torch.nn.functional.pad(torch.cat([first, second]), (0, 90))
    inside = torch.arange(padded.shape[3])[None].expand(2, -1) < FRAMES
    together = beam.combined(padded, inside, alike(4).expand(2, -1))
    for slot, own in enumerate((first, second)):
        torch.testing.assert_close(
            together[slot : slot + 1, ..., :FRAMES], combined(own, alike(4)), atol=1e-7, rtol=1e-5
        )


def test_without_motion_or_without_tones_nothing_is_made_up() -> None:
    still = torch.zeros(2, 4, 2, FRAMES)
    shares = torch.stack([torch.full((4,), 0.25), torch.zeros(4)])
    assert not combined(still, shares).any()
