"""Echo physics: what each scatterer in front of the phone sends back on each tone of the probe.

Every path is ``a_p e^{-j4π f r_p(t)/c}`` beside a direct path of 1, with ``a_p = F_p S_p d0 / (λ r_p²)`` and
``S_p <= πλ r_p / 2`` (the first Fresnel zone at most adds in phase). Areas, distances and losses: DESIGN §5.
Origin: the resting mouth; metres; x toward the phone, y up, z to the speaker's left.
"""

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field
from scipy.interpolate import CubicSpline

from vivavoce.signal.iq import SPEED_OF_SOUND
from vivavoce.simulate.draws import Settings, Spread, spread
from vivavoce.simulate.motion import POINTS, Motion

# Effective area of each moving point, cm² (DESIGN §5): upper lip 2, lower lip 3, corners 1.5 each, chin 10, tongue 1.
AREAS_CM2 = {
    "upper_lip": 2.0,
    "lower_lip": 3.0,
    "corner_left": 1.5,
    "corner_right": 1.5,
    "chin": 10.0,
    "tongue": 1.0,
}

# What stands still in a face: area in cm² and place in cm (DESIGN §5: 15, 10, 10, 8, 60 cm², 1–20 cm behind the lips):
# nose and upper face, both cheeks, neck, torso.
STATIC_AREAS_CM2 = (15.0, 10.0, 10.0, 8.0, 60.0)
STATIC_PLACES_CM = ((-1.0, 4.0, 0.0), (-3.0, 1.0, 4.5), (-3.0, 1.0, -4.5), (-8.0, -9.0, 0.0), (-17.0, -24.0, 0.0))

# The tongue shows itself between these lip openings, m: closed below the first, wholly seen above the second.
TONGUE_HIDDEN_M, TONGUE_SEEN_M = 0.001, 0.008


class ScatterConfig(Settings):
    """How strongly faces, loudspeakers and the room echo (DESIGN §5)."""

    reflection_db: float = Field(default=-3.0, le=0, description="median loss at a scatterer, dB")
    reflection_sigma: float = Field(default=0.3, ge=0, le=1, description="log-normal deviation of that loss")
    static_jitter: float = Field(default=0.25, ge=0, le=1, description="log-normal deviation of static places")
    clutter: int = Field(default=2, ge=0, le=8, description="reflectors of the room (desk, wall)")
    clutter_distance_m: Spread = Field(default=spread(0.4, 0.8, 2.0), description="distance of room reflectors, m")
    clutter_area_cm2: Spread = Field(default=spread(20, 60, 200), description="effective area of room reflectors, cm²")


@dataclass(frozen=True)
class Reflectors:
    """Scatterers: places (points, frames or 1, 3) in m, areas (points,) in m², loss × gate (points, frames or 1)."""

    positions_m: np.ndarray
    areas_m2: np.ndarray
    strength: np.ndarray


@dataclass(frozen=True)
class Face:
    """One speaker's scatterers: losses of the moving points (points,), and the parts that stand still."""

    moving_loss: np.ndarray
    static: Reflectors


def draw_losses(rng: np.random.Generator, config: ScatterConfig, count: int) -> np.ndarray:
    """Draw ``F_p`` of ``count`` scatterers, −3 dB ± log-normal 0.3 (DESIGN §5)."""
    return 10 ** (config.reflection_db / 20) * np.exp(config.reflection_sigma * rng.standard_normal(count))


def draw_face(rng: np.random.Generator, config: ScatterConfig) -> Face:
    """Draw one speaker's face."""
    places = np.array(STATIC_PLACES_CM) / 100
    places = places * np.exp(config.static_jitter * rng.standard_normal(places.shape))
    places[:, 0] = np.clip(places[:, 0], -0.20, -0.01)
    count = len(places)
    static = Reflectors(
        positions_m=places[:, None, :],
        areas_m2=np.array(STATIC_AREAS_CM2) * 1e-4,
        strength=draw_losses(rng, config, count)[:, None],
    )
    return Face(moving_loss=draw_losses(rng, config, len(POINTS)), static=static)


def draw_clutter(rng: np.random.Generator, config: ScatterConfig) -> Reflectors:
    """Draw the room's own reflectors, spread over all directions around the mouth."""
    count = config.clutter
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) + 1e-12
    distances = np.array([config.clutter_distance_m.draw(rng) for _ in range(count)])
    areas = np.array([config.clutter_area_cm2.draw(rng) for _ in range(count)])
    return Reflectors(
        positions_m=(directions * distances[:, None])[:, None, :],
        areas_m2=areas * 1e-4,
        strength=draw_losses(rng, config, count)[:, None],
    )


