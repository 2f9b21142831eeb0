"""Recordings cut into voice band and ultrasound band, and joined anew: negatives on waveforms (DESIGN §6).

The two filters leave a gap between 16.5 and 16.65 kHz: neither passes there, nor anything that they pass on either
side overlaps. Were the bands complementary, the noise of two recordings would add up to 3 dB less in the transition
than the noise of one, and this seam would tell a swap. So the seam is the same whether both bands come from one
recording or from two, and `respliced` gives positives that have it.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from vivavoce.errors import UserError
from vivavoce.features.augment.fourier import irfft, product, rfft
from vivavoce.signal.framing import masked

# The voice band's features end at 8 kHz and the lowest tone that is looked for is 17 kHz, less 70 Hz of Doppler.
VOICE_PASS_HZ, VOICE_STOP_HZ = 16_250.0, 16_500.0
ECHO_STOP_HZ, ECHO_PASS_HZ = 16_650.0, 16_900.0
# Below the noise of a 16-bit recording, so that nothing of the other band is left.
STOP_BAND_DB = 100.0
BLOCK = 8_192  # samples of one transform; the filter takes up to a sixth of it
# DESIGN §6: a shift under 80 ms is label noise, since voice and mouth are in step no better than that.
LEAST_SHIFT_S = 0.12
RATES_HZ = (44_100, 48_000, 96_000)


class BandSplit(nn.Module):
    """Split a padded batch into voice band and ultrasound band, both in step with it, sample by sample.

    Linear-phase filters (Kaiser 1974) with their delay taken out: the voice band is whole up to 16.25 kHz and gone from
    16.5 kHz on, the ultrasound band gone up to 16.65 kHz and whole from 16.9 kHz on (±0.0001 dB, 100 dB). Levels stay
    as they are. An item counts as zero outside of itself; neither padding nor batch mates matter.

    Args:
        sample_rate: Hz; 44100, 48000 or 96000.

    Raises:
        UserError: the sample rate holds no ultrasound band.
    """

    responses: Tensor

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        if sample_rate not in RATES_HZ:
            raise UserError(
                f"Bands are split at 44100, 48000 or 96000 Hz, not at {sample_rate} Hz; leave such recordings out, "
                "or resample them."
            )
        self.sample_rate = sample_rate
        transition = VOICE_STOP_HZ - VOICE_PASS_HZ
        self.reach = math.ceil((STOP_BAND_DB - 8) / (2.285 * 2 * math.pi * transition / sample_rate) / 2)
        voice = _low_pass((VOICE_PASS_HZ + VOICE_STOP_HZ) / 2, self.reach, sample_rate)
        echo = -_low_pass((ECHO_STOP_HZ + ECHO_PASS_HZ) / 2, self.reach, sample_rate)
        echo[self.reach] += 1
        size = BLOCK if sample_rate < 96_000 else 2 * BLOCK
        self.hop = size - 2 * self.reach
        taps = torch.nn.functional.pad(torch.stack([voice, echo]), (0, size - 2 * self.reach - 1))
        self.register_buffer("responses", torch.fft.rfft(taps).to(torch.complex64), persistent=False)

    def forward(self, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the voice band and the ultrasound band, each ``(batch, samples)`` and zero behind each item's end.

        Args:
            wave: ``(batch, samples)``, full scale 1.
            lengths: ``(batch,)`` int64 samples.
        """
        batch, samples = wave.shape
        size = self.hop + 2 * self.reach
        blocks = max(1, -(-samples // self.hop))
        # Overlap-save: a block begins `reach` samples before its output, whose first `2 · reach` samples wrapped.
        right = blocks * self.hop + self.reach - samples
        padded = nn.functional.pad(masked(wave, lengths), (self.reach, right))
        spectra = rfft(padded.unfold(1, size, self.hop).reshape(-1, size).contiguous())
        voice, echo = (self._filtered(spectra, band, (batch, blocks), samples, lengths) for band in range(2))
        return voice, echo

    def _filtered(self, spectra: Tensor, band: int, shape: tuple[int, int], samples: int, lengths: Tensor) -> Tensor:
        response = self.responses[band].expand(spectra.shape[0], -1).contiguous()
        wave = irfft(product(spectra, response), self.hop + 2 * self.reach)
        return masked(wave[:, 2 * self.reach :].reshape(shape[0], -1)[:, :samples], lengths)


def respliced(split: BandSplit, wave: Tensor, lengths: Tensor) -> Tensor:
    """Split recordings and join their own bands again: positives with the seam of all negatives, ``(batch, samples)``.

    Args:
        split: for their sample rate.
        wave: ``(batch, samples)``.
        lengths: ``(batch,)`` int64 samples.
    """
    voice, echo = split(wave, lengths)
    return voice + echo


def joined(
    split: BandSplit, voices: Tensor, voice_lengths: Tensor, echoes: Tensor, echo_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Join the voice band of some recordings with the ultrasound band of others, as long as the shorter of each pair.

    With another person's recording this is a swapped mouth, with that of a replay it is a replaced band.

    Args:
        split: for their sample rate.
        voices: ``(batch, samples)``.
        voice_lengths: ``(batch,)`` int64.
        echoes: ``(batch, samples of its own)``, at the same sample rate.
        echo_lengths: ``(batch,)`` int64.

    Returns:
        ``(batch, samples)`` and its lengths ``(batch,)``.
    """
    lengths = torch.minimum(voice_lengths, echo_lengths)
    samples = min(voices.shape[1], echoes.shape[1])
    # Cut before the split: an end is then the end of both bands, as in a recording of that length.
    voice, _ = split(voices[:, :samples], lengths)
    _, echo = split(echoes[:, :samples], lengths)
    return voice + echo, lengths


def shifted(split: BandSplit, wave: Tensor, lengths: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Delay the mouth against the voice (a negative shift: let it lead), cut from the longer recording, never rolled.

    Args:
        split: for their sample rate.
        wave: ``(batch, samples)``.
        lengths: ``(batch,)`` int64.
        shifts: samples by which the ultrasound band is late, ``(batch,)`` int64.

    Returns:
        ``(batch, samples)`` and its lengths ``(batch,)``: shorter than the recordings by the shifts' size.

    Raises:
        ValueError: a shift is under 120 ms, which is label noise, or not shorter than its recording.
    """
    least = round(LEAST_SHIFT_S * split.sample_rate)
    if bool((shifts.abs() < least).any()) or bool((shifts.abs() >= lengths).any()):
        raise ValueError(f"A shift lies between {least} samples and the length of its recording.")
    starts = shifts.clamp(min=0)
    samples = int((lengths - shifts.abs()).max())
    voices, echoes = (_from(wave, start, samples) for start in (starts, starts - shifts))
    rest = lengths - shifts.abs()
    return joined(split, voices, rest, echoes, rest)


def to_full_scale(wave: np.ndarray) -> tuple[np.ndarray, float]:
    """Turn a joined recording down where its two bands together exceed full scale; returns it and the gain in dB.

    A clipped sum would tell its making by the products of the clipping.

    Args:
        wave: ``(samples,)``, full scale 1.
    """
    peak = float(np.abs(wave).max(initial=0.0))
    most = 1 - 2**-15  # the largest code of 16 bits
    if peak <= most:
        return wave, 0.0
    return wave * np.float32(most / peak), 20 * math.log10(most / peak)


def _from(wave: Tensor, starts: Tensor, samples: int) -> Tensor:
    """Cut ``(batch, samples)`` from each item's own start; positions behind the end repeat the last sample."""
    places = starts[:, None] + torch.arange(samples, device=wave.device)
    return wave.gather(1, places.clamp(max=wave.shape[1] - 1))


def _low_pass(cutoff_hz: float, reach: int, rate: int) -> Tensor:
    """Return a Kaiser low-pass ``(2 · reach + 1,)`` float64 with gain 1 at 0 Hz, symmetric around its middle."""
    lag = torch.arange(-reach, reach + 1, dtype=torch.float64)
    beta = 0.1102 * (STOP_BAND_DB - 8.7)
    window = torch.special.i0(beta * (1 - (lag / reach) ** 2).clamp(min=0).sqrt())
    taps = torch.sinc(2 * cutoff_hz / rate * lag) * window
    return taps / taps.sum()
