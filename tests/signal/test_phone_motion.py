"""A phone that moves before things at rest: what they send is taken out, what moves by itself stays."""

import numpy as np
import pytest
import torch

from vivavoce.signal.iq import IQ_RATE_HZ
from vivavoce.signal.phone_motion import followed, static_paths_removed, wave_number

TONES = torch.tensor([[18_100.0, 18_400, 18_700, 19_000, 19_300, 19_600, 19_750, 19_950]])
FRAMES = 900


def sway(seed: int = 0, frames: int = FRAMES) -> torch.Tensor:
    """Slow motion on three axes, 1 mm RMS in 0.3–2 Hz, ``(1, frames, 3)``."""
    rng = np.random.default_rng(seed)
    hertz = np.fft.rfftfreq(frames * 4, 1 / IQ_RATE_HZ)
    spectrum = rng.standard_normal((len(hertz), 3, 2)) @ [1, 1j] * ((hertz > 0.3) & (hertz < 2))[:, None]
    way = np.fft.irfft(spectrum, axis=0)[:frames]
    return torch.from_numpy(way / way.std() * 1e-3)[None]


def echoes(way: torch.Tensor, directions, amplitudes) -> torch.Tensor:
    """Relative I/Q of a direct path and of reflectors at rest, ``(1, tones, 2, frames)``."""
    path = way @ torch.tensor(directions, dtype=torch.float64).T
    turn = torch.polar(torch.ones(1, 8, *path.shape[1:]).double(), path[:, None] * wave_number(TONES)[:, :, None, None])
    signal = 1 + (turn * torch.tensor(amplitudes, dtype=torch.float64)).sum(dim=3)
    return torch.stack([signal.real, signal.imag], dim=2)


def power_db(iq: torch.Tensor) -> float:
    return float(10 * torch.log10((iq - iq.mean(dim=3, keepdim=True)).square().sum(dim=2).mean()))


INSIDE = torch.ones(1, FRAMES, dtype=torch.bool)


def test_known_motion_takes_out_all_that_stands_still():
    way = sway()
    iq = echoes(way, [[1.0, 0, 0], [0.8, 0.6, 0], [0, 0, 1.0]], [0.08, 0.05, 0.03])
    left = static_paths_removed(iq, INSIDE, TONES, way)
    assert power_db(iq) > -25
    assert power_db(left) < power_db(iq) - 15


def test_what_moves_by_itself_stays():
    way, mouth = sway(1), torch.sin(2 * torch.pi * 5 * torch.arange(FRAMES).double() / IQ_RATE_HZ) * 2e-3
    still = echoes(way, [[1.0, 0, 0]], [0.08])
    moving = echoes(torch.stack([mouth, 0 * mouth, 0 * mouth], dim=1)[None], [[1.0, 0, 0]], [0.05]) - 1
    left = static_paths_removed(still + moving, INSIDE, TONES, way)
    assert power_db(left - moving) < power_db(moving) - 6
    assert power_db(still) > power_db(moving)


def test_the_echo_itself_shows_the_phone():
    way = sway(2)
    iq = echoes(way, [[1.0, 0, 0]], [0.1])
    found = followed(iq, INSIDE, TONES)[0, :, 0].numpy()
    assert np.corrcoef(found[30:-30], way[0, 30:-30, 0].numpy())[0, 1] > 0.98
    assert found.std() == pytest.approx(way[0, :, 0].numpy().std(), rel=0.15)
    assert power_db(static_paths_removed(iq, INSIDE, TONES, followed(iq, INSIDE, TONES))) < power_db(iq) - 10


def test_a_still_phone_leaves_the_mouth_alone():
    mouth = torch.sin(2 * torch.pi * 6 * torch.arange(FRAMES).double() / IQ_RATE_HZ) * 2e-3
    iq = echoes(torch.stack([mouth, 0 * mouth, 0 * mouth], dim=1)[None], [[1.0, 0, 0]], [0.05])
    for way in (torch.zeros(1, FRAMES, 3), followed(iq, INSIDE, TONES)):
        left = static_paths_removed(iq, INSIDE, TONES, way)
        assert power_db(left) == pytest.approx(power_db(iq), abs=1.0)


@pytest.mark.parametrize("blind", [True, False])
def test_batch_mates_and_padding_do_not_matter(blind):
    ways = [sway(3), sway(4, 600)]
    alone = [echoes(way, [[1.0, 0, 0], [0, 1.0, 0]], [0.08, 0.03]) for way in ways]
    padded = torch.zeros(2, 8, 2, FRAMES).double()
    inside = torch.zeros(2, FRAMES, dtype=torch.bool)
    motion = torch.randn(2, FRAMES, 3).double()  # behind an item's end there may be anything
    for slot, (iq, way) in enumerate(zip(alone, ways, strict=True)):
        padded[slot, ..., : iq.shape[3]], inside[slot, : iq.shape[3]] = iq[0], True
        motion[slot, : iq.shape[3]] = way[0]
    tones = TONES.expand(2, -1)
    together = static_paths_removed(padded, inside, tones, followed(padded, inside, tones) if blind else motion)
    for slot, (iq, way) in enumerate(zip(alone, ways, strict=True)):
        whole = torch.ones(1, iq.shape[3], dtype=torch.bool)
        single = static_paths_removed(iq, whole, TONES, followed(iq, whole, TONES) if blind else way)
        torch.testing.assert_close(together[slot, ..., : iq.shape[3]], single[0], atol=1e-9, rtol=1e-7)
        assert not together[slot, ..., iq.shape[3] :].any()


def test_unused_tones_stay_silent():
    way = sway(5)
    iq = echoes(way, [[1.0, 0, 0]], [0.08])
    tones = TONES.clone()
    tones[0, 3] = float("nan")
    iq[:, 3] = 0
    left = static_paths_removed(iq, INSIDE, tones, followed(iq, INSIDE, tones))
    assert torch.isfinite(left).all()
    assert not left[:, 3].any()
