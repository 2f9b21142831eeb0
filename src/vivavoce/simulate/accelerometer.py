"""The phone's accelerometer during a recording: acceleration at 200 Hz, written beside the sound file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivavoce.files import atomic_path
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.draws import generator
from vivavoce.simulate.job import Job, phone_path_of
from vivavoce.simulate.recording import FACTOR_RATE_HZ, MARGIN
from vivavoce.simulate.speech import RATE_HZ as SOUND_RATE_HZ

RATE_HZ = 200.0
GRAVITY = 9.80665
# Sensors of phones, by their data sheets (Bosch BMI160: 180, ST LSM6DSO: 110 in low noise, InvenSense MPU-6500: 300).
NOISE_UG = (150.0, 300.0)  # µg/√Hz
BIAS_MS2 = 0.05  # standard deviation an axis of what is left when the phone has taken gravity out, m/s²
OFFSET_S = 0.010  # sound and sensor do not start together, s, either sign, at most


@dataclass(frozen=True)
class Sensor:
    """One phone's accelerometer: noise density in m/s²/√Hz, bias (3,) in m/s², and its lateness in s."""

    noise: float
    bias: np.ndarray
    late_s: float


def draw_sensor(seed: int, device: str) -> Sensor:
    """Draw the sensor of a device."""
    rng = generator(seed, "accelerometer", device)
    return Sensor(
        noise=rng.uniform(*NOISE_UG) * 1e-6 * GRAVITY,
        bias=rng.normal(0, BIAS_MS2, 3),
        late_s=float(rng.uniform(-OFFSET_S, OFFSET_S)),
    )


def acceleration_of(job: Job, config: SimulationConfig) -> np.ndarray:
    """What the accelerometer reads during a recording, (frames, 3) in m/s², frame n nominally at n / 200 s.

    Axes as in `true_phone_motion`; gravity is taken out, as phones report linear acceleration. It feels the motion in
    the room, at the ear that of the head too. Noise, bias and a time offset of up to 10 ms are the device's.
    """
    path, sensor = phone_path_of(job, config), draw_sensor(config.seed, job.session.device.name)
    place = path.own_m + path.carried_m
    felt = np.zeros_like(place)
    # The second difference at 600 Hz is the derivative to 1 % up to 30 Hz, above all that moves a phone here.
    felt[1:-1] = np.diff(place, 2, axis=0) * FACTOR_RATE_HZ**2
    frames = int(job.samples / SOUND_RATE_HZ * RATE_HZ)
    at = (np.arange(frames) / RATE_HZ - sensor.late_s) * FACTOR_RATE_HZ + MARGIN
    read = np.stack([np.interp(at, np.arange(len(felt)), axis) for axis in felt.T], axis=1)
    rng = generator(config.seed, "recording", job.id, "accelerometer")
    return read + sensor.bias + sensor.noise * np.sqrt(RATE_HZ / 2) * rng.standard_normal(read.shape)


def write_acceleration(job: Job, config: SimulationConfig) -> Path:
    """Write ``rate_hz`` and ``acceleration`` (frames, 3) beside the recording, atomically; returns the file."""
    with atomic_path(job.acceleration) as temporary, temporary.open("wb") as file:
        np.savez(file, rate_hz=np.float64(RATE_HZ), acceleration=acceleration_of(job, config).astype(np.float32))
    return job.acceleration
