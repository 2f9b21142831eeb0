"""The moving mouth: from phonemes in time to points of lips, chin and tongue, one speaker's way.

Each phoneme pulls jaw, lips and tongue tip towards its targets; how the pulls blend in time is the family's:

- ``table`` (the default): targets of each phoneme from a table (targets.py); each holds over the inner half of its
  phoneme and falls as a Gaussian, and what overlaps blends by dominance (Cohen & Massaro 1993);
- ``features``: targets by rule from phonological features, exponential dominance (articulation_features.py);
- ``tasks``: gestural scores that drive critically damped springs (articulation_tasks.py).

The others are there to judge a detector by mouths that its training did not know. Nothing here sees the audio.
Coordinates: origin at the resting mouth's centre, metres; x forward, y up, z to the speaker's left.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vivavoce.simulate import articulation_features, articulation_tasks
from vivavoce.simulate.articulation_config import GROUP, ArticulationConfig, Gestures, SpeakerArticulation
from vivavoce.simulate.motion import RATE_HZ, Motion
from vivavoce.simulate.phonemes import DIPHTHONGS, NUCLEUS_SHARE, SILENCE, Phone
from vivavoce.simulate.targets import CHANNELS, DOMINANCE, PHONEME_INDEX, TARGETS_MM

# Targets in mm and dominances, (phonemes, channels) each, of the families.
_TABLES = {
    "table": (TARGETS_MM, DOMINANCE),
    "features": (articulation_features.TARGETS_MM, articulation_features.DOMINANCE),
    "tasks": (articulation_tasks.TARGETS_MM, articulation_tasks.DOMINANCE),
}
_SOFT_CONTACT_MM = 0.6  # the lips' flesh gives way over about this much (Löfqvist & Gracco 1997: 1–2 mm compression)
_PAUSE_S = 0.2  # a silence at least this long is a pause in which the mouth prepares what comes


def draw_speaker(rng: np.random.Generator, config: ArticulationConfig | None = None) -> SpeakerArticulation:
    """Draw a speaker: moderate scatter around the targets that all speakers share (DESIGN §5)."""
    config = config or ArticulationConfig()
    channels = len(CHANNELS)
    table, dominance = _TABLES[config.family]
    span = table.std(axis=0)
    # Big movers are big in all channels, so half of the variance is common.
    gain = np.exp(config.gain_sd * (rng.standard_normal() + rng.standard_normal(channels)) / np.sqrt(2))
    own = rng.standard_normal(table.shape) * config.phoneme_sd * span
    # A closure or a labiodental contact is a contact for everyone: who insists on a target does not stray from it.
    own *= _closeness(dominance)
    offset = rng.standard_normal(channels) * config.offset_sd_mm
    offset[1] = 0.0  # lips that meet, meet at zero opening whatever the posture
    return SpeakerArticulation(
        targets_mm=config.size * gain * (table + own) + offset,
        span_mm=config.size * gain * span,
        width_s=1e-3 * rng.uniform(*config.width_ms) * rng.uniform(0.9, 1.1, size=3),
        lead_s=1e-3 * rng.uniform(*config.lead_ms) + 1e-3 * rng.normal(0.0, 5.0, size=3),
        # Upper against lower lip: 6.7 to 16 cm/s at p99 (DESIGN §5).
        upper_share=float(rng.uniform(0.06, 0.22)),
        head_scale=float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12)),
        asymmetry=float(rng.normal(0.0, 0.06)),
        config=config,
    )


def articulate(
    phones: Sequence[Phone], duration_s: float, speaker: SpeakerArticulation, rng: np.random.Generator
) -> Motion:
    """Move a mouth through ``phones`` for ``duration_s`` seconds at 200 Hz.

    The result differs from call to call by the token scatter, timing and residual drawn from ``rng``; phones outside
    the duration are ignored, and without any the mouth rests (residual movement only).
    """
    frames = max(1, round(duration_s * RATE_HZ))
    channels_mm = _gestures(phones, duration_s, frames, speaker, rng) + _residual(frames, speaker.config, rng)
    sigma = 1e-3 * speaker.config.smooth_ms * RATE_HZ
    if sigma > 0:
        channels_mm = gaussian_filter1d(channels_mm, sigma, axis=0, mode="nearest")
    return _points(channels_mm, speaker)


def _closeness(dominance: np.ndarray) -> np.ndarray:
    """Tell by how much targets may scatter: those insisted on (closures, contacts) less than others."""
    return np.where(dominance >= 0.85, 0.4, 1.0)


def _gestures(
    phones: Sequence[Phone], duration_s: float, frames: int, speaker: SpeakerArticulation, rng: np.random.Generator
) -> np.ndarray:
    """Move the articulators through the phonemes, by the speaker's family: (frames, channels) in mm."""
    index, start, end = _score(phones, duration_s, speaker.config, rng)
    targets = speaker.targets_mm[index]
    closeness = _closeness(_TABLES[speaker.config.family][1][index])
    targets = targets + rng.standard_normal(targets.shape) * speaker.config.token_sd * speaker.span_mm * closeness
    return _BLENDS[speaker.config.family](Gestures(index, start, end, targets), frames, speaker, rng)


