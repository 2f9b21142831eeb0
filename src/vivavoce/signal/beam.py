"""All tones added up in phase: one echo out of many, with less noise than any of them.

What moves at one distance from the phone turns on every tone alike, but for a phase that the distance sets
(``e^{-j4π f_k r / c}``, DESIGN §5). Tones over 2 kHz tell distances some 9 cm apart, which is a mouth. So one set of
weights brings the mouth's echoes in phase, while noise adds up in power: eight tones gain up to 9 dB, where the mean of
their powers gains nothing. The weights are not computed from a distance, which nobody knows, but found: they are the
strongest direction of the tones' covariance in the band of gestures (blind maximal ratio combining: Brennan 1959).
"""

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

# A smoothed derivative over 30 ms (Savitzky & Golay 1964) passes what gestures do, 2–15 Hz, and neither the phone's
# slow sway nor most of the noise.
HALF_TAPS = 4
# Of the power method: what has half the power of the strongest is then 2^-24 of it.
ITERATIONS = 24
LEAST = 1e-20


def combined(moving: Tensor, inside: Tensor, shares: Tensor) -> Tensor:
    """Add up the tones of each recording in phase; a tone's level is kept.

    Args:
        moving: I/Q without its static part, ``(batch, tones, 2, frames)``.
        inside: frames that lie in the recording, ``(batch, frames)``.
        shares: what each tone counts for, the inverse of its noise, ``(batch, tones)`` with the sum 1, or all 0.

    Returns:
        ``(batch, 1, 2, frames)``, up to one constant phase.
    """
    scale = shares.clamp(min=0).sqrt()
    whitened = moving * scale[:, :, None, None]
    weights = strongest(covariance(whitened, inside))
    real, imag = weights[:, :, 0, None], weights[:, :, 1, None]
    inphase, quadrature = whitened[:, :, 0], whitened[:, :, 1]
    summed = torch.stack(
        [
            (real * inphase + imag * quadrature).sum(dim=1),
            (real * quadrature - imag * inphase).sum(dim=1),
        ],
        dim=1,
    )
    # Of an echo as strong on every tone this is its amplitude.
    level = (weights.square().sum(dim=2).sqrt() * scale).sum(dim=1).clamp(min=LEAST)
    return (summed / level[:, None, None])[:, None]


def covariance(iq: Tensor, inside: Tensor) -> Tensor:
    """Covariance of the tones' gestures, real form ``(batch, 2 · tones, 2 · tones)``: real parts first, then imaginary.

    A complex direction is there as two real ones, itself and itself turned by a quarter, of one eigenvalue.
    """
    lag = torch.arange(-HALF_TAPS, HALF_TAPS + 1, dtype=iq.dtype, device=iq.device)
    taps = (lag / lag.square().sum())[None, None]
    batch, tones, _, frames = iq.shape
    slope = conv1d(iq.reshape(-1, 1, frames), taps, padding=HALF_TAPS).view(batch, tones, 2, frames).double()
    # Only slopes whose nine frames all lie in the recording: the carrier's edge is no gesture.
    reach = pad(inside, (HALF_TAPS, HALF_TAPS))
    slope = slope * (reach[:, : -2 * HALF_TAPS] & reach[:, 2 * HALF_TAPS :])[:, None, None, :]
    real, imag = slope.unbind(dim=2)
    parts, turned = torch.cat([real, imag], dim=1), torch.cat([-imag, real], dim=1)
    return parts @ parts.transpose(1, 2) + turned @ turned.transpose(1, 2)


def strongest(covariances: Tensor) -> Tensor:
    """The strongest direction ``(batch, tones, 2)`` float32 of length 1, by the power method; zero where there is none.

    It begins with the strongest tone's column, so that no tone that is zero ever gets a weight.
    """
    first = covariances.diagonal(dim1=1, dim2=2).argmax(dim=1)
    column = covariances.gather(2, first[:, None, None].expand(-1, covariances.shape[1], 1))
    for _ in range(ITERATIONS):
        column = column / column.square().sum(dim=1, keepdim=True).sqrt().clamp(min=LEAST)
        column = covariances @ column
    column = column / column.square().sum(dim=1, keepdim=True).sqrt().clamp(min=LEAST)
    return column[:, :, 0].unflatten(1, (2, -1)).transpose(1, 2).float()
