"""Mel spectrograms of centred frames, as SpeechBrain and torchaudio compute them.

Sources: SpeechBrain `processing/features.py` (STFT, Filterbank); torchaudio `transforms.MelSpectrogram`, as TaoRuijie's
ECAPA-TDNN `model.py` uses it. Both work on ``torch.stft`` with ``center=True``.
"""

import math
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from vivavoce.signal.framing import VOICE_RATE_HZ, length_mask, masked, mirrored
from vivavoce.signal.mel import hz_filters

DB_OF_NEPER = 10 / math.log(10)  # of an energy


class MelSpecConfig(BaseModel):
    """Log-mel spectrogram whose frames are centred at 10 ms · t; the defaults are SpeechBrain's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["melspec"] = "melspec"
    sample_rate: int = Field(default=VOICE_RATE_HZ, gt=0, description="Hz")
    frame_length_ms: float = Field(default=25.0, gt=0, description="ms of a window")
    frame_shift_ms: float = Field(default=10.0, gt=0, description="ms")
    n_fft: int = Field(default=400, ge=2, description="points of the Fourier transform, no fewer than a window's")
    window: Literal["hamming", "hanning"] = Field(default="hamming", description="periodic, as torch's are")
    ends: Literal["zero", "mirror"] = Field(default="zero", description="what lies beyond a recording's ends")
    preemphasis: float = Field(default=0.0, ge=0, le=1, description="coefficient; 0 switches it off")
    low_freq: float = Field(default=0.0, ge=0, description="Hz")
    high_freq: float = Field(default=8000.0, gt=0, description="Hz")
    num_mel_bins: int = Field(default=80, ge=3, description="mel bands")
    even_triangles: bool = Field(
        default=True, description="filters fall off as fast as they rise (SpeechBrain); otherwise to the next centre"
    )
    unit: Literal["db", "nepers"] = Field(default="db", description="10·log10, or the natural logarithm, of energies")
    floor: float = Field(default=1e-10, gt=0, description="least energy")
    floor_added: bool = Field(default=False, description="the floor is added to energies; otherwise it bounds them")
    top_db: float | None = Field(
        default=80.0, gt=0, description="dB below an utterance's loudest value at which its others are cut; null: none"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.n_fft < self.window_size:
            raise ValueError(f"n_fft ({self.n_fft}) must be at least the {self.window_size} samples of a window")
        if not self.low_freq < self.high_freq <= self.sample_rate / 2:
            raise ValueError(
                f"high_freq ({self.high_freq:g}) must lie above low_freq and not above {self.sample_rate / 2:g} Hz"
            )
        if self.top_db is not None and self.unit != "db":
            raise ValueError("top_db is for the unit db; set it to null")
        return self

    @property
    def window_size(self) -> int:
        """Samples of a window."""
        return round(self.frame_length_ms * self.sample_rate / 1000)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return round(self.frame_shift_ms * self.sample_rate / 1000)

    @property
    def first_on_grid(self) -> int:
        """Which frame of the common grid (`vivavoce.signal.framing`) lies nearest to the first of these."""
        return 0

    @property
    def on_grid(self) -> bool:
        """Whether frames are those of the common grid, centre for centre."""
        return False

    def build(self) -> "MelSpec":
        """Make the front end."""
        return MelSpec(self)


class MelSpec(nn.Module):
    """Log-mel spectrogram of a padded batch.

    Frame t is centred at 10 ms · t, 5 ms before frame t of the common grid, so that there are up to one frame more.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelSpecConfig) -> None:
        super().__init__()
        self.config = config
        window = torch.hamming_window if config.window == "hamming" else torch.hann_window
        filters = hz_filters(
            config.num_mel_bins, config.n_fft, config.sample_rate, config.low_freq, config.high_freq,
            even=config.even_triangles,
        )  # fmt: skip
        around = config.n_fft - config.window_size
        padded = nn.functional.pad(window(config.window_size), (around // 2, around - around // 2))
        self.register_buffer("window", padded, persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)

    @property
    def num_channels(self) -> int:
        """Features a frame."""
        return self.config.num_mel_bins

    def frame_count(self, samples: Tensor) -> Tensor:
        """Return the number of frames for each number of samples; none without any."""
        return torch.where(samples > 0, samples // self.config.hop + 1, 0)

    def forward(self, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features ``(batch, frames, mels)``, zero behind each item's end, and frame lengths ``(batch,)``.

        Args:
            wave: ``(batch, samples)`` at ``sample_rate``, full scale 1.
            lengths: ``(batch,)`` int64 samples.
        """
        config = self.config
        frame_lengths = self.frame_count(lengths)
        if not wave.shape[1]:
            return wave.new_zeros(len(wave), 0, config.num_mel_bins), frame_lengths
        frames = self._extended(masked(wave, lengths), lengths).unfold(1, config.n_fft, config.hop)
        spectrum = torch.fft.rfft(frames * self.window, dim=2)
        mels = (spectrum.real.square() + spectrum.imag.square()) @ self.filters
        logs = (mels + config.floor if config.floor_added else mels.clamp(min=config.floor)).log()
        if config.unit == "db":
            logs = logs * DB_OF_NEPER
        if config.top_db is not None:
            own = length_mask(frame_lengths, logs.shape[1])[:, :, None]
            loudest = torch.where(own, logs, -torch.inf).amax(dim=(1, 2), keepdim=True)
            logs = torch.maximum(logs, loudest - config.top_db)
        return masked(logs, frame_lengths), frame_lengths

    def _extended(self, wave: Tensor, lengths: Tensor) -> Tensor:
        """Pre-emphasised samples with half an FFT beyond both ends of each item."""
        config, half = self.config, self.config.n_fft // 2
        if config.preemphasis:
            # What comes before the first sample is the second: torch's "reflect".
            before = mirrored(lengths.new_full((len(wave), 1), -1), lengths)
            wave = wave - config.preemphasis * torch.cat([wave.gather(1, before), wave[:, :-1]], dim=1)
            wave = masked(wave, lengths)
        padded = nn.functional.pad(wave, (half, half))
        if config.ends == "zero":
            return padded
        steps = torch.arange(half, device=wave.device)
        edges = torch.cat([(steps - half).expand(len(wave), -1), lengths[:, None] + steps], dim=1)
        return padded.scatter(1, edges + half, wave.gather(1, mirrored(edges, lengths)))
