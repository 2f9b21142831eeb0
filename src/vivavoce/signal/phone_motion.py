"""The phone's own motion, taken out of the I/Q: all static paths share it, so they say how the phone moved.

With the phone at ``q(t)`` a static reflector in direction ``u`` sends ``a e^{j4πf u·q(t)/c}`` beside a direct path that
does not move. Once ``q`` is known, all such terms are linear in their amplitudes and least squares takes them out; what
is left belongs to what moved by itself. ``q`` comes from an accelerometer, or from the echo.
"""

import math

import torch
from torch import Tensor

from vivavoce.signal.iq import IQ_RATE_HZ, SPEED_OF_SOUND

# Hand sway lies in 0.3–2.5 Hz (DESIGN §5); above it the mouth moves more than the phone.
SWAY_HZ = 3.0
# Of the I/Q at 300 Hz every tenth value holds sway at 3 Hz five times over.
THINNED = 10
ITERATIONS = 8
# The first guess takes all of the echo's phase for the phone's, which overshoots where a mouth moves; half of it, and
# no more than a quarter of a wave either way, keeps the iteration on the right branch.
FIRST_SHARE, FIRST_LIMIT_M = 0.5, 0.004
# Directions from the phone in which static reflectors are looked for. The axes of an accelerometer are the phone's own,
# so that all ways count alike: along the axes, and between any two of them.
_AXES = tuple(tuple(sign * float(axis == at) for at in range(3)) for axis in range(3) for sign in (1, -1))
_BETWEEN = tuple(
    tuple(math.sqrt(0.5) * (a + b) for a, b in zip(first, second, strict=True))
    for number, first in enumerate(_AXES)
    for second in _AXES[number + 1 :]
    if any(a + b for a, b in zip(first, second, strict=True))
)
DIRECTIONS = _AXES + _BETWEEN
# Keeps directions apart that the motion does not tell apart: 30 dB under the carrier.
RIDGE = 1e-3


def static_paths_removed(iq: Tensor, inside: Tensor, tones_hz: Tensor, displacement_m: Tensor) -> Tensor:
    """Take out of relative I/Q what reflectors at rest send to a phone that moves.

    Args:
        iq: ``(batch, tones, 2, frames)``, relative to each carrier, at 300 Hz.
        inside: frames that lie in the recording, ``(batch, frames)``.
        tones_hz: ``(batch, tones)``; 0 or NaN where a tone is unused.
        displacement_m: where the phone was, any origin, m: ``(batch, frames, 3)``; or ``(batch, frames, 1)`` along the
            way to the scene.

    Returns:
        ``(batch, tones, 2, frames)``, zero outside.
    """
    directions = torch.tensor(DIRECTIONS if displacement_m.shape[2] == 3 else ((1.0,),)).to(displacement_m)
    kept = inside[:, None, :, None].double()
    path = (displacement_m.double() @ directions.double().T)[:, None]  # (batch, 1, frames, directions)
    paths = torch.polar(torch.ones_like(path), path * wave_number(tones_hz)[:, :, None, None])
    basis = torch.cat([torch.ones_like(paths[..., :1]), paths], dim=3) * kept
    signal = torch.complex(iq[:, :, 0].double(), iq[:, :, 1].double())[..., None] * kept
    gram = basis.mH @ basis
    count = kept.sum(dim=2, keepdim=True).clamp(min=1)
    gram = gram + RIDGE * count * torch.eye(gram.shape[3], device=iq.device)
    left = (signal - basis @ torch.linalg.solve(gram, basis.mH @ signal))[..., 0]
    return torch.stack([left.real, left.imag], dim=2).to(iq.dtype)


def followed(iq: Tensor, inside: Tensor, tones_hz: Tensor) -> Tensor:
    """Estimate the phone's way toward the scene from the echo alone, m, ``(batch, frames, 1)``.

    One reflector at rest is fitted to all tones, in turns with the slow motion (below 3 Hz) that explains them best
    (Gauss–Newton). The mouth's own slow motion is taken for the phone's: what follows uses the motion above it.

    Args:
        iq: as in `static_paths_removed`.
        inside: frames that lie in the recording, ``(batch, frames)``.
        tones_hz: ``(batch, tones)``; 0 or NaN where a tone is unused.
    """
    weights = inside[:, None, :].double()
    signal = torch.complex(iq[:, :, 0].double(), iq[:, :, 1].double()) * weights
    carrier = signal.sum(dim=2, keepdim=True)
    signal = signal * torch.where(carrier.abs() > 0, carrier.conj() / carrier.abs().clamp(min=1e-30), 1.0)
    thinned = _smooth(signal, weights, 10.0)[..., ::THINNED]
    kept = weights[..., ::THINNED]
    used = (torch.nan_to_num(tones_hz) > 0).double()[:, :, None]
    number = wave_number(tones_hz)[:, :, None]
    way = _first_guess(thinned, kept * used, number)
    for _ in range(ITERATIONS):
        way = way + _step(thinned, kept * used, number, way, kept)
    way = _held(way, kept)
    steps = torch.nn.functional.interpolate(way, size=way.shape[2] * THINNED, mode="linear")
    # A kept value stands for itself, while interpolation centres it on its ten.
    lag = (THINNED - 1) // 2
    whole = torch.cat([steps[..., lag:], steps[..., -1:].expand(-1, -1, lag)], dim=2)[..., : iq.shape[3]]
    return whole.transpose(1, 2)


