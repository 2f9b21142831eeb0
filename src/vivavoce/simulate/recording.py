"""The recording model: voice and probe with its echoes, through one phone, to 16 bits at 48 kHz (DESIGN §5).

``y = quantize16{ agc · nl[ h_mic * (voice + Σk A_k Re e^{j2πf_k t} (1 + Σp a_p e^{−j4π f_k r_p(t)/c})) + noise ] }``

Echoes move slowly (Doppler well below 300 Hz), so each tone's complex factor is made at 600 Hz and placed into one
spectrum of the whole recording; one inverse FFT then makes all tones, exactly up to the edges of a tapered margin.
"""

from dataclasses import dataclass

import numpy as np

from vivavoce.signal.probe import Probe
from vivavoce.simulate.device import Device, bend, control_gain, noise, quantize16, response
from vivavoce.simulate.draws import decibels
from vivavoce.simulate.fourier import fast_size, fft, frequencies, irfft, rfft
from vivavoce.simulate.speech import RATE_HZ

DECIMATION = 80  # 600 Hz: ±300 Hz hold ±70 Hz of Doppler four times over
FACTOR_RATE_HZ = RATE_HZ / DECIMATION
MARGIN = 48  # factor samples (80 ms) before and after the recording, in which the tones fade in and out
FADE = 40  # of these, the samples of the fade itself; the rest keeps its ripple away from the recording


@dataclass(frozen=True)
class Grid:
    """Sizes for one recording of ``samples`` at 48 kHz whose voice rings on for ``tail`` samples.

    The recording begins ``start`` samples into an FFT of ``size``; factors are given on ``times_s`` (frames,).
    """

    samples: int
    size: int

    @property
    def start(self) -> int:
        """Samples before the recording."""
        return MARGIN * DECIMATION

    @property
    def frames(self) -> int:
        """Factor samples over the recording and both margins."""
        return 2 * MARGIN + -(-self.samples // DECIMATION)

    @property
    def times_s(self) -> np.ndarray:
        """Time of each factor sample against the recording's first sample, s."""
        return (np.arange(self.frames) - MARGIN) / FACTOR_RATE_HZ


def grid_for(samples: int, tail: int) -> Grid:
    """Return the grid of a recording of ``samples`` whose voice rings on for ``tail`` samples."""
    needed = MARGIN * DECIMATION + samples + max(tail, (MARGIN + 1) * DECIMATION)
    return Grid(samples, DECIMATION * fast_size(-(-needed // DECIMATION)))


def tone_spectrum(
    grid: Grid, factors: np.ndarray, tones_hz: np.ndarray, phases: np.ndarray, amplitudes: np.ndarray
) -> np.ndarray:
    """Spectrum (size // 2 + 1,) complex64 of ``Σk A_k Re{ e^{j(2πf_k t + φ_k)} · factor_k(t) }``.

    Args:
        grid: sizes.
        factors: (tones, frames) or (tones, 1) complex.
        tones_hz, phases, amplitudes: (tones,).
    """
    steps = grid.size // DECIMATION
    spacing = RATE_HZ / grid.size
    fade = np.ones(grid.frames)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(FADE) + 0.5) / FADE)
    fade[:FADE], fade[-FADE:] = ramp, ramp[::-1]
    places = np.rint(tones_hz / spacing).astype(int)
    # What the nearest bin misses of the tone turns the factor; the bin's own phase counts from the FFT's first sample.
    rest = 2 * np.pi * (tones_hz - places * spacing)
    turn = rest[:, None] * grid.times_s + (phases - 2 * np.pi * places * grid.start / grid.size)[:, None]
    turned = np.zeros((len(tones_hz), steps), dtype=np.complex64)
    turned[:, : grid.frames] = factors * (amplitudes[:, None] * fade) * np.exp(1j * turn)
    bands = fft(turned) * np.float32(0.5 * DECIMATION)
    half = steps // 2
    offsets = np.concatenate([np.arange(steps - half), np.arange(-half, 0)])
    spectrum = np.zeros(grid.size // 2 + 1, dtype=np.complex64)
    for place, own in zip(places, bands, strict=True):  # one step a tone: neighbouring bands overlap and must add
        spectrum[place + offsets] += own
    return spectrum


@dataclass(frozen=True)
class Emission:
    """The probe on its way: its tones, every tone's factor (tones, frames or 1) with echoes, and what a cone adds.

    ``cone`` (samples,) multiplies the carriers that ``cone_factors`` (tones, frames or 1) describe: their echo from the
    loudspeaker, of amplitude 1.
    """

    probe: Probe
    factors: np.ndarray
    cone: np.ndarray | None = None
    cone_factors: np.ndarray | None = None


def probe_spectrum(grid: Grid, emission: Emission, device: Device) -> np.ndarray:
    """Spectrum of the probe with echoes before the device's response, so that behind it the carrier has its level."""
    probe = emission.probe
    tones = np.asarray(probe.tones_hz) * device.clock_ratio
    phases = np.asarray(probe.phases)
    gains = response(device, tones).astype(np.float64)
    # All tones leave with one amplitude; their recorded powers together are the device's carrier level.
    amplitude = decibels(device.carrier_dbfs) * np.sqrt(2 / np.sum(gains**2))
    amplitudes = np.full(len(tones), amplitude)
    spectrum = tone_spectrum(grid, emission.factors, tones, phases, amplitudes)
    if emission.cone is not None and emission.cone_factors is not None:
        carriers = tone_spectrum(grid, emission.cone_factors, tones, phases, amplitudes)
        wave = irfft(carriers, grid.size)[grid.start : grid.start + grid.samples]
        spectrum += placed(grid, wave * emission.cone)
    return spectrum


def placed(grid: Grid, wave: np.ndarray) -> np.ndarray:
    """Spectrum of a wave (samples,) that begins with the recording."""
    padded = np.zeros(grid.size, dtype=np.float32)
    padded[grid.start : grid.start + len(wave)] = wave
    return rfft(padded, grid.size)


def record(
    rng: np.random.Generator,
    voice: np.ndarray,
    room: np.ndarray,
    emission: Emission | None,
    device: Device,
    ambient: np.ndarray | None = None,
) -> np.ndarray:
    """Record a voice and a probe with one phone.

    Args:
        rng: source of the noise.
        voice: what sounds in the room, (samples,) float32 at 48 kHz, at its level in the recording.
        room: impulse response from there to the phone, (taps,).
        emission: the probe with its echoes on the grid of ``grid_for(samples, taps)``; None: none is played.
        device: the phone.
        ambient: spectrum of the room's noise at the phone on the same grid, (size // 2 + 1,); None: silence.

    Returns:
        (samples,) int16 at 48 kHz.
    """
    grid = grid_for(len(voice), len(room))
    spectrum = placed(grid, voice)
    spectrum *= rfft(room.astype(np.float32), grid.size)
    if ambient is not None:
        spectrum += ambient
    if emission is not None:
        spectrum += probe_spectrum(grid, emission, device)
    spectrum *= response(device, frequencies(grid.size, RATE_HZ))
    wave = irfft(spectrum, grid.size)[grid.start : grid.start + grid.samples]
    wave = bend(device, wave + noise(rng, device, grid.samples, RATE_HZ))
    return quantize16(control_gain(device, wave, RATE_HZ))
