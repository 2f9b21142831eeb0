"""Where the phone is and how it moves: on a stand, flat on a table, in a hand, or held to the ear."""

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from vivavoce.simulate.draws import Settings, Spread, lognormal_within, spread
from vivavoce.simulate.fourier import fast_size, irfft

Posture = Literal["stand", "table", "handheld", "ear"]

# Noise is made over this time at least, so that the lowest band (0.3 Hz) holds several independent components, s.
MIN_PERIOD_S = 20.0

SWAY_HZ = (0.3, 2.5)  # DESIGN §5
TREMOR_HZ = (5.0, 12.0)  # DESIGN §5, physiological tremor
VIBRATION_HZ = (5.0, 30.0)  # floors and tables: their lowest modes

# Direction of the phone as seen from the mouth, degrees: round to the speaker's side, and up.
TABLE_AROUND, TABLE_UP = (-20.0, 20.0), (-60.0, -35.0)  # flat on a table, the speaker bends over it
EAR_AROUND, EAR_UP = (50.0, 75.0), (-25.0, 5.0)  # its lower end beside the cheek


class PostureShares(Settings):
    """How phones are held: shares of sessions, against each other; one posture's name alone stands for all of them."""

    stand: float = Field(default=0.4, ge=0, description="on a stand before the mouth")
    table: float = Field(default=0.1, ge=0, description="flat on a table, 25–40 cm away and below")
    handheld: float = Field(default=0.4, ge=0, description="in a hand before the mouth")
    ear: float = Field(default=0.1, ge=0, description="held to the ear, its lower end 8–14 cm beside the mouth")

    @classmethod
    def only(cls, posture: Posture) -> "PostureShares":
        """Give all sessions one posture."""
        return cls.model_validate(posture)

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, str) and value in get_args(Posture):
            return dict.fromkeys(get_args(Posture), 0.0) | {value: 1.0}
        return value

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not sum(self.model_dump().values()) > 0:
            raise ValueError("one of the postures needs a share above 0")
        return self

    def draw(self, rng: np.random.Generator) -> Posture:
        """Choose one."""
        names: tuple[Posture, ...] = get_args(Posture)
        shares = np.array([getattr(self, name) for name in names])
        return names[int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum(), side="right"))]


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
    table_cm: Spread = Field(default=spread(25, 32, 40), description="from mouth to a phone flat on a table, cm")
    ear_cm: Spread = Field(default=spread(8, 11, 14), description="from mouth to the lower end at the ear, cm")
    ear_sway_mm: Spread = Field(
        default=spread(0.03, 0.1, 0.3), description="motion against the head at the ear, mm RMS: the hand rests on it"
    )
    head_sway_mm: Spread = Field(
        default=spread(0.3, 1.0, 4.0), description="motion of head and phone together at the ear, mm RMS"
    )


@dataclass(frozen=True)
class PhonePath:
    """The phone in front of a scene: ``rest_m`` (3,), and motions (frames, 3) in m along three axes.

    ``own_m`` is its motion against what stands before it, ``carried_m`` (frames or 1, 3) what it shares with that, as
    with the head at the ear. ``axes`` (3, 3) holds the axes as rows, in the scene's coordinates: first along the line
    of sight away from the mouth, then up, then to the left.
    """

    rest_m: np.ndarray
    own_m: np.ndarray
    carried_m: np.ndarray
    axes: np.ndarray

    @property
    def before_scene_m(self) -> np.ndarray:
        """Place against what stands before it, (frames, 3), scene coordinates."""
        return self.rest_m + self.own_m @ self.axes

    @property
    def in_room_m(self) -> np.ndarray:
        """Place in the room, (frames, 3), scene coordinates."""
        return self.rest_m + (self.own_m + self.carried_m) @ self.axes


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


def hand_motion(rng: np.random.Generator, config: PostureConfig, frames: int, rate_hz: float) -> np.ndarray:
    """Sway and tremor of a hand that holds something, (frames, 3) in m."""
    sway = lognormal_within(rng, config.sway_mm, config.sway_sigma, *config.sway_limits_mm) * 1e-3
    tremor = lognormal_within(rng, config.tremor_mm, config.tremor_sigma, *config.tremor_limits_mm) * 1e-3
    return band_noise(rng, frames, rate_hz, SWAY_HZ, sway) + band_noise(rng, frames, rate_hz, TREMOR_HZ, tremor)


def phone_path(
    rng: np.random.Generator, posture: Posture, distance_m: float, config: PostureConfig, frames: int, rate_hz: float
) -> PhonePath:
    """Draw where a phone ``distance_m`` from the mouth is and how it moves for ``frames``."""
    direction = _direction(rng, posture, distance_m, config)
    up = np.array([0.0, 1.0, 0.0]) - direction[1] * direction
    up /= np.linalg.norm(up)
    carried = np.zeros((1, 3))
    if posture == "handheld":
        own = hand_motion(rng, config, frames, rate_hz)
    elif posture == "ear":
        own = band_noise(rng, frames, rate_hz, SWAY_HZ, config.ear_sway_mm.draw(rng) * 1e-3)
        carried = band_noise(rng, frames, rate_hz, SWAY_HZ, config.head_sway_mm.draw(rng) * 1e-3)
    else:
        own = band_noise(rng, frames, rate_hz, VIBRATION_HZ, config.vibration_um.draw(rng) * 1e-6)
    return PhonePath(distance_m * direction, own, carried, np.stack([direction, up, np.cross(direction, up)]))


def _direction(rng: np.random.Generator, posture: Posture, distance_m: float, config: PostureConfig) -> np.ndarray:
    """Unit vector (3,) from the mouth to the phone."""
    if posture in ("stand", "handheld"):
        toward = np.array([distance_m, *rng.normal(0, config.aim_cm / 100, 2)])
        return toward / np.linalg.norm(toward)
    sides, rises = (TABLE_AROUND, TABLE_UP) if posture == "table" else (EAR_AROUND, EAR_UP)
    side = float(rng.choice((-1.0, 1.0)))
    around, up = np.radians(rng.uniform(*sides)) * side, np.radians(rng.uniform(*rises))
    return np.array([np.cos(up) * np.cos(around), np.sin(up), np.cos(up) * np.sin(around)])
