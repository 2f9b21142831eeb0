"""Echo features: what the ultrasound band says about the moving mouth, on the frame grid of the voice features.

Per tone I/Q → static part removed → signed log-Doppler in two windows, velocity and gradient, averaged over the tones
(DESIGN §5: signed log-Doppler within ±70 Hz in 80 and 170 ms windows, carrier ±1 bin dropped; gradient after LipPass).
"""

import math
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from vivavoce.signal.beam import combined
from vivavoce.signal.framing import grid_frames, masked, sped_rate
from vivavoce.signal.iq import (
    IQ_RATE_HZ,
    Demodulator,
    carrier_level,
    drift_removed,
    gain_removed,
    high_passed,
    mean_removed,
    resampled,
    tone_shares,
    used_tones,
)
from vivavoce.signal.motion import (
    DIFFERENCES,
    REACH,
    STEP,
    difference,
    doppler_bins,
    line_power,
    pulse_pairs,
    smoothed,
    smoother,
    spectrum_taps,
    tone_mean,
    window_size,
)
from vivavoce.signal.phone_motion import followed, static_paths_removed

# Power of the differences is averaged over 50 ms: a gesture, not a phoneme (DESIGN §5: velocity spectrum below 8 Hz).
GRADIENT_WINDOW_MS = 50.0
# Under -140 dBFS, far below 16 bits, there is no carrier to relate to.
LEAST_CARRIER = 1e-7


