"""Sample-rate conversion; to 16 kHz it splits the voice band off a recording that also holds a probe."""

import math

import torch
from torch import Tensor, nn

from vivavoce.errors import UserError
from vivavoce.signal.framing import masked

# Kaiser window for a 90 dB stop band (Kaiser 1974: beta = 0.1102 (A - 8.7)), so that a probe 60 dB above a quiet
# voice still leaves less than the 16-bit floor in the voice band.
STOP_BAND_DB = 90.0
# The pass band ends at 92 % of the lower Nyquist frequency (7.36 kHz of 8 kHz), the stop band begins at it.
PASS_SHARE = 0.92
# Input samples of one transform, at least: long against the filter (430 samples at 48 kHz), short against the cache.
BLOCK = 6_000
# The filter's continuous impulse response is sampled so many times as densely as the input to find its spectrum.
OVERSAMPLING = 8


class Resample(nn.Module):
    """Convert a padded batch from ``in_hz`` to ``out_hz`` by a linear-phase windowed sinc with its delay removed.

    Output sample m is the band-limited input at time ``m / out_hz``, where the input counts as zero outside
    ``[0, length)``. What stands in the padding never matters. The filter is applied to the spectra of overlapping
    blocks (overlap-save), whose lower bins are the spectra of the output's blocks: beyond the lower Nyquist frequency
    the filter passes nothing.

    Args:
        in_hz: input sample rate, Hz.
        out_hz: output sample rate, Hz.

    Raises:
        UserError: a rate is not positive.
    """

    response: Tensor

    def __init__(self, in_hz: int, out_hz: int):
        super().__init__()
        if in_hz <= 0 or out_hz <= 0:
            raise UserError(
                f"Sample rates must be positive, not {in_hz} and {out_hz} Hz; check the recording's header."
            )
        self.in_hz, self.out_hz = in_hz, out_hz
        nyquist = min(in_hz, out_hz) / 2
        # Kaiser's formula for the length, N = (A - 8) / (2.285 Δω), halved, in seconds.
        self.half_s = (STOP_BAND_DB - 8) / (2.285 * 2 * math.pi * (1 - PASS_SHARE) * nyquist) / 2
        common = math.gcd(in_hz, out_hz)
        # Blocks hold whole periods of both rates, so that outputs of every block lie on one grid.
        period_in, period_out = in_hz // common, out_hz // common
        guard = math.ceil(self.half_s * in_hz / period_in)
        periods = 1 << (max(-(-BLOCK // period_in), 4 * guard) - 1).bit_length()
        self.size_in, self.size_out = periods * period_in, periods * period_out
        self.guard_in, self.guard_out = guard * period_in, guard * period_out
        self.hop_in, self.hop_out = self.size_in - 2 * self.guard_in, self.size_out - 2 * self.guard_out
        self.register_buffer("response", self._response(), persistent=False)

    def forward(self, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Resample ``wave`` ``(batch, samples)`` with ``lengths`` ``(batch,)``; return both at the output rate.

        The output holds ``ceil(samples · out_hz / in_hz)`` samples, zero behind each item's own end.
        """
        wave = masked(wave, lengths)
        if self.in_hz == self.out_hz:
            return wave, lengths
        samples_out = -(-wave.shape[1] * self.out_hz // self.in_hz)
        lengths_out = -(-lengths * self.out_hz // self.in_hz)
        blocks = max(1, -(-samples_out // self.hop_out))
        right = (blocks - 1) * self.hop_in + self.size_in - self.guard_in - wave.shape[1]
        padded = nn.functional.pad(wave, (self.guard_in, right))
        spectra = torch.fft.rfft(padded.unfold(1, self.size_in, self.hop_in), dim=2)
        kept = spectra[:, :, : len(self.response)] * self.response
        out = torch.fft.irfft(kept, n=self.size_out, dim=2)[:, :, self.guard_out : self.guard_out + self.hop_out]
        return masked(out.flatten(1)[:, :samples_out], lengths_out), lengths_out

    def _response(self) -> Tensor:
        """Return the filter's gain in the bins below the lower Nyquist frequency, ``(bins,)`` float32."""
        cutoff = (1 + PASS_SHARE) / 2 * min(self.in_hz, self.out_hz) / 2
        size = self.size_in * OVERSAMPLING
        # Symmetric around time 0, which is the first place of a circle.
        place = torch.arange(size, dtype=torch.float64)
        lag = torch.minimum(place, size - place) / (self.in_hz * OVERSAMPLING)
        inside = (1 - (lag / self.half_s) ** 2).clamp(min=0)
        beta = 0.1102 * (STOP_BAND_DB - 8.7)
        window = torch.special.i0(beta * inside.sqrt()) / torch.special.i0(torch.tensor(beta, dtype=torch.float64))
        taps = 2 * cutoff * torch.sinc(2 * cutoff * lag) * window * (lag <= self.half_s)
        gain = torch.fft.rfft(taps).real / (self.in_hz * OVERSAMPLING)
        bins = -(-min(self.size_in, self.size_out) // 2)
        return (gain[:bins] * self.size_out / self.size_in).float()