def wave_number(tones_hz: Tensor) -> Tensor:
    """Phase that an echo turns by for each metre the phone comes nearer, rad/m, of the shape of ``tones_hz``."""
    return 4 * math.pi / SPEED_OF_SOUND * torch.nan_to_num(tones_hz).double()


def _first_guess(signal: Tensor, weights: Tensor, number: Tensor) -> Tensor:
    """Sum up the echo's mean phase steps (pulse pairs, Kasai et al. 1985); ``(batch, 1, frames)``."""
    echo = (signal - _mean(signal, weights)) * weights
    pairs = (echo[..., 1:] * echo[..., :-1].conj()).sum(dim=1, keepdim=True)
    speed = pairs.angle() / number.amax(dim=1, keepdim=True).clamp(min=1.0)
    way = torch.nn.functional.pad(speed.cumsum(dim=2), (1, 0))
    kept = weights.amax(dim=1, keepdim=True)
    return (FIRST_SHARE * _slow(way, kept)).clamp(-FIRST_LIMIT_M, FIRST_LIMIT_M)


def _step(signal: Tensor, weights: Tensor, number: Tensor, way: Tensor, kept: Tensor) -> Tensor:
    """Fit carrier and reflector of each tone along ``way``, then the way's own correction; ``(batch, 1, frames)``."""
    angle = number * way
    turn = torch.polar(torch.ones_like(angle), angle)
    varied = (turn - _mean(turn, weights)) * weights
    power = varied.abs().square().sum(dim=2, keepdim=True)
    count = weights.sum(dim=2, keepdim=True).clamp(min=1)
    reflector = (signal * varied.conj()).sum(dim=2, keepdim=True) / (power + RIDGE * count)
    left = (signal - _mean(signal, weights) - reflector * varied) * weights
    slope = 1j * number * reflector * turn * weights
    gain = slope.abs().square().sum(dim=1, keepdim=True)
    steady = gain.sum(dim=2, keepdim=True) / kept.sum(dim=2, keepdim=True).clamp(min=1)
    return _slow((slope.conj() * left).real.sum(dim=1, keepdim=True) / steady.clamp(min=1e-12), kept)


def _held(way: Tensor, kept: Tensor) -> Tensor:
    """Hold the way before its first and behind its last frame that counts, ``(batch, 1, frames)``."""
    place = torch.arange(way.shape[2], device=way.device).expand_as(way)
    counts = kept > 0
    first = torch.where(counts, place, way.shape[2] - 1).amin(dim=2, keepdim=True)
    last = torch.where(counts, place, 0).amax(dim=2, keepdim=True)
    return way.gather(2, torch.minimum(torch.maximum(place, first), last))


def _slow(way: Tensor, kept: Tensor) -> Tensor:
    smooth = _smooth(way, kept, SWAY_HZ, IQ_RATE_HZ / THINNED)
    return (smooth - _mean(smooth, kept)) * kept


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(dim=2, keepdim=True) / weights.sum(dim=2, keepdim=True).clamp(min=1)


def _smooth(values: Tensor, weights: Tensor, cutoff_hz: float, rate_hz: float = IQ_RATE_HZ) -> Tensor:
    """Average ``(batch, rows, frames)`` over a Hann window, -6 dB at the cutoff, over frames that count."""
    reach = max(1, round(rate_hz / cutoff_hz / 2))
    window = torch.hann_window(2 * reach + 3, periodic=False, dtype=torch.float64, device=values.device)[1:-1]
    parts = torch.view_as_real(values) if values.is_complex() else values[..., None]
    rows = (parts * weights[..., None]).movedim(-1, 0)
    shape = rows.shape
    sums = torch.nn.functional.conv1d(rows.reshape(-1, 1, shape[3]), window[None, None], padding=reach).view(shape)
    norms = torch.nn.functional.conv1d(weights[:, :1], window[None, None], padding=reach)
    sums = sums / norms.clamp(min=1e-6)
    return torch.complex(sums[0], sums[1]) if values.is_complex() else sums[0]
