"""The room that the voice sounds in: reverberation time, size, and an impulse response for a source near the phone."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from vivavoce.simulate.draws import Settings, Spread, spread
from vivavoce.simulate.scatter import SPEED_OF_SOUND, Reflectors, ScatterConfig, draw_clutter


class RoomConfig(Settings):
    """Rooms of homes and offices."""

    rt60_s: Spread = Field(default=spread(0.2, 0.4, 0.6), description="reverberation time, s (DESIGN §5)")
    volume_m3: Spread = Field(default=spread(20, 40, 120), description="volume, m³: a small to a large living room")


@dataclass(frozen=True)
class Room:
    """A room: reverberation time in s, volume in m³, and the reflectors that the probe sees in it."""

    rt60_s: float
    volume_m3: float
    clutter: Reflectors


def draw_room(rng: np.random.Generator, config: RoomConfig, scatter: ScatterConfig) -> Room:
    """Draw one room."""
    return Room(
        rt60_s=config.rt60_s.draw(rng), volume_m3=config.volume_m3.draw(rng), clutter=draw_clutter(rng, scatter)
    )


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
