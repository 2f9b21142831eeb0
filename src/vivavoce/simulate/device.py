"""Phones: the response of loudspeaker and microphone, gain control, non-linearity, noise, level, clock, 16 bits."""

from dataclasses import dataclass

import numpy as np
import scipy.signal
from pydantic import Field

from vivavoce.simulate.draws import Settings, Spread, decibels, spread

ROLLOFF_HZ = 17_000.0  # phones fall from here, 0 to −12 dB/kHz, 40 dB at most (DESIGN §5)
ROLLOFF_MOST_DB = 40.0
CONTROL_S = 0.0025  # the gain control decides once in this time
GAIN_WINDOW_DB = 20.0  # the gain control goes from none to all of its range over this much level


class DeviceConfig(Settings):
    """What differs between phones (DESIGN §5)."""

    rolloff_db_per_khz: Spread = Field(default=spread(0, 4, 12), description="fall above 17 kHz, dB/kHz")
    ripple_db: Spread = Field(default=spread(0, 2, 5), description="ripple of the response above 17 kHz, dB peak")
    colour_db: Spread = Field(default=spread(0.5, 2, 4), description="colour of the voice band, dB peak")
    highpass_hz: Spread = Field(default=spread(40, 70, 120), description="lower edge of the microphone, Hz")
    gain_control_share: float = Field(default=0.5, ge=0, le=1, description="share of phones with gain control on")
    gain_control_db: Spread = Field(default=spread(2, 6, 12), description="range of the gain control, dB")
    gain_threshold_dbfs: Spread = Field(
        default=spread(-24, -18, -12), description="peak level above which the gain falls, dBFS"
    )
    attack_s: Spread = Field(default=spread(0.005, 0.010, 0.020), description="gain control attack, s")
    release_s: Spread = Field(default=spread(0.1, 0.25, 0.5), description="gain control release over its range, s")
    alpha2_db: Spread = Field(default=spread(-60, -50, -40), description="quadratic non-linearity, dB at full scale")
    alpha3_db: Spread = Field(default=spread(-70, -60, -50), description="cubic non-linearity, dB at full scale")
    noise_dbc_hz: Spread = Field(
        default=spread(-85, -80, -60), description="noise density against the whole direct carrier, dBc/Hz"
    )
    carrier_dbfs: Spread = Field(
        default=spread(-25, -21, -17), description="direct carrier in the recording, all tones together, dBFS RMS"
    )
    direct_cm: Spread = Field(
        default=spread(1.0, 1.5, 3.0), description="direct path d0, loudspeaker to microphone, cm"
    )
    clock_hz: float = Field(default=0.03, ge=0, le=1, description="own clock offset, Hz at 20 kHz at most")


@dataclass(frozen=True)
class GainControl:
    """A gain control: range in dB, threshold in dBFS (peak), attack and release in s."""

    range_db: float
    threshold_dbfs: float
    attack_s: float
    release_s: float


@dataclass(frozen=True)
class Device:
    """One phone: ``response_db`` at ``response_hz`` (both (points,)), and the numbers of ``DeviceConfig`` as drawn."""

    name: str
    response_hz: np.ndarray
    response_db: np.ndarray
    gain_control: GainControl | None
    alpha2: float
    alpha3: float
    noise_dbc_hz: float
    carrier_dbfs: float
    direct_m: float
    clock_ratio: float


