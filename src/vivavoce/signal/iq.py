"""Per-tone I/Q: each probe tone shifted to 0 Hz at 300 complex samples a second, and its static part removed.

I/Q tensors inside the package are real, ``(batch, tones, 2, frames)`` with (in-phase, quadrature) on axis 2.
"""

import math

import torch
from torch import Tensor, nn

from vivavoce.errors import UserError
from vivavoce.signal.framing import masked

SPEED_OF_SOUND = 343.0  # m/s in air at 20 °C
# Divides 44.1 and 48 kHz into whole hops (147 and 160 samples) and a 10 ms frame into three; holds ±150 Hz, so that
# nothing from 150 to 230 Hz away folds into the ±70 Hz of the mouth.
IQ_RATE_HZ = 300
PASS_HZ = 70.0
# The nearest neighbour tone is 200 Hz away; it folds to 100 Hz and must be gone.
STOP_HZ = 200.0
# Ten hops are 33.3 ms; Kaiser's formula gives 70 dB over 70–200 Hz: A = 8 + 2.285 · 2π · 130 Hz · 33.3 ms.
HOPS = 10
STOP_BAND_DB = 70.0
# The filter sees whole samples only from this frame on, and up to as many before the end.
EDGE_FRAMES = HOPS // 2
LOWEST_TONE_HZ = 17_000.0
# A shared gain of -26 dB is beyond any gain control (DESIGN §5: 12 dB): the carrier is lost, not turned down.
LEAST_GAIN = 0.05
# With fewer tones the echoes' in-phase parts do not cancel, and the motion itself would be taken for gain.
GAIN_TONES = 3
# 0.1 s tells ±5 Hz apart, which is more than any clock or detection errs; 0.5 s then says five times finer.
DRIFT_LAGS = (30, 150)
# The noise of a tone is read from the fourth difference of its I/Q: gain sin⁴, 1 at 150 Hz and 0.2 at 70 Hz, where a
# mouth hardly ever reaches (DESIGN §5: 54 Hz at most).
NOISE_TAPS = (1 / 16, -4 / 16, 6 / 16, -4 / 16, 1 / 16)


