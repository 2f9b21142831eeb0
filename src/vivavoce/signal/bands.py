"""Sample-rate conversion, and the voice band of a recording that also holds a probe."""

import math

import torch
from torch import Tensor, nn

from vivavoce.errors import UserError
from vivavoce.signal.framing import VOICE_RATE_HZ, masked

# Kaiser window for a 90 dB stop band (Kaiser 1974: beta = 0.1102 (A - 8.7)), so that a probe 60 dB above a quiet
# voice still leaves less than the 16-bit floor in the voice band.
STOP_BAND_DB = 90.0
# The pass band ends at 92 % of the lower Nyquist frequency (7.36 kHz of 8 kHz), the stop band begins at it.
PASS_SHARE = 0.92


class Resample(nn.Module):
    """Convert a padded batch from ``in_hz`` to ``out_hz`` by a linear-phase windowed sinc with its delay removed.

    Output sample m is the band-limited input at time ``m / out_hz``, where the input counts as zero outside
    ``[0, length)``. What stands in the padding never matters. The filter is applied in polyphase form: one block of
    outputs is one matrix product with the inputs that it can see.

    Args:
        in_hz: input sample rate, Hz.
        out_hz: output sample rate, Hz.

    Raises:
        UserError: a rate is not positive.
    """

    filters: Tensor

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
        self.reach = math.ceil(self.half_s * in_hz)
        common = math.gcd(in_hz, out_hz)
        # A block as long as the filter's half sees just its two neighbours.
        repeat = math.ceil(self.reach / (in_hz // common))
        self.block_in, self.block_out = in_hz // common * repeat, out_hz // common * repeat
        self.seen = math.ceil(2 * self.reach / self.block_in) + 1
        self.register_buffer("filters", self._polyphase(), persistent=False)

    def forward(self, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Resample ``wave`` ``(batch, samples)`` with ``lengths`` ``(batch,)``; return both at the output rate.

        The output holds ``ceil(samples · out_hz / in_hz)`` samples, zero behind each item's own end.
        """
        wave = masked(wave, lengths)
        if self.in_hz == self.out_hz:
            return wave, lengths
        samples_out = -(-wave.shape[1] * self.out_hz // self.in_hz)
        lengths_out = -(-lengths * self.out_hz // self.in_hz)
        blocks = -(-samples_out // self.block_out) + self.seen - 1
        right = blocks * self.block_in - self.reach - wave.shape[1]
        padded = nn.functional.pad(wave, (self.reach, right)).view(wave.shape[0], blocks, self.block_in)
        # Each block of inputs meets each part of the filters once; sums along the diagonal are the outputs.
        products = (padded @ self.filters).unflatten(2, (self.seen, self.block_out))
        out = products[:, : blocks - self.seen + 1, 0]
        for part in range(1, self.seen):
            out = out + products[:, part : blocks - self.seen + 1 + part, part]
        return masked(out.flatten(1)[:, :samples_out], lengths_out), lengths_out

    def _polyphase(self) -> Tensor:
        """Return ``(block_in, seen · block_out)``: what inputs add to the outputs of their own and earlier blocks."""
        cutoff = (1 + PASS_SHARE) / 2 * min(self.in_hz, self.out_hz) / 2
        # Time of every input seen (from -reach on) as seen from every output, in seconds.
        inputs = torch.arange(self.seen * self.block_in, dtype=torch.float64) - self.reach
        outputs = torch.arange(self.block_out, dtype=torch.float64)
        lag = inputs[:, None] / self.in_hz - outputs[None, :] / self.out_hz
        inside = (1 - (lag / self.half_s) ** 2).clamp(min=0)
        beta = 0.1102 * (STOP_BAND_DB - 8.7)
        window = torch.special.i0(beta * inside.sqrt()) / torch.special.i0(torch.tensor(beta, dtype=torch.float64))
        taps = 2 * cutoff / self.in_hz * torch.sinc(2 * cutoff * lag) * window * (lag.abs() <= self.half_s)
        return taps.view(self.seen, self.block_in, self.block_out).transpose(0, 1).flatten(1).float()


class VoiceBand(Resample):
    """The voice band (0–8 kHz) of a recording at ``in_hz``, at 16 kHz."""

    def __init__(self, in_hz: int):
        super().__init__(in_hz, VOICE_RATE_HZ)
