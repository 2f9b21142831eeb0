"""Recordings with one thing taken out or put in, for the audit of shortcuts; each function is one such change."""

import numpy as np
import scipy.signal
import torch

from vivavoce.features.splicing import BandSplit
from vivavoce.simulate.device import CONTROL_S, DeviceConfig, GainControl, draw_response, gain_curve_db
from vivavoce.simulate.loudspeaker import SIZES, draw_loudspeaker, play
from vivavoce.simulate.speech import active_level

Tones = tuple[float, ...]

# The mouth's Doppler stays within ±70 Hz (DESIGN §5: 54 Hz at most at 20 kHz); tones are 200 Hz apart at least.
KEPT_HZ, GONE_HZ = 75.0, 98.0
STOP_BAND_DB = 85.0
ULTRASOUND_HZ = 17_000.0
# Far below any voice, far above nothing: what a microphone hears in a quiet room.
SILENCE_DBFS = -75.0
# All of what gain controls have (DESIGN §5: 0–12 dB), and from a whisper on.
STRONG = GainControl(range_db=12.0, threshold_dbfs=-40.0, attack_s=0.005, release_s=0.1)
SEGMENT_S = 0.1
NOISE_OFF_HZ = (95.0, 300.0)


def carriers(wave: np.ndarray, rate: int, tones_hz: Tones) -> np.ndarray:
    """What stands still of the probe in a recording ``(samples,)``: each tone with one amplitude, phase, frequency.

    The frequency is read from how its phase advances over the recording: clocks are off by some 0.01 Hz, which would
    leave the carrier standing over its own echo.
    """
    time = np.arange(len(wave)) / rate
    tones = np.asarray(tones_hz, dtype=float)
    size = round(SEGMENT_S * rate)
    starts = np.arange(0, len(wave) - size + 1, size // 2)
    window = np.hanning(size)
    # One phasor for each segment and tone.
    within = np.exp(-2j * np.pi * np.outer(tones, np.arange(size)) / rate) * window
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(float), size)[starts]
    phasors = (frames @ within.T) * np.exp(-2j * np.pi * np.outer(starts / rate, tones))
    phase = np.unwrap(np.angle(phasors), axis=0)
    slope = np.polyfit((starts + size / 2) / rate, phase, 1)[0] / (2 * np.pi) if len(starts) > 1 else 0.0
    angle = 2 * np.pi * np.outer(time, tones + slope)
    basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    # Tones hardly overlap over the length of a recording, but its first and last period count.
    weights = np.linalg.solve(basis.T @ basis, basis.T @ wave)
    return basis @ weights


def between_tones_removed(wave: np.ndarray, rate: int, tones_hz: Tones) -> np.ndarray:
    """Keep ±75 Hz around each tone of the band above 17 kHz, and nothing from ±98 Hz on; ``(samples,)``.

    The carriers stay out of the filter, so that its ends do not cut into them.
    """
    still = carriers(wave, rate, tones_hz)
    rest = wave - still
    reach = int(np.ceil((STOP_BAND_DB - 8) / (2.285 * 2 * np.pi * (GONE_HZ - KEPT_HZ) / rate) / 2))
    lag = np.arange(-reach, reach + 1) / rate
    window = np.kaiser(2 * reach + 1, 0.1102 * (STOP_BAND_DB - 8.7))

    def low_pass(cutoff_hz: float) -> np.ndarray:
        taps = np.sinc(2 * cutoff_hz * lag) * window
        return taps / taps.sum()

    comb = low_pass((KEPT_HZ + GONE_HZ) / 2) * 2 * np.cos(2 * np.pi * np.outer(tones_hz, lag)).sum(axis=0)
    below = low_pass(ULTRASOUND_HZ)
    return scipy.signal.oaconvolve(rest, below + comb, mode="same") + still


def gain_controlled(wave: np.ndarray, rate: int, control: GainControl = STRONG) -> np.ndarray:
    """Let a gain control hear the voice and turn the recording down and up, probe and voice alike; ``(samples,)``.

    It hears the voice alone, which writes the voice's envelope into the probe most clearly.
    """
    curve = 10 ** (gain_curve_db(control, bands(wave, rate)[0], rate) / 20)
    at = np.arange(len(wave)) / round(CONTROL_S * rate)
    return wave * np.interp(at, np.arange(len(curve)), curve)


def voice_silenced(wave: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Put noise at -75 dBFS in place of the voice band; ``(samples,)``."""
    silence = 10 ** (SILENCE_DBFS / 20) * rng.standard_normal(len(wave))
    return bands(wave, rate)[1] + bands(silence, rate)[0]


def echo_silenced(wave: np.ndarray, rate: int, tones_hz: Tones, rng: np.random.Generator) -> np.ndarray:
    """Put carriers that nothing moves before, and the recording's own noise, in place of the ultrasound band."""
    noise = np.sqrt(noise_density(wave, rate, tones_hz) * rate / 2) * rng.standard_normal(len(wave))
    return bands(wave, rate)[0] + carriers(wave, rate, tones_hz) + bands(noise, rate)[1]


def coloured(wave: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Pass the voice band through an attacker's recorder and loudspeaker, at its own level; the echo stays.

    Not through another room: the voice remains in step with its mouth.
    """
    voice, echo = bands(wave, rate)
    hertz = np.fft.rfftfreq(len(voice), 1 / rate)
    recorder = 10 ** (np.interp(hertz, *draw_response(rng, DeviceConfig(), rate)) / 20)
    heard = np.fft.irfft(np.fft.rfft(voice) * recorder, n=len(voice))
    loudspeaker = draw_loudspeaker(rng, tuple(SIZES)[int(rng.integers(len(SIZES)))])
    played = play(loudspeaker, heard.astype(np.float32))
    level = active_level(voice.astype(np.float32)) / max(active_level(played), 1e-9)
    return bands(level * played, rate)[0] + echo


def respliced(wave: np.ndarray, rate: int) -> np.ndarray:
    """Split a recording and join it again, as all spliced negatives are."""
    voice, echo = bands(wave, rate)
    return voice + echo


def bands(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Voice band and ultrasound band of ``(samples,)``."""
    split = _splits.setdefault(rate, BandSplit(rate))
    voice, echo = split(torch.from_numpy(np.asarray(wave, dtype=np.float32))[None], torch.tensor([len(wave)]))
    return voice[0].numpy(), echo[0].numpy()


_splits: dict[int, BandSplit] = {}


def noise_density(wave: np.ndarray, rate: int, tones_hz: Tones) -> float:
    """Median power density beside the tones, beyond their Doppler bands, full scale² per Hz."""
    hertz, density = scipy.signal.welch(wave, rate, window="blackmanharris", nperseg=min(len(wave), rate // 8))
    apart = np.abs(hertz[:, None] - np.asarray(tones_hz)).min(axis=1)
    return float(np.median(density[(apart > NOISE_OFF_HZ[0]) & (apart < NOISE_OFF_HZ[1])]))
