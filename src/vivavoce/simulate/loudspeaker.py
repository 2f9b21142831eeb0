"""A replaying loudspeaker: its band, its distortion, and the movement of its cone."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from vivavoce.simulate.draws import Settings, Spread, decibels, spread
from vivavoce.simulate.fourier import fast_size, frequencies, irfft, rfft
from vivavoce.simulate.speech import RATE_HZ, active_level

# Below this a loudspeaker that replays speech does not move: speech has nothing there (DESIGN §5: >= 80 Hz away).
CONE_LOWEST_HZ = 80.0
CONE_HIGHEST_HZ = 4000.0
CONE_AT_M = 0.10  # the distance that the published sidebands hold for


class LoudspeakerConfig(Settings):
    """What attackers replay with: from a phone's loudspeaker to a studio monitor."""

    low_hz: Spread = Field(default=spread(50, 150, 400), description="lower edge, −3 dB, Hz")
    high_hz: Spread = Field(default=spread(7_000, 15_000, 22_000), description="upper edge, −3 dB, Hz")
    second_db: Spread = Field(default=spread(-60, -45, -35), description="second harmonic at speech level, dB")
    third_db: Spread = Field(default=spread(-65, -50, -40), description="third harmonic at speech level, dB")
    resonance_hz: Spread = Field(default=spread(80, 150, 300), description="resonance of the cone, Hz")
    cone_dbc: Spread = Field(
        default=spread(-75, -70, -65),
        description="sideband of the cone at 500 Hz, 10 cm, dBc, were the voice a 500 Hz tone (DESIGN §5)",
    )
    ultrasound_high_hz: Spread = Field(
        default=spread(20_000, 22_000, 24_000), description="upper edge of one chosen to replay ultrasound, Hz"
    )


@dataclass(frozen=True)
class Loudspeaker:
    """One loudspeaker as drawn: edges in Hz, distortion as amplitude ratios, cone sideband as amplitude ratio."""

    low_hz: float
    high_hz: float
    second: float
    third: float
    resonance_hz: float
    cone: float


def draw_loudspeaker(rng: np.random.Generator, config: LoudspeakerConfig, ultrasound: bool = False) -> Loudspeaker:
    """Draw a loudspeaker; ``ultrasound``: one that reaches the probe's band."""
    return Loudspeaker(
        low_hz=config.low_hz.draw(rng),
        high_hz=(config.ultrasound_high_hz if ultrasound else config.high_hz).draw(rng),
        second=decibels(config.second_db.draw(rng)),
        third=decibels(config.third_db.draw(rng)),
        resonance_hz=config.resonance_hz.draw(rng),
        cone=decibels(config.cone_dbc.draw(rng)),
    )


def band(speaker: Loudspeaker, hertz: np.ndarray) -> np.ndarray:
    """Complex response at ``hertz``: second-order high-pass (a closed box), fourth-order low-pass."""
    low = 1j * np.maximum(hertz, 1e-3) / speaker.low_hz
    high = 1j * hertz / speaker.high_hz
    rise = low**2 / (low**2 + np.sqrt(2) * low + 1)
    # Butterworth, fourth order: two second-order sections.
    fall = 1 / ((high**2 + 0.76537 * high + 1) * (high**2 + 1.84776 * high + 1))
    return (rise * fall).astype(np.complex64)


def distort(speaker: Loudspeaker, wave: np.ndarray) -> np.ndarray:
    """Add harmonics: a sine at the voice's own active level gets the drawn second and third."""
    level = active_level(wave) * np.sqrt(2)
    if level == 0:
        return wave
    # A sine of amplitude A: A² x² / 2 is its second harmonic, A³ / 4 its third.
    square = wave * wave
    second = np.float32(2 * speaker.second / level)
    third = np.float32(4 * speaker.third / level**2)
    bent = wave + second * (square - square.mean()) - third * (square * wave)
    return bent.astype(np.float32)


def play(speaker: Loudspeaker, wave: np.ndarray) -> np.ndarray:
    """Play ``wave`` (samples,) at 48 kHz; returns what leaves the loudspeaker, (samples,) float32."""
    padded = fast_size(len(wave) + RATE_HZ // 10)
    spectrum = rfft(wave, padded) * band(speaker, frequencies(padded, RATE_HZ))
    return distort(speaker, irfft(spectrum, padded)[: len(wave)])


def cone_motion(speaker: Loudspeaker, wave: np.ndarray, distance_m: float) -> np.ndarray:
    """Modulation of the probe by the cone that plays ``wave``: (samples,), against a direct path of 1.

    Under constant sound pressure a cone moves as 1/f² above its resonance. Scaled so that a 500 Hz tone at the voice's
    active level would give the drawn sidebands at 10 cm; the echo falls as 1/r². Nothing below 80 Hz.
    """
    level = active_level(wave)
    if level == 0:
        return np.zeros_like(wave)
    padded = fast_size(len(wave) + RATE_HZ // 20)
    hertz = frequencies(padded, RATE_HZ)
    travel = 1 / (1 + (hertz / speaker.resonance_hz) ** 2)
    travel *= (1 + (500 / speaker.resonance_hz) ** 2) * (hertz >= CONE_LOWEST_HZ) * (hertz <= CONE_HIGHEST_HZ)
    moved = irfft(rfft(wave, padded) * travel.astype(np.float32), padded)[: len(wave)]
    # A factor m cos ωt on a carrier has sidebands of m/2; the tone's amplitude is √2 times the level.
    scale = 2 * speaker.cone / (np.sqrt(2) * level) * (CONE_AT_M / distance_m) ** 2
    return (np.float32(scale) * moved).astype(np.float32)