class EchoConfig(BaseModel):
    """Echo features."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    windows_ms: tuple[float, ...] = Field(
        default=(80.0, 170.0), min_length=1, description="Doppler windows, ms (DESIGN §5)"
    )
    max_doppler_hz: float = Field(
        default=70.0, gt=0, le=70, description="Hz either side of a tone (DESIGN §5: 54 Hz at most)"
    )
    doppler: bool = Field(default=True, description="signed log-Doppler in each window")
    drift: bool = Field(default=True, description="remove each carrier's steady rotation (clock offset)")
    shared_gain: bool = Field(
        default=True, description="remove the gain that all tones share (gain control follows the voice)"
    )
    dropped_bins: int = Field(default=0, ge=0, description="bins dropped either side of the carrier")
    floor_dbc: float = Field(default=-60.0, le=-30, description="dB re carrier, about the noise in one Doppler bin")
    static: Literal["mean", "highpass"] = Field(default="mean", description="how the static part of the I/Q is removed")
    highpass_hz: float = Field(default=0.75, ge=0.2, le=3, description="Hz at -6 dB, zero phase; for static = highpass")
    copies_hz: tuple[float, ...] = Field(
        default=(), description="Hz; log-Doppler once more of the I/Q high-passed there, 3–10 Hz, for phones that move"
    )
    compensate: Literal["none", "echo", "accelerometer"] = Field(
        default="none",
        description="take out the phone's own motion, as the echo itself shows it or as an accelerometer measured it",
    )
    gradient: bool = Field(default=True, description="first and second differences of the I/Q over 10 and 30 ms")
    velocity: bool = Field(default=True, description="level, signed mean frequency and signed flux of the motion")
    spectrum_gradient: bool = Field(
        default=False, description="frame gradient of the log-Doppler, dB a frame: half of next less previous (LipPass)"
    )
    combine: Literal["power", "phase"] = Field(
        default="power",
        description="tones together: mean of their powers, or added up in phase, which lowers the noise",
    )
    weight_tones: bool = Field(default=True, description="weight tones by the inverse of their noise, not equally")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.doppler or self.copies_hz or self.spectrum_gradient or self.velocity or self.gradient):
            raise ValueError("with doppler, velocity and gradient off and no copies there are no echo features")
        return self

    def build(self, sample_rate: int) -> "Echo":
        """Make the front end for recordings at ``sample_rate`` Hz."""
        return Echo(self, sample_rate)


class Echo(nn.Module):
    """Echo features of a padded batch of recordings with a probe.

    Frame t is centred at 5 ms + 10 ms · t, as in :class:`vivavoce.signal.voice.Fbank`, and there are as many frames.
    Levels are relative to each tone's own carrier (dBc), so that the phone's response drops out. Near the ends of a
    recording (17 ms) the I/Q is held, which reads as "no motion". Nothing behind an item's end is ever looked at.

    Raises:
        UserError: the sample rate does not hold the probe.
    """

    lines: Tensor
    gradient_window: Tensor
    motion_windows: Tensor

    def __init__(self, config: EchoConfig, sample_rate: int):
        super().__init__()
        self.config, self.sample_rate = config, sample_rate
        self.demodulate = Demodulator(sample_rate)
        self.floor = 10 ** (config.floor_dbc / 10)
        sizes = [window_size(ms) for ms in config.windows_ms]
        bins = [doppler_bins(size, config.max_doppler_hz, config.dropped_bins) for size in sizes]
        self.bins_hz = [[k * IQ_RATE_HZ / size for k in at] for size, at in zip(sizes, bins, strict=True)]
        gradient_size = window_size(GRADIENT_WINDOW_MS)
        self.longest = max(*sizes, gradient_size)
        self.register_buffer("lines", spectrum_taps(sizes, bins, self.longest), persistent=False)
        self.register_buffer("gradient_window", smoother(gradient_size, self.longest), persistent=False)
        windows = torch.cat([smoother(size, self.longest) for size in sizes])
        self.register_buffer("motion_windows", windows, persistent=False)

    @property
    def groups(self) -> dict[str, slice]:
        """Name the channel ranges, so that an ablation can pick them."""
        config = self.config
        sizes = [(f"doppler_{ms:g}ms", len(at)) for ms, at in zip(config.windows_ms, self.bins_hz, strict=True)]
        total = sum(size for _, size in sizes)
        sizes = sizes if config.doppler else []
        sizes += [(f"copy_{hz:g}hz", total) for hz in config.copies_hz]
        sizes += [("spectrum_gradient", total)] if config.spectrum_gradient else []
        sizes += [("velocity", 3 * len(config.windows_ms))] if config.velocity else []
        sizes += [("gradient", len(DIFFERENCES) + 2 * len(config.windows_ms))] if config.gradient else []
        groups, start = {}, 0
        for name, size in sizes:
            groups[name] = slice(start, start + size)
            start += size
        return groups

    @property
    def num_channels(self) -> int:
        """Features a frame."""
        return max(group.stop for group in self.groups.values())

    def iq(self, wave: Tensor, lengths: Tensor, tones_hz: Tensor) -> Tensor:
        """Return complex I/Q ``(batch, tones, iq_frames)`` at 300 Hz, frame n centred at n / 300 s, full scale 1."""
        iq = self.demodulate(wave, lengths, tones_hz)
        return torch.complex(iq[:, :, 0], iq[:, :, 1])

    def forward(
        self,
        wave: Tensor,
        lengths: Tensor,
        tones_hz: Tensor,
        speed: float = 1.0,
        displacement_m: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return features ``(batch, frames, channels)``, zero behind each item's end, and frame lengths ``(batch,)``.

        Args:
            wave: ``(batch, samples)`` at ``sample_rate``, full scale 1.
            lengths: ``(batch,)`` int64 samples.
            tones_hz: ``(batch, tones)``; 0 or NaN where a tone is unused.
            speed: show a mouth that moves so many times faster: its Doppler shifts grow by it, all times shrink by it,
                carriers and noise weights stay as they are.
            displacement_m: where the phone was, m, ``(batch, iq_frames, 3)`` at 300 Hz; needed, and only looked at,
                where ``compensate`` is accelerometer.
        """
        rate = sped_rate(self.sample_rate, speed)
        frames = int(grid_frames(wave.shape[1], rate))
        frame_lengths = torch.as_tensor(grid_frames(lengths, rate))
        used = used_tones(tones_hz, self.sample_rate)
        iq, inside = self._relative_iq(wave, lengths, tones_hz)
        weights = self._weights(iq, inside, used)
        if self.config.shared_gain:
            iq = gain_removed(iq, inside, weights)
        iq = self._compensated(iq, inside, tones_hz, displacement_m)
        moving = self._static_removed(iq, inside, speed).to(wave.dtype)
        shares = weights.to(wave.dtype)
        moving, weights = self._together(moving, inside, shares)
        held = self._held(moving, lengths, frames, speed)
        wanted = self.config.doppler or self.config.spectrum_gradient
        doppler = self._doppler(held, weights) if wanted else held.new_zeros(0)
        parts = [doppler] if self.config.doppler else []
        for cutoff_hz in self.config.copies_hz:
            copy, _ = self._together(high_passed(iq, inside, cutoff_hz / speed).to(wave.dtype), inside, shares)
            parts.append(self._doppler(self._held(copy, lengths, frames, speed), weights))
        if self.config.spectrum_gradient:
            parts.append(_frame_gradient(doppler, frame_lengths))
        if self.config.velocity:
            parts.append(self._velocity(held, weights))
        if self.config.gradient:
            parts.append(self._gradient(held, weights))
        return masked(torch.cat(parts, dim=2)[:, :frames], frame_lengths), frame_lengths

    def _relative_iq(self, wave: Tensor, lengths: Tensor, tones_hz: Tensor) -> tuple[Tensor, Tensor]:
        """Return float64 I/Q relative to each carrier and which frames ``(batch, iq_frames)`` lie in the recording."""
        iq = self.demodulate(wave, lengths, tones_hz)
        first, last = self.demodulate.frame_range(lengths)
        at = torch.arange(iq.shape[3], device=iq.device)[None, :]
        inside = (at >= first[:, None]) & (at <= last[:, None])
        # In float64 until the carrier is gone: a last digit of it is a thousandth of the echo.
        iq = drift_removed(iq, inside) if self.config.drift else iq.double()
        level = carrier_level(iq, inside).clamp(min=LEAST_CARRIER)
        return iq / level[:, :, None, None], inside

    def _compensated(self, iq: Tensor, inside: Tensor, tones_hz: Tensor, displacement_m: Tensor | None) -> Tensor:
        if self.config.compensate == "none":
            return iq
        if self.config.compensate == "echo":
            displacement_m = followed(iq, inside, tones_hz)
        elif displacement_m is None:
            raise ValueError("compensation by an accelerometer needs the phone's displacement")
        return static_paths_removed(iq, inside, tones_hz, displacement_m[:, : iq.shape[3]])

    def _static_removed(self, iq: Tensor, inside: Tensor, speed: float) -> Tensor:
        if self.config.static == "mean":
            return mean_removed(iq, inside)
        return high_passed(iq, inside, self.config.highpass_hz / speed)

    def _together(self, moving: Tensor, inside: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the features are taken from, ``(batch, tones or 1, 2, frames)``, and its weights."""
        if self.config.combine == "power":
            return moving, shares
        return combined(moving, inside, shares), shares.sum(dim=1, keepdim=True)

    def _held(self, iq: Tensor, lengths: Tensor, frames: int, speed: float) -> Tensor:
        """Cover every window of every feature frame, ends held; ``(batch, tones, 2, positions)``."""
        first, last = self.demodulate.frame_range(lengths)
        # The window of feature frame 0 begins at position REACH and is centred 1.5 I/Q frames after frame 0.
        begin = 2 - self.longest // 2 - REACH
        size = STEP * max(0, frames - 1) + self.longest + 2 * REACH
        positions = torch.arange(begin, begin + size, device=iq.device)
        if speed != 1:
            return resampled(iq, positions, speed, first, last)
        index = torch.minimum(torch.maximum(positions[None, :], first[:, None]), last[:, None])
        return iq.gather(3, index[:, None, None, :].expand(-1, iq.shape[1], 2, -1))

    def _weights(self, iq: Tensor, inside: Tensor, used: Tensor) -> Tensor:
        """Return each tone's share ``(batch, tones)``; the shares of the used tones sum to 1."""
        if self.config.weight_tones:
            return tone_shares(iq, inside, used, self.floor)
        return used / used.sum(dim=1, keepdim=True).clamp(min=1)

    def _doppler(self, held: Tensor, weights: Tensor) -> Tensor:
        """Return the signed log-Doppler of all windows, dBc, ``(batch, frames, bins)``."""
        power = line_power(held[..., REACH:-REACH], self.lines)
        return self._db(tone_mean(power, weights)).transpose(1, 2)

    def _velocity(self, held: Tensor, weights: Tensor) -> Tensor:
        """Return the motion's level (dBc), frequency and flux in each window, ``(batch, frames, 3 · windows)``."""
        energy, frequency, flux = self._cues(pulse_pairs(held[..., REACH:-REACH], weights))
        return torch.cat([self._db(energy), frequency, flux], dim=1).transpose(1, 2)

    def _gradient(self, held: Tensor, weights: Tensor) -> Tensor:
        """Return the differences' levels (dBc), frequency and flux of the fastest, ``(batch, frames, channels)``."""
        differences = [difference(held, taps) for taps in DIFFERENCES]
        power = torch.stack([tone_mean(d.square().sum(dim=2), weights) for d in differences], dim=1)
        levels = self._db(smoothed(power, self.gradient_window)[:, :, 0])
        # Products two middles apart are centred on a middle again, and need one more on either side.
        _, frequency, flux = self._cues(pulse_pairs(difference(held, DIFFERENCES[0], REACH - 1), weights, lag=2))
        return torch.cat([levels, frequency, flux], dim=1).transpose(1, 2)

    def _cues(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return energy, mean phase step in units of π, and compressed flux, ``(batch, windows, frames)`` each."""
        real, imag, energy = smoothed(pairs, self.motion_windows).unbind(dim=1)
        # Without motion the floor turns the angle to 0 instead of to that of the noise.
        return energy, torch.atan2(imag, real + self.floor) / math.pi, torch.asinh(imag / self.floor)

    def _db(self, power: Tensor) -> Tensor:
        return 10 * torch.log10(power + self.floor)


def _frame_gradient(levels: Tensor, frame_lengths: Tensor) -> Tensor:
    """Return half the difference of the next and the previous frame, ``(batch, frames, channels)``; ends repeat."""
    at = torch.arange(levels.shape[1], device=levels.device)[None, :]
    after = torch.minimum(at + 1, (frame_lengths - 1).clamp(min=0)[:, None])
    before = (at - 1).clamp(min=0).expand_as(after)
    pick = [index[:, :, None].expand(-1, -1, levels.shape[2]) for index in (after, before)]
    return 0.5 * (levels.gather(1, pick[0]) - levels.gather(1, pick[1]))