def draw_response(rng: np.random.Generator, config: DeviceConfig, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a response: (frequencies in Hz, gains in dB), straight between the points."""
    hertz = np.concatenate([np.geomspace(20, 16_000, 60), np.arange(16_200, rate_hz / 2 + 1, 100)])
    octaves = np.log2(hertz / 1000)
    colour = config.colour_db.draw(rng)
    waves = np.array([1 / 6, 1 / 3, 1 / 1.5])[:, None]  # cycles per octave: tilt, humps, and small ripples
    weights = np.array([0.5, 0.35, 0.15])[:, None]
    phases = rng.uniform(0, 2 * np.pi, (3, 1))
    gains = colour * np.sum(weights * np.cos(2 * np.pi * waves * octaves + phases), axis=0)
    gains -= 10 * np.log10(1 + (config.highpass_hz.draw(rng) / hertz) ** 4)
    above = np.maximum(hertz - ROLLOFF_HZ, 0) / 1000
    ripple = config.ripple_db.draw(rng) * np.sin(2 * np.pi * above / rng.uniform(0.6, 2.0) + rng.uniform(0, 2 * np.pi))
    fall = config.rolloff_db_per_khz.draw(rng) * above - ripple * (above > 0)
    return hertz, gains - np.minimum(fall, ROLLOFF_MOST_DB)


def draw_device(rng: np.random.Generator, config: DeviceConfig, name: str, rate_hz: int) -> Device:
    """Draw one phone."""
    hertz, gains = draw_response(rng, config, rate_hz)
    gain_control = GainControl(
        range_db=config.gain_control_db.draw(rng),
        threshold_dbfs=config.gain_threshold_dbfs.draw(rng),
        attack_s=config.attack_s.draw(rng),
        release_s=config.release_s.draw(rng),
    )
    return Device(
        name=name,
        response_hz=hertz,
        response_db=gains,
        gain_control=gain_control if rng.random() < config.gain_control_share else None,
        alpha2=float(rng.choice((-1.0, 1.0))) * decibels(config.alpha2_db.draw(rng)),
        alpha3=-decibels(config.alpha3_db.draw(rng)),  # microphones compress: the cubic term takes away
        noise_dbc_hz=config.noise_dbc_hz.draw(rng),
        carrier_dbfs=config.carrier_dbfs.draw(rng),
        direct_m=config.direct_cm.draw(rng) / 100,
        clock_ratio=1 + rng.uniform(-1, 1) * config.clock_hz / 20_000,
    )


def response(device: Device, hertz: np.ndarray) -> np.ndarray:
    """Amplitude response at ``hertz`` (any shape), float32."""
    gains = 10 ** (device.response_db / 20)
    return np.interp(hertz, device.response_hz, gains).astype(np.float32)


def bend(device: Device, wave: np.ndarray) -> np.ndarray:
    """Non-linearity ``x + α2 x² + α3 x³`` of the microphone and its amplifier."""
    square = wave * wave
    return wave + np.float32(device.alpha2) * square + np.float32(device.alpha3) * (square * wave)


def noise(rng: np.random.Generator, device: Device, samples: int, rate_hz: int) -> np.ndarray:
    """White noise (samples,) float32 at the device's density against its direct carrier."""
    density = 10 ** ((device.carrier_dbfs + device.noise_dbc_hz) / 10)
    return np.float32(np.sqrt(density * rate_hz / 2)) * rng.standard_normal(samples, dtype=np.float32)


def gain_curve_db(control: GainControl, wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Gain in dB (<= 0), one value a control step of 2.5 ms, of a gain control that hears ``wave`` (samples,)."""
    step = round(CONTROL_S * rate_hz)
    blocks = np.pad(np.abs(wave), (0, -len(wave) % step)).reshape(-1, step).max(axis=1)
    level = 20 * np.log10(np.maximum(blocks, 1e-6))
    asked = control.range_db * np.clip((level - control.threshold_dbfs) / GAIN_WINDOW_DB, 0, 1)
    # Release: a peak's reduction fades linearly in dB over the release time; the latest peak that still reaches
    # highest wins, which is a running maximum on a slope.
    slope = control.range_db / control.release_s * CONTROL_S * np.arange(len(asked))
    held = np.maximum.accumulate(asked + slope) - slope
    # Attack: one pole, settled on the first step so that a recording does not begin with a swing.
    pole = np.exp(-CONTROL_S / control.attack_s)
    smooth, _ = scipy.signal.lfilter([1 - pole], [1, -pole], held, zi=[pole * held[0]])
    return -smooth


def control_gain(device: Device, wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Apply the device's gain control (none: ``wave`` itself)."""
    if device.gain_control is None:
        return wave
    curve = 10 ** (gain_curve_db(device.gain_control, wave, rate_hz) / 20)
    step = round(CONTROL_S * rate_hz)
    following = np.append(curve[1:], curve[-1])
    along = (np.arange(step) / step)[None]
    gain = (curve[:, None] * (1 - along) + following[:, None] * along).reshape(-1)[: len(wave)]
    return wave * gain.astype(np.float32)


def quantize16(wave: np.ndarray) -> np.ndarray:
    """Round to 16 bits, clipped at full scale; int16."""
    return np.clip(np.rint(wave * 32768.0), -32768, 32767).astype(np.int16)