def _blend(gestures: Gestures, frames: int, speaker: SpeakerArticulation, rng: np.random.Generator) -> np.ndarray:
    """Blend the targets of the table by dominance: (frames, channels) in mm."""
    start, end, targets, index = gestures.start_s, gestures.end_s, gestures.targets_mm, gestures.index
    count = len(index)
    jitter = 1e-3 * speaker.config.timing_sd_ms * rng.standard_normal((3, count, 1))
    middle = ((start + end) / 2)[:, None] - speaker.lead_s[:, None, None] + jitter
    # Full strength over the inner half of the phoneme, then a Gaussian fall whose width is the speaker's.
    half = ((end - start) / 4)[:, None]
    reach = np.exp(speaker.config.width_sd * rng.standard_normal((3, count, 1)))
    width = speaker.width_s[:, None, None] * reach + half
    time = np.arange(frames) / RATE_HZ
    outside = np.maximum(np.abs(time - middle) - half, 0.0) / width  # (groups, phones, frames)
    # The floor keeps the quotient defined where no phoneme reaches.
    pull = np.exp(-np.minimum(outside * outside, 60.0)) + 1e-30
    strength = DOMINANCE[index] * np.exp(0.2 * rng.standard_normal((count, len(CHANNELS))))
    blended = np.empty((frames, len(CHANNELS)))
    for group in range(3):
        own = group == GROUP
        weight = strength[:, own]
        blended[:, own] = (pull[group].T @ (weight * targets[:, own])) / (pull[group].T @ weight)
    return blended


_BLENDS = {"table": _blend, "features": articulation_features.blend, "tasks": articulation_tasks.blend}


