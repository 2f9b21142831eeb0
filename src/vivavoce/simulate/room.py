"""The room that the voice sounds in: reverberation, size, impulse response for a source near the phone, and noise."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from vivavoce.signal.iq import SPEED_OF_SOUND
from vivavoce.simulate.draws import Settings, Spread, spread
from vivavoce.simulate.scatter import Reflectors, ScatterConfig, draw_clutter

AMBIENT_HZ = (60.0, 12_000.0)  # band of a room's noise: below, microphones cut it off; above, it is under their own


class RoomConfig(Settings):
    """Rooms of homes and offices."""

    rt60_s: Spread = Field(default=spread(0.2, 0.4, 0.6), description="reverberation time, s (DESIGN §5)")
    volume_m3: Spread = Field(default=spread(20, 40, 120), description="volume, m³: a small to a large living room")
    ambient_snr_db: Spread = Field(
        default=spread(15, 28, 40), description="active speech level above the room's noise, dB: 30–55 dB SPL of noise"
    )
    ambient_slope: Spread = Field(
        default=spread(0.7, 1.2, 2.0), description="power of that noise falls as frequency to this power (1: pink)"
    )


@dataclass(frozen=True)
class Room:
    """A room: reverberation time in s, volume in m³, and the reflectors that the probe sees in it."""

    name: str
    rt60_s: float
    volume_m3: float
    clutter: Reflectors


def draw_room(rng: np.random.Generator, config: RoomConfig, scatter: ScatterConfig, name: str) -> Room:
    """Draw one room."""
    return Room(
        name=name,
        rt60_s=config.rt60_s.draw(rng),
        volume_m3=config.volume_m3.draw(rng),
        clutter=draw_clutter(rng, scatter),
    )


def ambience(rng: np.random.Generator, config: RoomConfig, level: float, samples: int, rate_hz: int) -> np.ndarray:
    """Spectrum (samples // 2 + 1,) complex64 of a room's noise under speech of the active ``level`` (RMS).

    Ventilation, traffic and computers: Gaussian noise that falls with frequency, as rooms have it (the NC curves of
    Beranek 1957 fall by 3 to 6 dB an octave), up to 12 kHz. It sounds in every kind of recording alike, and lies above
    what a replay adds of its own recorder's noise, so that pauses do not tell a replay.
    """
    power = (level * 10 ** (-config.ambient_snr_db.draw(rng) / 20)) ** 2
    slope = config.ambient_slope.draw(rng)
    spacing = rate_hz / samples
    first, last = int(AMBIENT_HZ[0] / spacing) + 1, int(AMBIENT_HZ[1] / spacing) + 1
    shape = (np.arange(first, last) * np.float32(spacing / AMBIENT_HZ[0])) ** np.float32(-slope / 2)
    # A bin of mean square s² adds 2 s² / samples² to the mean square of the wave.
    scale = np.float32(samples * np.sqrt(power / (4 * np.sum(shape * shape, dtype=np.float64))))
    parts = rng.standard_normal((2, last - first), dtype=np.float32)
    spectrum = np.zeros(samples // 2 + 1, dtype=np.complex64)
    spectrum[first:last].real = scale * shape * parts[0]
    spectrum[first:last].imag = scale * shape * parts[1]
    return spectrum


def critical_distance_m(room: Room) -> float:
    """Where direct and reverberant sound are equal: 0.057 √(V / RT60) m (Sabine; Kuttruff, Room Acoustics, 5.6)."""
    return 0.057 * float(np.sqrt(room.volume_m3 / room.rt60_s))


def impulse_response(rng: np.random.Generator, room: Room, distance_m: float, rate_hz: int) -> np.ndarray:
    """Return the response (samples,) float32 from a source at ``distance_m``; its direct path is 1 at sample 0.

    Behind the direct sound: six first reflections at the mean free path of the room, then noise that decays by
    60 dB in RT60 (Polack's model). The reverberant energy follows from the critical distance.
    """
    samples = int(room.rt60_s * rate_hz)
    time = np.arange(samples, dtype=np.float32) / rate_hz
    decay = np.exp(np.float32(-6.9078 / room.rt60_s) * time)
    side = room.volume_m3 ** (1 / 3)
    # Noise sets in at the mean free path 4V/S of a cube: before it only single reflections arrive.
    onset = int(2 * side / 3 / SPEED_OF_SOUND * rate_hz)
    tail = rng.standard_normal(samples, dtype=np.float32) * decay
    tail[:onset] = 0
    early = rng.uniform(0.3, 1.3, 6) * side / SPEED_OF_SOUND
    places = np.minimum((early * rate_hz).astype(int), samples - 1)
    spike = np.sqrt(rate_hz * 0.004)  # a single reflection carries the energy of 4 ms of the dense tail
    tail[places] += rng.choice((-1.0, 1.0), 6) * spike * decay[places]
    reverberant = (distance_m / critical_distance_m(room)) ** 2
    tail *= np.sqrt(reverberant / np.sum(tail.astype(np.float64) ** 2))
    tail[0] += 1.0
    return tail.astype(np.float32)