def loudspeaker_body(
    rng: np.random.Generator, config: ScatterConfig, front_m2: float, place_m: np.ndarray
) -> Reflectors:
    """Return a loudspeaker's still front: its centre at ``place_m`` and a second facet of the cabinet behind it."""
    behind = np.array([-rng.uniform(0.01, 0.05), rng.normal(0, 0.03), rng.normal(0, 0.03)])
    return Reflectors(
        positions_m=np.stack([place_m, place_m + behind])[:, None, :],
        areas_m2=np.array([0.6 * front_m2, 0.4 * front_m2]),
        strength=draw_losses(rng, config, 2)[:, None],
    )


def carried_along(reflectors: Reflectors, path_m: np.ndarray) -> Reflectors:
    """Move all of ``reflectors`` along one path (frames, 3), without turning them."""
    return replace(reflectors, positions_m=reflectors.positions_m + path_m[None])


def at_times(motion: Motion, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate a motion: positions (points, frames, 3) and lip opening (frames,); held still beyond its ends."""
    frames = motion.positions_m.shape[1]
    known = np.arange(frames) / motion.rate_hz
    inside = np.clip(times_s, known[0], known[-1])
    if frames < 2:
        return np.repeat(motion.positions_m, len(times_s), axis=1), np.repeat(motion.aperture_m, len(times_s))
    # Cubic, since the corners of straight lines would put images of the motion at multiples of its rate.
    positions = CubicSpline(known, motion.positions_m, axis=1)(inside)
    return positions, np.interp(inside, known, motion.aperture_m)


def moving_mouth(face: Face, motion: Motion, times_s: np.ndarray) -> Reflectors:
    """Return the lips, chin and tongue at ``times_s`` (frames,); the lips' opening gates the tongue's echo."""
    positions, aperture = at_times(motion, times_s)
    opening = np.clip((aperture - TONGUE_HIDDEN_M) / (TONGUE_SEEN_M - TONGUE_HIDDEN_M), 0, 1)
    strength = np.repeat(face.moving_loss[:, None], len(times_s), axis=1)
    strength[POINTS.index("tongue")] *= opening**2 * (3 - 2 * opening)
    areas = np.array([AREAS_CM2[name] for name in POINTS]) * 1e-4
    return Reflectors(positions_m=positions, areas_m2=areas, strength=strength)


def path_lengths(reflectors: Reflectors, phone_m: np.ndarray) -> np.ndarray:
    """Distance of every scatterer (points, frames) from the phone at ``phone_m`` (frames or 1, 3), m."""
    return np.linalg.norm(reflectors.positions_m - phone_m[None], axis=-1)


def echo_amplitude(area_m2: np.ndarray, lengths_m: np.ndarray, tone_hz: float, direct_m: float) -> np.ndarray:
    """``S d0 / (λ r²)`` against the direct path, with ``S <= πλ r / 2``; shapes as ``lengths_m``."""
    wavelength = SPEED_OF_SOUND / tone_hz
    area = np.minimum(area_m2, np.pi * wavelength * lengths_m / 2)
    return area * direct_m / (wavelength * lengths_m**2)


def echo(reflectors: Reflectors, phone_m: np.ndarray, tones_hz: np.ndarray, direct_m: float) -> np.ndarray:
    """Complex echo of all scatterers on each tone, against a direct path of 1.

    Args:
        reflectors: the scatterers.
        phone_m: the phone's place, (frames or 1, 3), m.
        tones_hz: (tones,), Hz.
        direct_m: length of the direct path ``d0`` from the phone's loudspeaker to its microphone, m.

    Returns:
        (tones, frames or 1) complex64.
    """
    lengths = path_lengths(reflectors, phone_m)
    area = reflectors.areas_m2[:, None]
    single = lengths.astype(np.float32)
    summed = []
    for tone in tones_hz:
        amplitude = (reflectors.strength * echo_amplitude(area, lengths, tone, direct_m)).astype(np.float32)
        phase = np.float32(-4 * np.pi * tone / SPEED_OF_SOUND) * single
        summed.append(np.sum(amplitude * np.cos(phase), axis=0) + 1j * np.sum(amplitude * np.sin(phase), axis=0))
    return np.stack(summed).astype(np.complex64)