def _score(
    phones: Sequence[Phone], duration_s: float, config: ArticulationConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn phones into gestures: table index, start, end (gestures,); diphthongs split, pauses end before speech."""
    rows: list[tuple[str, float, float]] = []
    for phone in phones:
        start, end = max(0.0, phone.start_s), min(duration_s, phone.end_s)
        if end <= start:
            continue
        nucleus, glide = DIPHTHONGS.get(phone.name, (phone.name, None))
        if glide is None:
            rows.append((nucleus, start, end))
        else:
            turn = start + NUCLEUS_SHARE * (end - start)
            rows += [(nucleus, start, turn), (glide, turn, end)]
    if not rows:
        rows = [(SILENCE, 0.0, duration_s)]
    if rows[0][0] != SILENCE and rows[0][1] > 0:
        rows.insert(0, (SILENCE, 0.0, rows[0][1]))
    if rows[-1][0] != SILENCE and rows[-1][2] < duration_s:
        rows.append((SILENCE, rows[-1][2], duration_s))
    index = np.array([PHONEME_INDEX.get(name, 0) for name, _, _ in rows])
    start = np.array([row[1] for row in rows])
    end = np.array([row[2] for row in rows])
    # The mouth takes its place for the first sound while the pause still lasts (DESIGN §5: 100–300 ms ahead).
    pause = np.flatnonzero((index[:-1] == 0) & (index[1:] != 0) & (end[:-1] - start[:-1] >= _PAUSE_S))
    lead = 1e-3 * rng.uniform(*config.onset_lead_ms, size=len(pause))
    meet = end[pause] - np.minimum(lead, 0.6 * (end[pause] - start[pause]))
    end[pause] = meet
    start[pause + 1] = meet
    return index, start, end


def _residual(frames: int, config: ArticulationConfig, rng: np.random.Generator) -> np.ndarray:
    """Draw movement that is no speech (breath, swallowing, drift): (frames, channels) in mm, band-limited."""
    # Longer than asked, so that a short utterance too holds the slow end; a power of two for the FFT.
    size = 1 << int(np.ceil(np.log2(frames + 2 * RATE_HZ)))
    frequency = np.fft.rfftfreq(size, 1 / RATE_HZ)
    low, high = config.residual_hz
    band = (frequency >= low) & (frequency <= high)
    # Power falls as 1/f: drift outweighs quick movement.
    shape = np.where(band, 1.0 / np.sqrt(np.maximum(frequency, low)), 0.0)
    spectrum = shape[:, None] * (
        rng.standard_normal((len(frequency), len(CHANNELS))) + 1j * rng.standard_normal((len(frequency), len(CHANNELS)))
    )
    noise = np.fft.irfft(spectrum, n=size, axis=0)
    noise = config.residual_mm * size / (2 * np.sqrt(np.sum(shape**2))) * noise[:frames]
    noise[:, 1] = 0.6 * noise[:, 0] + 0.8 * noise[:, 1]  # a drifting jaw takes the lower lip along
    return noise


def _points(channels_mm: np.ndarray, speaker: SpeakerArticulation) -> Motion:
    """Place the articulators in the head: channels (frames, channels) in mm to points in metres."""
    jaw, aperture, protrusion, spread, tip_height, tip_front = channels_mm.T
    # Contact: the opening stays at zero while the lips press, smoothly.
    opening = _SOFT_CONTACT_MM * np.logaddexp(0.0, aperture / _SOFT_CONTACT_MM)
    pressed = opening - aperture  # mm of virtual overlap that the flesh takes up
    upper = speaker.upper_share * opening
    lower = opening - upper
    zero = np.zeros_like(jaw)
    side = np.array([1.0 + speaker.asymmetry, 1.0 - speaker.asymmetry])
    # Rest positions: adult lip and chin anthropometry, rounded (Farkas 1994: mouth width 50–54 mm, stomion to gnathion
    # 40–45 mm; the chin's reflecting boss lies above gnathion).
    points = np.stack(
        [
            np.stack([0.8 * protrusion, 4.0 + upper, zero], -1),
            # The jaw turns about its joint: lip and chin go back as they go down, 0.25 mm and 0.35 mm a mm.
            np.stack([protrusion - 0.25 * jaw, -4.0 - lower + 0.1 * pressed, zero], -1),
            np.stack([-8.0 + 0.4 * protrusion - 0.2 * spread, -0.3 * lower, side[0] * (25.0 + spread)], -1),
            np.stack([-8.0 + 0.4 * protrusion - 0.2 * spread, -0.3 * lower, -side[1] * (25.0 + spread)], -1),
            np.stack([-4.0 - 0.35 * jaw, -35.0 - jaw, zero], -1),
            np.stack([-14.0 + tip_front, -8.0 + tip_height, zero], -1),
        ]
    )
    return Motion(RATE_HZ, speaker.head_scale * points * 1e-3, speaker.head_scale * opening * 1e-3)
