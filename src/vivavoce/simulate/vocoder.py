"""A plain channel vocoder: a voice's own spectral envelopes, excited by pulses of flattened pitch, and by noise.

This is what cheap voice conversion leaves of a voice: words, timing and timbre stay, while the fine structure, its
phases and most of the intonation are made anew (Dudley 1939; envelopes by liftered cepstra, Oppenheim 1969).
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

FRAME_S, HOP_S = 0.032, 0.008
ENVELOPE_S = 0.0015  # cepstra up to here describe the vocal tract, above a pitch of 300 Hz and less the glottis
PITCH_HZ = (70.0, 350.0)
VOICED = 0.45  # least normalised autocorrelation of voiced speech
FLATTENED = 0.25  # of the intonation's extent is left, as an exponent of pitch against its median
FLOOR = 1e-5


def resynthesised(rng: np.random.Generator, voice: np.ndarray, rate: int) -> np.ndarray:
    """Copy a voice (samples,) at ``rate`` Hz through the vocoder: (samples,) float32."""
    size, hop = 2 * round(FRAME_S * rate / 2), round(HOP_S * rate)
    window = np.hanning(size + 1)[:size]
    frames = _framed(voice.astype(np.float64), size, hop)
    pitch, strength = _pitch(frames - frames.mean(axis=1, keepdims=True), rate)
    excitation = _framed(_excitation(rng, len(voice), pitch, strength, hop, rate), size, hop)
    target = _envelope(np.abs(np.fft.rfft(frames * window, axis=1)), rate)
    spectrum = np.fft.rfft(excitation * window, axis=1)
    own = _envelope(np.abs(spectrum), rate)
    made = np.fft.irfft(spectrum * (target / own), size, axis=1) * window
    return _overlapped(made, hop, len(voice)) / np.float32(np.sum(window**2) / hop)


def _framed(wave: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Cut into frames (frames, size) centred on multiples of ``hop``, zeros beyond the ends."""
    padded = np.pad(wave, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return frames[: len(wave) // hop + 1]


def _overlapped(frames: np.ndarray, hop: int, samples: int) -> np.ndarray:
    """Add frames (frames, size) to (samples,) float32; the inverse of `_framed`."""
    count, size = frames.shape
    places = (np.arange(count) * hop)[:, None] + np.arange(size)
    total = np.bincount(places.ravel(), frames.ravel(), minlength=samples + 2 * size)
    return total[size // 2 : size // 2 + samples].astype(np.float32)


def _envelope(magnitude: np.ndarray, rate: int) -> np.ndarray:
    """Smooth magnitudes (frames, bins) by keeping the first cepstra."""
    cepstra = np.fft.irfft(np.log(magnitude + FLOOR), axis=1)
    keep = round(ENVELOPE_S * rate)
    cepstra[:, keep : cepstra.shape[1] - keep + 1] = 0
    return np.exp(np.fft.rfft(cepstra, axis=1).real)


def _pitch(frames: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz, flattened, and how periodic each frame is (0 to 1): (frames,) each, by autocorrelation."""
    size = frames.shape[1]
    power = np.abs(np.fft.rfft(frames, 2 * size, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, :size]
    # Fewer samples overlap at longer lags; without this a low voice would seem less periodic than a high one.
    correlation = correlation / (1 - np.arange(size) / size) / (correlation[:, :1] + FLOOR)
    lags = np.arange(round(rate / PITCH_HZ[1]), round(rate / PITCH_HZ[0]))
    best = np.argmax(correlation[:, lags], axis=1)
    strength = np.clip(correlation[np.arange(len(frames)), lags[best]], 0, 1)
    pitch = rate / lags[best]
    voiced = strength > VOICED
    if not voiced.any():
        return np.full(len(frames), np.sqrt(PITCH_HZ[0] * PITCH_HZ[1])), np.zeros(len(frames))
    middle = float(np.median(pitch[voiced]))
    known = np.interp(np.arange(len(frames)), np.flatnonzero(voiced), pitch[voiced])
    slow = gaussian_filter1d(np.log(known / middle), 3.0, mode="nearest")
    return middle * np.exp(FLATTENED * slow), np.where(voiced, strength, 0.0)


def _excitation(
    rng: np.random.Generator, samples: int, pitch_hz: np.ndarray, strength: np.ndarray, hop: int, rate: int
) -> np.ndarray:
    """Pulses at the pitch where speech is voiced, and noise as far as it is not: (samples,), of about unit power."""
    at, centres = np.arange(samples), np.arange(len(pitch_hz)) * hop
    hertz = np.interp(at, centres, pitch_hz)
    turns = np.floor(np.cumsum(hertz) / rate)
    pulses = np.diff(turns, prepend=turns[:1]) * np.sqrt(rate / hertz)
    share = np.interp(at, centres, strength)
    return share * pulses + np.sqrt(np.maximum(1 - share**2, 0.05)) * rng.standard_normal(samples)
