"""A loudspeaker that is moved: a rigid body of facets that runs back and forth, turns and nods."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vivavoce.signal.iq import SPEED_OF_SOUND
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.posture import band_noise
from vivavoce.simulate.recording import FACTOR_RATE_HZ
from vivavoce.simulate.scatter import Reflectors, draw_losses
from vivavoce.simulate.speech import RATE_HZ

# A waving forearm rarely exceeds 1 m/s; an RMS of 0.35 m/s is that at a peak of nearly three times the RMS.
MOST_SPEED = 0.35
NEAREST_M = 0.03  # the body never touches the phone
TURN_DEG = (4.0, 20.0)  # RMS of turning and nodding
BAND = (0.7, 1.4)  # of the rate: one waves regularly, yet never like a clock
# Facets: direction they face when the body looks at the phone (turned, nodded; degrees), share of the front's area,
# and place in the body, m: the front, two sides, the top, as of a head or a box.
FACING_DEG = np.array([[0.0, 0.0], [35.0, 0.0], [-35.0, 0.0], [0.0, 30.0]])
SHARES = np.array([0.5, 0.2, 0.2, 0.1])
PLACES_M = np.array([[0.0, 0.0, 0.0], [-0.02, 0.0, 0.05], [-0.02, 0.0, -0.05], [-0.02, 0.06, 0.0]])
FACET_M = (0.01, 0.03)  # edge of what is flat of a facet: heads and boxes are rounded
FADED = 0.1  # a facet turned away still scatters from its edges
# A motion that follows the voice: the loudness below this frequency, that much later, and its share of the amplitude.
FOLLOWS_HZ, FOLLOWS_S, FOLLOWS_SHARE = 4.0, (0.05, 0.30), 0.7
TONE_HZ = 19_000.0  # middle of the probe's band, for how sharply a facet reflects


def moved_body(
    rng: np.random.Generator,
    config: SimulationConfig,
    front_m2: float,
    distance_m: float,
    voice: np.ndarray,
    times_s: np.ndarray,
) -> tuple[Reflectors, np.ndarray]:
    """Wave a loudspeaker with a front of ``front_m2`` around the mouth's place, ``distance_m`` from the phone.

    Args:
        rng: source of randomness.
        config: the simulation; `attack.wave_*` and the losses of scatterers count.
        front_m2: area of the front.
        distance_m: how far the phone is.
        voice: (samples,) at 48 kHz, which some motions follow.
        times_s: (frames,) against the recording's first sample, at `FACTOR_RATE_HZ`.

    Returns:
        Four facets, and the path of the body's centre, (frames, 3) in m.
    """
    attack, frames = config.attack, len(times_s)
    rate_hz = attack.wave_hz.draw(rng)
    extent = min(attack.wave_cm.draw(rng) / 100, MOST_SPEED / (2 * np.pi * rate_hz))
    band = (BAND[0] * rate_hz, BAND[1] * rate_hz)
    path = band_noise(rng, frames, FACTOR_RATE_HZ, band, extent)
    turned = np.radians(band_noise(rng, frames, FACTOR_RATE_HZ, band, rng.uniform(*TURN_DEG))[:, :2])
    if rng.random() < attack.wave_with_voice_share:
        follows = _loudness(voice, times_s - rng.uniform(*FOLLOWS_S))
        path = np.sqrt(1 - FOLLOWS_SHARE**2) * path + extent * FOLLOWS_SHARE * np.outer(follows, [1, 0.5, 0])
    # The reach is soft: near a close phone a hand moves less.
    reach = max(distance_m - NEAREST_M, 0.3 * distance_m)
    size = np.linalg.norm(path, axis=1, keepdims=True) / reach
    path = path * np.tanh(size) / np.maximum(size, 1e-9)
    places = path[None] + np.stack([_rotated(place, turned) for place in PLACES_M])
    facing = np.radians(FACING_DEG)[:, None] + turned[None]
    away = np.sin(np.arccos(np.clip(np.cos(facing[..., 0]) * np.cos(facing[..., 1]), -1, 1)))
    # A flat facet of edge a reflects back as sinc(2 a sin θ / λ): its two-way aperture.
    edges = rng.uniform(*FACET_M, (len(SHARES), 1))
    gain = np.maximum(np.abs(np.sinc(2 * edges * away * TONE_HZ / SPEED_OF_SOUND)), FADED)
    strength = draw_losses(rng, config.scatter, len(SHARES))[:, None] * gain
    return Reflectors(places, SHARES * front_m2, strength), path


def _rotated(place_m: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Turn a place of the body (3,) about the up axis and nod it about the left one, by (frames, 2); (frames, 3)."""
    x, y, z = place_m
    turn, nod = turned.T
    forward = x * np.cos(nod) - y * np.sin(nod)
    up = x * np.sin(nod) + y * np.cos(nod)
    return np.stack([forward * np.cos(turn) + z * np.sin(turn), up, z * np.cos(turn) - forward * np.sin(turn)], axis=1)


def _loudness(voice: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Slow loudness of a voice at ``times_s`` (frames,), of mean 0 and RMS 1; silence gives zeros."""
    step = round(RATE_HZ / 100)
    blocks = np.sqrt(np.mean(np.square(np.pad(voice, (0, -len(voice) % step)).reshape(-1, step)), axis=1))
    slow = gaussian_filter1d(blocks.astype(np.float64), 100 / (2 * np.pi * FOLLOWS_HZ), mode="nearest")
    slow -= slow.mean()
    slow /= max(float(np.sqrt(np.mean(slow**2))), 1e-9)
    # Held at the ends; a cubic would be smoother, but 100 Hz of a 4 Hz motion has no corners to speak of.
    return np.interp(times_s, (np.arange(len(slow)) + 0.5) / 100, slow)
