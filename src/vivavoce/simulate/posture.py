"""How the phone itself moves: on a stand, or held by a hand. It moves every path, the static ones too."""

from typing import Literal

import numpy as np
from pydantic import Field

from vivavoce.simulate.draws import Settings, Spread, lognormal_within, spread
from vivavoce.simulate.fourier import fast_size, irfft

Posture = Literal["stand", "handheld"]

# Noise is made over this time at least, so that the lowest band (0.3 Hz) holds several independent components, s.
MIN_PERIOD_S = 20.0

SWAY_HZ = (0.3, 2.5)  # DESIGN §5
TREMOR_HZ = (5.0, 12.0)  # DESIGN §5, physiological tremor
VIBRATION_HZ = (5.0, 30.0)  # floors and tables: their lowest modes


class PostureConfig(Settings):
    """Phone motion; root mean squares are per axis."""

    sway_mm: float = Field(default=1.0, ge=0, description="median hand sway, mm RMS (DESIGN §5: 0.2–5)")
    sway_sigma: float = Field(default=0.7, ge=0, le=2, description="log-normal deviation of the sway")
    sway_limits_mm: tuple[float, float] = Field(default=(0.2, 5.0), description="least and most sway, mm RMS")
    tremor_mm: float = Field(default=0.05, ge=0, description="median tremor, mm RMS (DESIGN §5: 0.008–0.18)")
    tremor_sigma: float = Field(default=0.7, ge=0, le=2, description="log-normal deviation of the tremor")
    tremor_limits_mm: tuple[float, float] = Field(default=(0.008, 0.18), description="least and most tremor, mm RMS")
    aim_cm: float = Field(default=1.5, ge=0, le=10, description="deviation of the phone from the mouth's axis, cm")
    vibration_um: Spread = Field(
        default=spread(0.2, 1.0, 5.0), description="vibration of a table or building under a stand, µm RMS"
    )


def band_noise(
    rng: np.random.Generator, frames: int, rate_hz: float, band_hz: tuple[float, float], rms: float
) -> np.ndarray:
    """Gaussian noise, flat in ``band_hz``, on three axes: (frames, 3) with expected root mean square ``rms``."""
    period = fast_size(max(frames, int(MIN_PERIOD_S * rate_hz)))
    first, last = (round(edge * period / rate_hz) for edge in band_hz)
    count = last - first + 1
    spectrum = np.zeros((3, period // 2 + 1), dtype=np.complex128)
    parts = rng.standard_normal((2, 3, count))
    spectrum[:, first : last + 1] = parts[0] + 1j * parts[1]
    # Each component contributes 4/period² to the mean square (both signs of frequency, real and imaginary part).
    scale = rms * period / np.sqrt(4.0 * count)
    return scale * irfft(spectrum, period)[:, :frames].T


def phone_motion(
    rng: np.random.Generator, posture: Posture, config: PostureConfig, frames: int, rate_hz: float
) -> np.ndarray:
    """Return the phone's displacement from rest, (frames, 3) in m: axes x (toward the mouth), y (up), z (left)."""
    if posture == "stand":
        return band_noise(rng, frames, rate_hz, VIBRATION_HZ, config.vibration_um.draw(rng) * 1e-6)
    sway = lognormal_within(rng, config.sway_mm, config.sway_sigma, *config.sway_limits_mm) * 1e-3
    tremor = lognormal_within(rng, config.tremor_mm, config.tremor_sigma, *config.tremor_limits_mm) * 1e-3
    return band_noise(rng, frames, rate_hz, SWAY_HZ, sway) + band_noise(rng, frames, rate_hz, TREMOR_HZ, tremor)
