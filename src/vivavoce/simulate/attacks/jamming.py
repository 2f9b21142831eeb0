"""Kinds whose probe cannot be read: none is played, or another device drowns it."""

import numpy as np

from vivavoce.simulate.attacks.scenes import mouth
from vivavoce.simulate.attacks.take import Take, at_phone
from vivavoce.simulate.device import Device, response
from vivavoce.simulate.draws import decibels
from vivavoce.simulate.fourier import fast_size, frequencies, irfft
from vivavoce.simulate.speech import RATE_HZ

JAM_HZ = (17_500.0, 20_500.0)
# Warbled tones, as of pest repellers: how far apart they lie, how far and how often each swings, Hz.
WARBLE_APART_HZ, WARBLE_SWING_HZ, WARBLE_RATE_HZ = (50.0, 100.0), (20.0, 60.0), (3.0, 12.0)
# A sweep over the whole band takes this long, s; no two take equally long, so that no lines of their own form.
SWEEP_S = (0.03, 0.3)


def probe_absent(take: Take) -> np.ndarray:
    """A living mouth speaks, but the phone plays nothing."""
    return at_phone(take, take.voice, None)


def probe_jammed(take: Take) -> np.ndarray:
    """A living mouth speaks and the phone plays its probe, but another device drowns it in 17.5–20.5 kHz.

    One of three, each 0–12 dB above the whole direct carrier (`attack.jam_dbc`): warbled tones every 50–100 Hz, as of
    ultrasonic pest repellers; sweeps over the band of 0.03–0.3 s, one after another; or noise in the band. Spread over
    3 kHz, that is −13 to −1 dB in the 140 Hz around a tone in which a mouth's echo would have to be seen, where each of
    eight tones has −9 dB and its echo at 10 cm −35 dB.
    """
    rng = take.rng("jam")
    level = decibels(take.config.attack.jam_dbc.draw(rng) + take.session.device.carrier_dbfs)
    make = (warbled_tones, sweeps, band_noise)[int(rng.integers(3))]
    jam = make(rng, len(take.voice))
    jam *= np.float32(level / np.sqrt(np.mean(np.square(jam, dtype=np.float64))) / _gain(take.session.device))
    return at_phone(take, take.voice, mouth, jam=jam)


def warbled_tones(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Sum of tones over the whole band, each swinging about its frequency; (samples,) float32."""
    places = JAM_HZ[0] + np.cumsum(rng.uniform(*WARBLE_APART_HZ, int((JAM_HZ[1] - JAM_HZ[0]) / WARBLE_APART_HZ[0])))
    places = places[places < JAM_HZ[1]]
    time = np.arange(samples) / RATE_HZ
    wave = np.zeros(samples, dtype=np.float32)
    for hertz in places:  # one tone a turn: all at once would take 60 times the memory
        swing, rate, phase = rng.uniform(*WARBLE_SWING_HZ), rng.uniform(*WARBLE_RATE_HZ), rng.uniform(0, 2 * np.pi, 2)
        angle = 2 * np.pi * hertz * time + swing / rate * np.sin(2 * np.pi * rate * time + phase[0]) + phase[1]
        wave += np.cos(angle.astype(np.float64) % (2 * np.pi)).astype(np.float32)
    return wave


def sweeps(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Sweeps through the band, up and down and each of its own length; (samples,) float32."""
    seconds = rng.uniform(*SWEEP_S, int(samples / RATE_HZ / SWEEP_S[0]) + 2)
    ends = np.cumsum(seconds)
    turning = np.where(np.arange(len(ends) + 1) % 2 == 0, *JAM_HZ)
    time = np.arange(samples) / RATE_HZ
    hertz = np.interp(time, np.concatenate([[0.0], ends]), turning)
    return np.cos(2 * np.pi * np.cumsum(hertz) / RATE_HZ + rng.uniform(0, 2 * np.pi)).astype(np.float32)


def band_noise(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Gaussian noise in the band; (samples,) float32."""
    size = fast_size(samples)
    hertz = frequencies(size, RATE_HZ)
    first, last = np.searchsorted(hertz, JAM_HZ)
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex64)
    parts = rng.standard_normal((2, last - first), dtype=np.float32)
    spectrum[first:last] = parts[0] + 1j * parts[1]
    return irfft(spectrum, size)[:samples]


def _gain(device: Device) -> float:
    """RMS of the microphone's response over the band that is jammed."""
    return float(np.sqrt(np.mean(response(device, np.linspace(*JAM_HZ, 61)).astype(np.float64) ** 2)))