class Demodulator(nn.Module):
    """Shift every tone of every item to 0 Hz, low-pass it (0 dB to 70 Hz, -70 dB from 200 Hz), keep 300 a second.

    I/Q frame n is centred at sample ``n · rate / 300``; its phase is that of a demodulation in absolute time, so
    a steady tone at exactly its nominal frequency gives a constant. A tone of amplitude A gives magnitude A.

    Args:
        sample_rate: Hz, a multiple of 300 that holds the probe (44100, 48000, 96000).

    Raises:
        UserError: another sample rate.
    """

    lowpass: Tensor

    def __init__(self, sample_rate: int):
        super().__init__()
        if sample_rate % IQ_RATE_HZ or sample_rate < 2 * 20_000:
            raise UserError(
                f"Echo features need 44100, 48000 or 96000 Hz, not {sample_rate} Hz; "
                "record at 48000 Hz, or resample a recording whose ultrasound band is intact."
            )
        self.sample_rate = sample_rate
        self.hop = sample_rate // IQ_RATE_HZ
        self.register_buffer("lowpass", _lowpass(HOPS * self.hop, sample_rate), persistent=False)

    def frame_range(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first and last frame ``(batch,)`` whose filter lies in the recording; its middle if none does."""
        reach = HOPS * self.hop // 2 - 1
        last = torch.div(lengths - 1 - reach, self.hop, rounding_mode="floor")
        middle = lengths // (2 * self.hop)
        fits = last >= EDGE_FRAMES
        return torch.where(fits, EDGE_FRAMES, middle), torch.where(fits, last, middle)

    def forward(self, wave: Tensor, lengths: Tensor, tones_hz: Tensor) -> Tensor:
        """Return I/Q ``(batch, tones, 2, frames)``; unused tones (0 or NaN) give zeros.

        Args:
            wave: ``(batch, samples)``, full scale 1.
            lengths: ``(batch,)`` int64 samples.
            tones_hz: ``(batch, tones)``.
        """
        batch, tones = tones_hz.shape
        frames = wave.shape[1] // self.hop + 1
        blocks = frames + HOPS - 1
        left = HOPS * self.hop // 2
        right = blocks * self.hop - left - wave.shape[1]
        padded = nn.functional.pad(masked(wave, lengths), (left, right))
        used = used_tones(tones_hz, self.sample_rate)
        hz = torch.where(used, tones_hz, torch.zeros_like(tones_hz)).double()
        # Each hop of samples meets each of the ten hops of the filter once; sums along the diagonal are the frames.
        products = padded.view(batch, blocks, self.hop) @ self._bank(hz)
        products = products.view(batch, blocks, HOPS, 2, tones)
        summed = products[:, :frames, 0]
        for hop in range(1, HOPS):
            summed = summed + products[:, hop : hop + frames, hop]
        inphase, quadrature = summed[:, :, 0], summed[:, :, 1]
        turns = (
            torch.arange(frames, device=wave.device, dtype=torch.float64)[None, :, None] * (hz / IQ_RATE_HZ)[:, None]
        )
        cos, sin = _unit(turns, wave.dtype)
        rotated = torch.stack([inphase * cos + quadrature * sin, quadrature * cos - inphase * sin], dim=1)
        return (rotated * used[:, None, None, :]).permute(0, 3, 1, 2)

    def _bank(self, hz: Tensor) -> Tensor:
        """Return ``h[i] e^{-j2πf(i - centre)/rate}`` as ``(batch, hop, HOPS · 2 · tones)``."""
        # e^{-jω(a + b)} from two short tables; phases in float64, since 20 kHz makes many turns.
        coarse = torch.arange(HOPS, device=hz.device, dtype=torch.float64) * self.hop - HOPS * self.hop // 2
        fine = torch.arange(self.hop, device=hz.device, dtype=torch.float64)
        turns = hz[:, None, :] / self.sample_rate
        cos_c, sin_c = (x[:, None] for x in _unit(coarse[None, :, None] * turns, self.lowpass.dtype))
        cos_f, sin_f = (x[:, :, None] for x in _unit(fine[None, :, None] * turns, self.lowpass.dtype))
        carrier = torch.stack([cos_c * cos_f - sin_c * sin_f, -(sin_c * cos_f + cos_c * sin_f)], dim=3)
        bank = carrier * self.lowpass.view(HOPS, self.hop).T[None, :, :, None, None]
        return bank.reshape(hz.shape[0], self.hop, -1)


def used_tones(tones_hz: Tensor, sample_rate: int) -> Tensor:
    """Return ``(batch, tones)`` bool: finite, above 17 kHz and at least 70 Hz below the Nyquist frequency."""
    return (tones_hz >= LOWEST_TONE_HZ) & (tones_hz <= sample_rate / 2 - PASS_HZ)


def mean_removed(iq: Tensor, inside: Tensor) -> Tensor:
    """Subtract each tone's mean over the frames that are ``inside`` ``(batch, frames)``, and blank the others."""
    # The carrier is 1e3 times its echo: in float64, so that how many frames are padding does not show in the echo.
    weights = inside[:, None, None, :].double()
    mean = (iq * weights).sum(dim=3, keepdim=True) / weights.sum(dim=3, keepdim=True).clamp(min=1)
    return ((iq - mean) * weights).to(iq.dtype)


def high_passed(iq: Tensor, inside: Tensor, cutoff_hz: float) -> Tensor:
    """Subtract a moving Hann average of ``1 / cutoff_hz`` seconds (zero phase, -6 dB at the cutoff).

    Only frames that are ``inside`` ``(batch, frames)`` count, so the ends of a recording are averaged over less.
    """
    # The mean goes first, and exactly: next to the carrier the echo would drown in the rounding of the averages.
    iq = mean_removed(iq, inside)
    reach = round(IQ_RATE_HZ / cutoff_hz / 2)
    window = torch.hann_window(2 * reach + 1, periodic=False, dtype=iq.dtype, device=iq.device)[None, None]
    weights = inside[:, None, None, :].to(iq.dtype)
    rows = iq.reshape(-1, 1, iq.shape[3])
    sums = nn.functional.conv1d(rows, window, padding=reach).view(iq.shape)
    norms = nn.functional.conv1d(weights[:, 0], window, padding=reach)[:, :, None]
    return (iq - sums / norms.clamp(min=1e-6)) * weights


def drift_removed(iq: Tensor, inside: Tensor) -> Tensor:
    """Turn each tone back by its carrier's steady rotation: the clock's offset, or a tone detected not quite right.

    A carrier that turns by 0.03 Hz (DESIGN §5) is no longer static: taking its mean off a recording of 4 s leaves a
    residue above -10 dBc, where the mouth is at -26 dBc. Products at two lags find the rotation roughly, a straight
    line through what is left of the phase then finds it to some thousandths of a Hz.

    Args:
        iq: ``(batch, tones, 2, frames)``.
        inside: frames that lie in the recording, ``(batch, frames)``.

    Returns:
        ``(batch, tones, 2, frames)`` in float64: next to the carrier, 1e3 times its echo, rounding would show.
    """
    weights = inside[:, None, :].double()
    count = weights.sum(dim=2).clamp(min=1)
    place = torch.arange(iq.shape[3], device=iq.device, dtype=torch.float64)
    offset = place - ((weights * place).sum(dim=2) / count)[:, :, None]
    signal = torch.complex(iq[:, :, 0].double(), iq[:, :, 1].double())
    slope = torch.zeros(iq.shape[:2], dtype=torch.float64, device=iq.device)
    for lag in DRIFT_LAGS:
        both = inside[:, None, lag:] & inside[:, None, :-lag]
        product = (signal[..., lag:] * signal[..., :-lag].conj() * both).sum(dim=2)
        # What is known turns every product by the same angle, so that only the sum is turned back.
        step = (product * torch.polar(torch.ones_like(slope), -slope * lag)).angle() / lag
        # An item no longer than the lag has no products, and the angle of their sum, ±0, may be half a turn.
        slope = slope + torch.where(both.any(dim=2), step, torch.zeros_like(step))
    turned = signal * _rotation(-slope, iq.shape[3])
    mean = (turned * weights).sum(dim=2, keepdim=True) / count[:, :, None]
    phase = (turned * mean.conj()).angle() * weights
    spread = (weights * offset.square()).sum(dim=2).clamp(min=1)
    turned = turned * _rotation(-(phase * offset).sum(dim=2) / spread, iq.shape[3])
    return torch.stack([turned.real, turned.imag], dim=2)


def _rotation(step: Tensor, frames: int) -> Tensor:
    """Return ``e^{j · step · n}`` for n from 0 to ``frames``, complex128, from two short tables; ``(..., frames)``."""
    size = max(1, math.isqrt(frames))
    fine = step[..., None] * torch.arange(size, device=step.device)
    coarse = step[..., None] * torch.arange(0, frames, size, device=step.device)
    fine, coarse = (torch.polar(torch.ones_like(angle), angle) for angle in (fine, coarse))
    return (coarse[..., :, None] * fine[..., None, :]).flatten(-2)[..., :frames]


def resampled(iq: Tensor, positions: Tensor, speed: float, first: Tensor, last: Tensor) -> Tensor:
    """Read I/Q ``speed`` times faster: all times shrink by ``speed``, every Doppler shift grows by it.

    A windowed sinc (Kaiser 1974) passes what ends up within ±70 Hz, and stops what would fold into it. Below a speed of
    1 the outermost of it lies beyond the demodulator's pass band: at 0.9 up to 78 Hz, at 0.5 up to 140 Hz, 6 dB down.

    Args:
        iq: ``(batch, tones, 2, frames)``.
        positions: whole frames of the result, ``(positions,)``; frame n is read at ``n · speed``.
        speed: 0.5 to 2.
        first: first valid frame of ``iq``, ``(batch,)``; it is held for all before it.
        last: last valid frame, ``(batch,)``; it is held for all behind it.

    Returns:
        ``(batch, tones, 2, positions)``.
    """
    slower = 1 / max(1.0, speed)
    # From 70 to 230 Hz of the slower of both.
    cutoff = 0.5 * slower
    half = (STOP_BAND_DB - 8) / (2.285 * 2 * math.pi * (IQ_RATE_HZ - 2 * PASS_HZ) / IQ_RATE_HZ * slower) / 2
    at = positions.double() * speed
    whole = at.floor()
    steps = torch.arange(1 - math.ceil(half), math.ceil(half) + 1, device=iq.device)
    lag = steps - (at - whole)[:, None]
    inside = (1 - (lag / half).square()).clamp(min=0).sqrt()
    taps = torch.sinc(2 * cutoff * lag) * torch.special.i0(0.1102 * (STOP_BAND_DB - 8.7) * inside) * (lag.abs() < half)
    # A constant stays what it is, also where few taps meet it.
    taps = (taps / taps.sum(dim=1, keepdim=True)).to(iq.dtype)
    index = (whole.long()[:, None] + steps).flatten()
    index = torch.minimum(torch.maximum(index[None, :], first[:, None]), last[:, None])
    seen = iq.gather(3, index[:, None, None, :].expand(-1, iq.shape[1], 2, -1))
    return (seen.unflatten(3, taps.shape) * taps).sum(dim=4)


def gain_removed(iq: Tensor, inside: Tensor, shares: Tensor) -> Tensor:
    """Divide by the gain that all tones share at each moment: gain control and limiter, which follow the voice.

    A gain multiplies direct path and echo of every tone alike, while an echo turns against each carrier by another
    phase, so that its in-phase parts cancel in the mean over the tones (8 tones leave a mirror image 18 dB down).
    Without this, gain control writes the voice's envelope into every recording's echo, above the mouth itself
    (DESIGN §5: 0–12 dB of gain against −26 dBc of echo).

    Args:
        iq: relative I/Q ``(batch, tones, 2, frames)``.
        inside: frames that lie in the recording, ``(batch, frames)``.
        shares: what each tone counts for, ``(batch, tones)``, with the sum 1; or 0, where no tone is used and all I/Q
            is zero.
    """
    weights = inside[:, None, None, :].double()
    carrier = ((iq * weights).sum(dim=3, keepdim=True) / weights.sum(dim=3, keepdim=True).clamp(min=1)).to(iq.dtype)
    power = carrier.square().sum(dim=2, keepdim=True).clamp(min=1e-12)
    in_phase = (iq * carrier).sum(dim=2, keepdim=True) / power
    gain = (in_phase * shares[:, :, None, None]).sum(dim=1, keepdim=True)
    # Effective number of tones: 1 / Σ share², as many as there are where all count alike.
    enough = shares.square().sum(dim=1) * GAIN_TONES <= 1
    return torch.where(enough[:, None, None, None], iq / gain.clamp(min=LEAST_GAIN), iq)


def tone_shares(iq: Tensor, inside: Tensor, used: Tensor, floor: float) -> Tensor:
    """Return what each tone counts for, ``(batch, tones)`` with the sum 1: less, the more noise its I/Q holds.

    Args:
        iq: relative I/Q ``(batch, tones, 2, frames)``.
        inside: frames that lie in the recording, ``(batch, frames)``.
        used: tones in use, ``(batch, tones)``.
        floor: noise power (re carrier) under which a tone is as good as any.
    """
    if iq.shape[3] < len(NOISE_TAPS):
        return used / used.sum(dim=1, keepdim=True).clamp(min=1)
    rough = sum(tap * iq[..., at : iq.shape[3] - 4 + at] for at, tap in enumerate(NOISE_TAPS))
    whole = (inside[:, 4:] & inside[:, :-4])[:, None, :].to(iq.dtype)
    power = (rough * whole[:, :, None]).square().sum(dim=2)
    noise = power.sum(dim=2) / whole.sum(dim=2).clamp(min=1)
    shares = used * (floor / (noise + floor))
    return shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-12)


