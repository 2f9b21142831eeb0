"""A picture of the motion in a recording, for people to look at: what moved how fast, and when."""

import numpy as np
import torch

from vivavoce.errors import UserError
from vivavoce.signal.echo import LEAST_CARRIER
from vivavoce.signal.iq import (
    EDGE_FRAMES,
    IQ_RATE_HZ,
    LOWEST_TONE_HZ,
    Demodulator,
    carrier_level,
    drift_removed,
    gain_removed,
    mean_removed,
    tone_shares,
)
from vivavoce.signal.motion import STEP

# Noise this far below the carrier does not show.
PICTURE_FLOOR_DBC = -60.0
PICTURE_HZ = 150.0


def doppler_spectrogram(
    wave: np.ndarray,
    rate: int,
    tones_hz: tuple[float, ...] | list[float],
    window_s: float = 0.17,
    floor_dbc: float = -90.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute a picture of the motion: mean power over the tones around their carriers.

    The static part and the gain that all tones share are removed.

    Args:
        wave: ``(samples,)`` one channel.
        rate: sample rate, Hz.
        tones_hz: the probe.
        window_s: Hann window, s.
        floor_dbc: lowest level shown, dB relative to the carrier.

    Returns:
        times in s ``(frames,)``, frequencies from -150 to 150 Hz ``(bins,)`` and levels in dBc ``(bins, frames)``.

    Raises:
        UserError: no tone lies within the recording's band, or the recording is shorter than the window.
    """
    usable = [f for f in tones_hz if LOWEST_TONE_HZ <= f <= rate / 2 - PICTURE_HZ]
    if not usable or len(wave) < window_s * rate:
        raise UserError(
            f"No Doppler picture can be drawn of {len(wave) / rate:.2f} s at {rate} Hz with {len(usable)} probe tones; "
            f"it takes {window_s:g} s and at least one tone above {LOWEST_TONE_HZ:g} Hz."
        )
    iq, shares = _clean_iq(np.asarray(wave, dtype=np.float32), rate, usable)
    size, step = min(round(window_s * IQ_RATE_HZ), iq.shape[1]), STEP
    frames = np.lib.stride_tricks.sliding_window_view(iq, size, axis=1)[:, ::step]
    window = np.hanning(size + 2)[1:-1]
    lines = np.fft.fftshift(np.fft.fft(frames * window, n=1 << (2 * size - 1).bit_length(), axis=2), axes=2)
    freqs = np.fft.fftshift(np.fft.fftfreq(lines.shape[2], 1 / IQ_RATE_HZ))
    shown = np.abs(freqs) <= PICTURE_HZ
    power = np.einsum("k,ktf->ft", shares, np.abs(lines[:, :, shown] / window.sum()) ** 2)
    times_s = (EDGE_FRAMES + np.arange(frames.shape[1]) * step + (size - 1) / 2) / IQ_RATE_HZ
    return times_s, freqs[shown], np.maximum(10 * np.log10(power + 1e-30), floor_dbc)


def _clean_iq(wave: np.ndarray, rate: int, tones_hz: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the moving part of complex I/Q ``(tones, frames)``, as `Echo` sees it, and each tone's share."""
    demodulate = Demodulator(rate)
    lengths = torch.tensor([len(wave)])
    iq = demodulate(torch.from_numpy(wave)[None], lengths, torch.tensor([tones_hz], dtype=torch.float64))
    first, last = (int(frame[0]) for frame in demodulate.frame_range(lengths))
    iq = iq[..., first : last + 1]
    inside = torch.ones(1, iq.shape[3], dtype=torch.bool)
    iq = iq / carrier_level(iq, inside).clamp(min=LEAST_CARRIER)[:, :, None, None]
    iq = drift_removed(iq, inside)
    shares = tone_shares(iq, inside, torch.ones(1, len(tones_hz), dtype=torch.bool), 10 ** (PICTURE_FLOOR_DBC / 10))
    moving = mean_removed(gain_removed(iq, inside, shares), inside)[0].double().numpy()
    return moving[:, 0] + 1j * moving[:, 1], shares[0].double().numpy()
