"""The probe: inaudible tones that the phone plays, drawn anew for every session."""

import math
from dataclasses import dataclass

import numpy as np

from vivavoce.errors import UserError

# Below 18 kHz adults hear the probe, above 20 kHz phones' loudspeakers and anti-alias filters fade (DESIGN §5:
# 0 to -12 dB per kHz above 17 kHz).
PROBE_LOW_HZ = 18_000
PROBE_HIGH_HZ = 20_000
# Doppler band (Hz either side) in which noise competes with the echo: a mouth's stays within it (DESIGN §5: 54 Hz at
# most at 20 kHz), so tones 200 Hz apart never overlap.
DOPPLER_HZ = 70.0
MIN_SPACING_HZ = 200
# All tones lie on one lattice of 100 Hz with a common random offset. Third-order products of the loudspeaker,
# f_i + f_j - f_k, then fall exactly on a tone (a static line, removed with the carrier) or >= 100 Hz away, never into
# the ±70 Hz Doppler band, where freely drawn tones would put about eight spurious lines beside each tone.
LATTICE_HZ = 100


@dataclass(frozen=True)
class Probe:
    """Tones that a phone plays during one session.

    Attributes:
        tones_hz: frequencies in Hz, ascending.
        phases: phase of each tone in radians at time 0; tone k is ``cos(2π f_k t + phases[k])``.
        level_dbfs: level of all tones together, relative to a full-scale sine.
    """

    tones_hz: tuple[float, ...]
    phases: tuple[float, ...]
    level_dbfs: float

    @property
    def amplitude(self) -> float:
        """Amplitude of each tone (full scale 1), the same for all."""
        return 10 ** (self.level_dbfs / 20) / math.sqrt(len(self.tones_hz))

    def waveform(self, rate: int, samples: int) -> np.ndarray:
        """Return what the phone plays: ``(samples,)`` float32 at ``rate`` Hz."""
        time_s = np.arange(samples) / rate
        angles = 2 * np.pi * np.outer(self.tones_hz, time_s) + np.asarray(self.phases)[:, None]
        return (self.amplitude * np.cos(angles).sum(axis=0)).astype(np.float32)


def draw_probe(
    rng: np.random.Generator,
    tones: int = 8,
    low_hz: int = PROBE_LOW_HZ,
    high_hz: int = PROBE_HIGH_HZ,
    level_dbfs: float = -12.0,
) -> Probe:
    """Draw a session's probe: the nonce that makes yesterday's ultrasound worthless today.

    The tones lie on a 100 Hz lattice with a common offset in whole Hz and at least 200 Hz apart, uniformly over all
    such sets: C(13, 8) patterns × 100 offsets = 128 700, about 2^17 possibilities for the default of 8 tones, before
    the phases. Whole hertz let a player loop one second seamlessly.

    Args:
        rng: source of randomness.
        tones: number of tones.
        low_hz: lowest frequency allowed, Hz.
        high_hz: highest frequency allowed (exclusive), Hz.
        level_dbfs: level of all tones together; at most ``-10·log10(tones)`` (-9 dBFS for 8), so that even all crests
            in one instant stay within full scale.

    Raises:
        UserError: the tones do not fit into the band, or could clip.
    """
    steps_apart = MIN_SPACING_HZ // LATTICE_HZ
    places = (high_hz - low_hz) // LATTICE_HZ
    choices = places - (tones - 1) * (steps_apart - 1)
    if tones < 1 or choices < tones:
        raise UserError(
            f"{tones} probe tones do not fit between {low_hz} and {high_hz} Hz at {MIN_SPACING_HZ} Hz spacing; "
            "ask for fewer tones or a wider band."
        )
    loudest_dbfs = -10 * math.log10(tones)
    if level_dbfs > loudest_dbfs + 1e-9:
        raise UserError(f"{tones} tones at {level_dbfs:g} dBFS can clip; choose at most {loudest_dbfs:.1f} dBFS.")
    steps = np.sort(rng.choice(choices, size=tones, replace=False)) + np.arange(tones) * (steps_apart - 1)
    offset_hz = int(rng.integers(LATTICE_HZ))
    frequencies = low_hz + offset_hz + LATTICE_HZ * steps
    phases = rng.uniform(-np.pi, np.pi, tones)
    return Probe(tuple(float(f) for f in frequencies), tuple(float(p) for p in phases), float(level_dbfs))
