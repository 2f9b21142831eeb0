"""The voice that a microphone's non-linearity writes around each probe tone: a second cue, reported apart.

A microphone with ``x + α2 x²`` (DESIGN §5: α2 −60…−40 dB) that hears voice v and carriers C gives ``2 α2 v C`` beside
them: every carrier is amplitude-modulated by the voice, at ± voice frequencies, with one sign for all tones. So these
sidebands say that *this* microphone heard this voice and this probe together. They are missing where the voice was put
in digitally or the bands come from two recordings. They do not tell a mouth from a loudspeaker: the microphone hears
either, and a loudspeaker's cone moves with the voice besides. That is why they are no part of the liveness score.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vivavoce.errors import UserError
from vivavoce.signal.framing import length_mask, masked
from vivavoce.signal.iq import used_tones

# Speech has most of its power here.
VOICE_LOW_HZ, VOICE_HIGH_HZ = 80.0, 1_000.0
# The carriers with their slow echoes. A mouth's Doppler (90 % below 19 Hz, DESIGN §5) is kept out of what is compared
# with the voice; a wider notch would leave nothing between tones 200 Hz apart.
CARRIER_HZ = 30.0
NOTCH_HZ = 60.0
TRANSITION_HZ = 30.0
STOP_BAND_DB = 80.0
# A band's own delay and the distance from voice to probe, both well under a millisecond at one microphone.
NEAR_S = 0.002
# Beyond several periods of any voice's pitch, so that its repetitions do not pass for noise.
FAR_S = (0.1, 0.5)
# Eight independent lags within ±2 ms exceed this once in a thousand recordings without any sideband (chi squared, one
# degree of freedom: the tail beyond 15.1 times the mean is 1e-4).
FOUND_DB = 11.8
SHORTEST_S = 1.2


@dataclass(frozen=True)
class Sidebands:
    """What stands around the tones, for each item of a batch.

    Attributes:
        level_db: correlation of the sidebands with the voice within ±2 ms, dB over that at lags of 0.1 to 0.5 s;
            ``(batch,)``, NaN where there is no probe, less than 1.2 s, or nothing but zeros.
        lag_s: by how much the sidebands are behind the voice there, s; ``(batch,)``.
    """

    level_db: Tensor
    lag_s: Tensor

    @property
    def found(self) -> Tensor:
        """Whether this microphone heard voice and probe together, ``(batch,)`` bool."""
        return self.level_db > FOUND_DB


class VoiceSidebands(nn.Module):
    """Correlate a voice with what it does to each carrier, over a padded batch of recordings with a probe.

    What lies 60 to 1000 Hz beside the tones is multiplied by the carriers themselves, which brings the sidebands of all
    tones back to the voice's own frequencies and adds them up in phase. Neither padding nor batch mates matter.

    Args:
        sample_rate: Hz, that of a recording with an ultrasound band.

    Raises:
        UserError: the sample rate does not hold the probe.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        if sample_rate < 2 * 20_000:
            raise UserError(f"Sidebands need 44100 Hz or more, not {sample_rate} Hz; record at 48000 Hz.")
        self.sample_rate = sample_rate
        # Kaiser's formula for the length, halved.
        self.reach = math.ceil((STOP_BAND_DB - 8) / (2.285 * 2 * math.pi * TRANSITION_HZ / sample_rate) / 2)

    def forward(self, wave: Tensor, lengths: Tensor, tones_hz: Tensor) -> Sidebands:
        """Look for the voice beside the tones.

        Args:
            wave: ``(batch, samples)``, full scale 1.
            lengths: ``(batch,)`` int64 samples.
            tones_hz: ``(batch, tones)``; 0 or NaN: unused.
        """
        used = used_tones(tones_hz, self.sample_rate)
        hz = torch.where(used, tones_hz, torch.zeros_like(tones_hz)).double()
        far = round(FAR_S[1] * self.sample_rate)
        size = 1 << (wave.shape[1] + max(2 * far, 2 * self.reach + 1) - 1).bit_length()
        spectrum = torch.fft.rfft(masked(wave, lengths).double(), n=size)
        none = torch.zeros(1, dtype=torch.float64, device=wave.device)
        low, high = hz.masked_fill(~used, math.inf).amin(dim=1), hz.amax(dim=1)
        voice = self._low_pass(none + VOICE_HIGH_HZ, none) - self._low_pass(none + VOICE_LOW_HZ, none)
        carriers = self._comb(hz, used, CARRIER_HZ)
        wide = self._low_pass((high - low).clamp(min=0) / 2 + VOICE_HIGH_HZ, ((high + low) / 2).nan_to_num(posinf=0))
        beside = wide - self._comb(hz, used, NOTCH_HZ)
        # What no filter's end reaches.
        inside = length_mask(lengths - 2 * self.reach, size)
        voice, carriers, beside = (self._filtered(spectrum, taps, size) * inside for taps in (voice, carriers, beside))
        return self._judged(voice, carriers * beside, lengths, used.any(dim=1))

    def _judged(self, voice: Tensor, product: Tensor, lengths: Tensor, probed: Tensor) -> Sidebands:
        """Compare ``(batch, size)`` voices with what the sidebands say of them."""
        size = voice.shape[1]
        spectrum = torch.fft.rfft(product) * torch.fft.rfft(voice).conj()
        power = torch.fft.irfft(spectrum, n=size).square()
        near, (first, last) = round(NEAR_S * self.sample_rate), (round(s * self.sample_rate) for s in FAR_S)
        around = torch.cat([power[:, -near:], power[:, : near + 1]], dim=1)
        floor = torch.cat([power[:, first:last], power[:, size - last : size - first]], dim=1).mean(dim=1)
        peak, place = around.max(dim=1)
        heard = probed & (lengths >= round(SHORTEST_S * self.sample_rate)) & (floor > 0)
        level_db = torch.where(heard, 10 * torch.log10(peak / floor), torch.full_like(peak, math.nan))
        return Sidebands(level_db, (place - near) / self.sample_rate)

    def _filtered(self, spectrum: Tensor, taps: Tensor, size: int) -> Tensor:
        """Filter; the first of ``(batch, size)`` is the first sample that the filter sees whole."""
        return torch.fft.irfft(spectrum * torch.fft.rfft(taps, n=size), n=size).roll(-2 * self.reach, dims=1)

    def _comb(self, hz: Tensor, used: Tensor, cutoff_hz: float) -> Tensor:
        """Taps ``(batch, taps)`` that pass ``cutoff_hz`` either side of every tone in use."""
        lag = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64, device=hz.device)
        waves = torch.cos(2 * math.pi / self.sample_rate * hz[:, :, None] * lag) * used[:, :, None]
        cutoff = torch.full((1,), cutoff_hz, dtype=torch.float64, device=hz.device)
        return self._low_pass(cutoff, torch.zeros_like(cutoff)) * 2 * waves.sum(dim=1)

    def _low_pass(self, cutoff_hz: Tensor, centre_hz: Tensor) -> Tensor:
        """Kaiser low-passes ``(batch, taps)``, moved to ``centre_hz`` (0: left where they are); each ``(batch,)``."""
        lag = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64, device=cutoff_hz.device)
        beta = 0.1102 * (STOP_BAND_DB - 8.7)
        window = torch.special.i0(beta * (1 - (lag / self.reach) ** 2).clamp(min=0).sqrt())
        window = window / torch.special.i0(torch.tensor(beta, dtype=torch.float64))
        width = 2 * cutoff_hz[:, None] / self.sample_rate
        taps = width * torch.sinc(width * lag) * window
        moved = 2 * torch.cos(2 * math.pi / self.sample_rate * centre_hz[:, None] * lag)
        return taps * torch.where(centre_hz[:, None] > 0, moved, torch.ones_like(moved))
