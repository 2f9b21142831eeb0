"""A replaying loudspeaker of one of eight sizes: its band, its distortion, and the movement of its cone."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from vivavoce.simulate.draws import Settings, Spread, decibels, spread
from vivavoce.simulate.fourier import fast_size, frequencies, irfft, rfft
from vivavoce.simulate.speech import RATE_HZ, active_level

# Below this a loudspeaker that replays speech does not move: speech has nothing there (DESIGN §5: >= 80 Hz away).
CONE_LOWEST_HZ = 80.0
CONE_HIGHEST_HZ = 4000.0
CONE_AT_M = 0.10  # the distance that the published sidebands hold for
# Upper edge of one that an attacker chose to replay ultrasound with, −3 dB.
ULTRASOUND_HZ = spread(20_000, 22_000, 24_000)

SizeName = Literal["tablet", "phone", "smart_speaker", "laptop", "studio_monitor", "bookshelf", "pa", "television"]


class LoudspeakerSize(Settings):
    """What loudspeakers of one size have in common."""

    low_hz: Spread = Field(description="lower edge, −3 dB, Hz")
    high_hz: Spread = Field(description="upper edge, −3 dB, Hz")
    second_db: Spread = Field(description="second harmonic at speech level, dB")
    third_db: Spread = Field(description="third harmonic at speech level, dB")
    resonance_hz: Spread = Field(description="resonance of the cone, Hz")
    cone_dbc: Spread = Field(
        description="sideband of the cone at 500 Hz, 10 cm, dBc, were the voice a 500 Hz tone (DESIGN §5: −65…−75)"
    )
    front_cm2: Spread = Field(description="effective area of the still front, cm²")


# Band, distortion at speech level near the phone, resonance, cone sideband and front, each lowest / typical / highest.
# Bands and resonances are those of data sheets: micro-speakers resonate at 600–1000 Hz and cannot go lower, woofers of
# 5 to 12 inches at 40–80 Hz. Distortion at one loudness falls with size, as excursion does. So do the cone's sidebands:
# a larger cone moves less for the same sound, while of its front no more than the first Fresnel zone (27 cm² at 10 cm)
# sends the probe back; small ones gain as much area as they lose excursion. The order deals the halves: even numbers
# are seen in training, odd ones are not, each half from small to large.
_TABLE = """
tablet           200  350   600    9000 14000 18000   -48 -40 -30   -52 -44 -34   400 600  900   -71 -68 -65   20 40  80
phone            300  450   800    8000 13000 17000   -45 -36 -26   -50 -40 -30   600 800 1000   -70 -67 -65   10 25  50
smart_speaker     60  100   180   12000 16000 20000   -52 -44 -36   -56 -48 -40    70 100  160   -72 -70 -67   15 35  60
laptop           180  280   450    8000 12000 17000   -48 -40 -30   -52 -44 -34   300 500  800   -72 -69 -66   20 45  90
studio_monitor    38   48    65   18000 20000 22000   -66 -58 -50   -70 -62 -54    40  50   70   -75 -73 -71   40 70 120
bookshelf         45   60    90   15000 18000 22000   -62 -54 -46   -66 -58 -50    50  65  100   -75 -72 -70   35 60 110
pa                45   55    75   14000 16000 19000   -62 -54 -46   -66 -58 -50    45  60   80   -75 -74 -73   60 90 150
television        90  140   220    7000 12000 16000   -54 -46 -36   -58 -50 -40   100 160  250   -74 -71 -68   25 50 100
"""


def _read_table() -> dict[SizeName, LoudspeakerSize]:
    fields = tuple(LoudspeakerSize.model_fields)
    sizes: dict[SizeName, LoudspeakerSize] = {}
    for line in _TABLE.strip().split("\n"):
        name, *cells = line.split()
        values = np.array(cells, dtype=float).reshape(len(fields), 3).tolist()
        size = {field: spread(*value) for field, value in zip(fields, values, strict=True)}
        sizes[next(known for known in get_args(SizeName) if known == name)] = LoudspeakerSize(**size)
    return sizes


SIZES = _read_table()


@dataclass(frozen=True)
class Loudspeaker:
    """One loudspeaker as drawn: edges in Hz, distortion and cone sideband as amplitude ratios, front in m²."""

    size: SizeName
    low_hz: float
    high_hz: float
    second: float
    third: float
    resonance_hz: float
    cone: float
    front_m2: float


def draw_loudspeaker(rng: np.random.Generator, size: SizeName, ultrasound: bool = False) -> Loudspeaker:
    """Draw a loudspeaker of a size; ``ultrasound``: with a tweeter that reaches the probe's band."""
    ranges = SIZES[size]
    return Loudspeaker(
        size=size,
        low_hz=ranges.low_hz.draw(rng),
        high_hz=(ULTRASOUND_HZ if ultrasound else ranges.high_hz).draw(rng),
        second=decibels(ranges.second_db.draw(rng)),
        third=decibels(ranges.third_db.draw(rng)),
        resonance_hz=ranges.resonance_hz.draw(rng),
        cone=decibels(ranges.cone_dbc.draw(rng)),
        front_m2=ranges.front_cm2.draw(rng) * 1e-4,
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
