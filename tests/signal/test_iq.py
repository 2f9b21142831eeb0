import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vivavoce.signal.iq import (
    IQ_RATE_HZ,
    Demodulator,
    drift_removed,
    gain_removed,
    high_passed,
    resampled,
    used_tones,
)

RATES = [44_100, 48_000]


def turning(hz: float | Tensor, positions: Tensor | int) -> Tensor:
    """``e^{j2πft}`` at 300 a second, complex128, at whole or broken positions; ``(..., positions)``."""
    at = torch.arange(positions) if isinstance(positions, int) else positions
    angle = 2 * torch.pi * torch.as_tensor(hz, dtype=torch.float64)[..., None] * at.double() / IQ_RATE_HZ
    return torch.polar(torch.ones_like(angle), angle)


def real_pair(signal: Tensor) -> Tensor:
    """Complex ``(tones, frames)`` as a batch of one I/Q ``(1, tones, 2, frames)``."""
    return torch.stack([signal.real, signal.imag], dim=1)[None]


def complex_of(iq: Tensor) -> Tensor:
    return torch.complex(iq[:, :, 0], iq[:, :, 1])


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Complex noise of power 1."""
    return torch.view_as_complex(torch.tensor(np.random.default_rng(seed).normal(0, 0.5**0.5, (*shape, 2))))


def everywhere(frames: int) -> Tensor:
    return torch.ones(1, frames, dtype=torch.bool)


def drift_hz(iq: Tensor, removed: Tensor) -> Tensor:
    """How fast each tone of ``iq`` was taken to turn, ``(tones,)``."""
    turned = (complex_of(iq) * complex_of(removed).conj())[0]
    step = (turned[:, 1:] * turned[:, :-1].conj()).sum(dim=1).angle()
    return step * IQ_RATE_HZ / (2 * torch.pi)


# The frames and tones that count


@settings(max_examples=40, deadline=None)
@given(rate=st.sampled_from(RATES), hops=st.integers(10, 30), rest=st.sampled_from([0, 1, -1, 70]))
def test_frame_range_is_exactly_the_frames_that_see_nothing_beyond_the_recording(rate, hops, rest):
    demodulate = Demodulator(rate)
    hop, beyond = demodulate.hop, 20 * demodulate.hop
    samples = max(10 * hop, hops * hop + rest)
    (first,), (last,) = demodulate.frame_range(torch.tensor([samples]))
    tones = torch.tensor([[18_000.0, 19_321.0]], dtype=torch.float64)
    # Nothing but noise before and behind the recording: whatever a frame holds, it has from there.
    wave = 0.1 * torch.randn(1, samples + 2 * beyond, generator=torch.Generator().manual_seed(hops))
    wave[:, beyond : beyond + samples] = 0
    seen = demodulate(wave, torch.tensor([wave.shape[1]]), tones).abs().amax(dim=(0, 1, 2))[20:]
    assert not seen[first : last + 1].any()
    assert seen[first - 1] > 0
    assert seen[last + 1] > 0


@pytest.mark.parametrize("rate", RATES)
def test_a_recording_shorter_than_the_filter_is_read_at_its_middle(rate):
    demodulate = Demodulator(rate)
    lengths = torch.arange(10 * demodulate.hop)
    first, last = demodulate.frame_range(lengths)
    assert torch.equal(first, last)
    assert ((first * demodulate.hop - lengths / 2).abs() <= demodulate.hop).all()


@pytest.mark.parametrize("rate", RATES)
def test_tones_are_used_from_17_khz_to_70_hz_below_nyquist(rate):
    highest = rate / 2 - 70
    tones = torch.tensor([[16_999.9, 17_000.0, highest, highest + 0.1, 0.0, float("nan")]], dtype=torch.float64)
    used = used_tones(tones, rate)
    assert used.tolist() == [[False, True, True, False, False, False]]
    wave = torch.randn(1, rate // 5, generator=torch.Generator().manual_seed(0))
    iq = Demodulator(rate)(wave, torch.tensor([wave.shape[1]]), tones)
    assert torch.equal(iq.abs().amax(dim=(2, 3)) > 0, used)


# The static part


@pytest.mark.parametrize("cutoff_hz", [0.75, 3.0, 5.0, 10.0])
def test_high_pass_halves_its_cutoff_and_takes_the_static_part_only(cutoff_hz):
    frames = 12 * IQ_RATE_HZ
    hz = torch.tensor([0.0, cutoff_hz, -cutoff_hz, 4 * cutoff_hz])
    out = complex_of(high_passed(real_pair(turning(hz, frames)), everywhere(frames), cutoff_hz))[0]
    middle = out[:, frames // 4 : -frames // 4].abs()
    expected = torch.tensor([0.0, 0.5, 0.5, 1.0], dtype=torch.float64)[:, None].expand_as(middle)
    torch.testing.assert_close(middle, expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("padding", [0, 500])
def test_high_pass_takes_what_is_slow_up_to_the_ends_of_the_recording(padding):
    frames = 10 * IQ_RATE_HZ
    iq = real_pair(torch.linspace(-1, 1, frames, dtype=torch.float64)[None] * (1 + 1j))
    iq = torch.nn.functional.pad(iq, (0, padding), value=1e3)
    out = high_passed(iq, torch.arange(frames + padding)[None] < frames, 3.0)
    assert out.abs().max() < 0.02
    assert not out[..., frames:].any()


# The drift of the carriers


@pytest.mark.parametrize("offset_hz", [-4.0, -0.03, 0.03, 0.8])
@pytest.mark.parametrize(("seconds", "echo_db", "echo_hz"), [(4, -26, 1.3), (10, -10, 2.3), (10, -10, -1.7)])
def test_drift_is_found_to_some_thousandths_of_a_hz_beside_a_moving_echo(offset_hz, seconds, echo_db, echo_hz):
    frames = seconds * IQ_RATE_HZ
    # Something large that recedes all the time pulls at the mean phase step, the more the shorter the lag.
    signal = turning(offset_hz, frames) * (1 + 10 ** (echo_db / 20) * turning(echo_hz, frames))
    iq = real_pair(signal[None])
    out = drift_removed(iq, everywhere(frames))
    assert abs(float(drift_hz(iq, out)) - offset_hz) < 0.002
    torch.testing.assert_close(complex_of(out)[0, 0].abs(), signal.abs())


@pytest.mark.parametrize("offset_hz", [-1.0, 1.0])
def test_drift_of_a_short_noisy_recording_is_found_about_as_well_as_can_be(offset_hz):
    frames, tones = 150, 256
    # Least standard deviation that any estimator can reach at as much noise as carrier (Rife & Boorstyn 1974).
    least_hz = (6 / (frames * (frames**2 - 1))) ** 0.5 * IQ_RATE_HZ / (2 * np.pi)
    iq = real_pair(turning(offset_hz, frames) + noise(tones, frames))
    error_hz = drift_hz(iq, drift_removed(iq, everywhere(frames))) - offset_hz
    assert error_hz.square().mean().sqrt() < 1.6 * least_hz


@settings(max_examples=20, deadline=None)
@given(before=st.integers(0, 40), frames=st.integers(1, 400), behind=st.integers(0, 40), seed=st.integers(0, 99))
def test_drift_is_that_of_the_frames_inside_whatever_lies_outside(before, frames, behind, seed):
    place = torch.arange(before + frames + behind)[None]
    inside = (place >= before) & (place < before + frames)
    iq = real_pair(turning(torch.tensor([0.7, -2.0]), place.shape[1]) + 0.1 * noise(2, place.shape[1], seed=seed))
    spoilt = torch.where(inside[:, None, None], iq, 1e3 * iq.flip(3))
    plain, other = (drift_removed(x, inside)[..., inside[0]] for x in (iq, spoilt))
    torch.testing.assert_close(other, plain, atol=1e-9, rtol=0)


@pytest.mark.parametrize("frames", [20, 60, 150])
def test_drift_of_a_short_noisy_item_does_not_depend_on_longer_batch_mates(frames):
    iq = real_pair(turning(-1.0, frames) + noise(256, frames))
    alone = drift_removed(iq, everywhere(frames))
    padded = torch.nn.functional.pad(iq, (0, 250))
    batched = drift_removed(padded, torch.arange(frames + 250)[None] < frames)[..., :frames]
    torch.testing.assert_close(batched, alone, atol=1e-9, rtol=0)


# The gain that all tones share


@pytest.mark.parametrize("swing_db", [0.0, 3.0])
def test_shared_gain_goes_and_each_carrier_stays_as_it_was(swing_db):
    frames = 3 * IQ_RATE_HZ
    phases = torch.tensor([0.3, -2.0, 1.1, 2.9], dtype=torch.float64)
    carriers = torch.polar(torch.tensor([0.5, 1.0, 0.8, 1.3], dtype=torch.float64), phases)
    gain = 10 ** (swing_db / 20 * turning(4.0, frames).imag)
    iq = real_pair(carriers[:, None] * (gain / gain.mean()))
    shares = torch.tensor([[0.3, 0.2, 0.25, 0.25]], dtype=torch.float64)
    out = complex_of(gain_removed(iq, everywhere(frames), shares))[0]
    torch.testing.assert_close(out, carriers[:, None].expand_as(out))


# Faster and slower


@settings(max_examples=60, deadline=None)
@given(speed=st.floats(0.5, 2), share=st.floats(-1, 1))
def test_resampling_multiplies_every_doppler_shift_by_the_speed(speed, share):
    # What lies within ±70 Hz before and after; -60 dB of error in phase and level.
    hz = share * 70 / max(1, speed)
    positions = torch.arange(40, 200)
    iq = real_pair(turning(torch.tensor([hz]), 600))
    out = resampled(iq, positions, speed, torch.tensor([0]), torch.tensor([599]))
    assert (complex_of(out)[0, 0] - turning(hz * speed, positions)).abs().max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(speed=st.floats(1.6, 2), share=st.floats(0, 1), sign=st.sampled_from([-1, 1]))
def test_resampling_stops_what_would_fold_into_the_mouth(speed, share, sign):
    # Sped up it lies 230 Hz or more away, which 300 a second fold to within ±70 Hz.
    lowest = 230 / speed
    hz = sign * (lowest + share * (150 - lowest))
    out = resampled(
        real_pair(turning(torch.tensor([hz]), 600)),
        torch.arange(40, 200),
        speed,
        torch.tensor([0]),
        torch.tensor([599]),
    )
    assert complex_of(out).abs().max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(
    speed=st.floats(0.5, 2),
    frames=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100)), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_resampling_holds_each_items_own_ends_and_sees_nothing_beyond(speed, frames, seed):
    first, size = (torch.tensor(column) for column in zip(*frames, strict=True))
    last = first + size
    iq = torch.tensor(np.random.default_rng(seed).normal(size=(len(frames), 2, 2, 160)))
    place = torch.arange(160)
    at = torch.minimum(torch.maximum(place[None], first[:, None]), last[:, None])
    held = iq.gather(3, at[:, None, None].expand_as(iq))
    positions = torch.arange(-100, 400)
    out = resampled(iq, positions, speed, first, last)
    whole = resampled(held, positions, speed, torch.zeros_like(first), torch.full_like(last, 159))
    torch.testing.assert_close(out, whole, atol=1e-12, rtol=0)
    for item, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for far, edge in ((out[item, ..., 0], begin), (out[item, ..., -1], end)):
            torch.testing.assert_close(far, iq[item, ..., edge])


@pytest.mark.parametrize("speed", [0.5, 0.93, 1.1, 2.0])
def test_resampling_leaves_a_constant_as_it_is(speed):
    iq = torch.full((1, 1, 2, 30), 0.7, dtype=torch.float64)
    out = resampled(iq, torch.arange(-5, 40), speed, torch.tensor([3]), torch.tensor([20]))
    torch.testing.assert_close(out, torch.full_like(out, 0.7), atol=1e-12, rtol=0)