def carrier_level(iq: Tensor, inside: Tensor) -> Tensor:
    """Return each tone's mean magnitude over the frames that are ``inside``, ``(batch, tones)``."""
    weights = inside[:, None, :].double()
    magnitude = iq.square().sum(dim=2).sqrt()
    return ((magnitude * weights).sum(dim=2) / weights.sum(dim=2).clamp(min=1)).to(iq.dtype)


def _unit(turns: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of ``turns`` full turns; only the fraction loses precision."""
    angle = (2 * math.pi * torch.frac(turns)).to(dtype)
    return torch.cos(angle), torch.sin(angle)


def _lowpass(size: int, rate: int) -> Tensor:
    """Return an odd symmetric low-pass around index ``size // 2``, ``(size,)``, gain 2 (a real tone has two halves)."""
    lag_s = (torch.arange(size, dtype=torch.float64) - size // 2) / rate
    half_s = size / 2 / rate
    beta = 0.1102 * (STOP_BAND_DB - 8.7)
    inside = (1 - (lag_s / half_s) ** 2).clamp(min=0).sqrt()
    window = torch.special.i0(beta * inside) * (lag_s.abs() < half_s)
    taps = torch.sinc((PASS_HZ + STOP_HZ) * lag_s) * window
    return (2 * taps / taps.sum()).float()
