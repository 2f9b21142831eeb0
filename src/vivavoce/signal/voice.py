"""Voice features: log-mel filter bank and MFCC with Kaldi's options and Kaldi's numbers, on padded batches."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vivavoce.errors import UserError
from vivavoce.signal.framing import masked, reflected
from vivavoce.signal.mel import WindowName, analysis_window, cosine_transform, mel_filters

# Kaldi floors energies at std::numeric_limits<float>::epsilon() before the logarithm.
EPSILON = torch.finfo(torch.float32).eps


class _WindowConfig(BaseModel):
    """What filter bank and MFCC share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_rate: int = Field(default=16_000, gt=0, description="Hz; also Kaldi's sample_frequency")
    frame_length_ms: float = Field(default=25.0, gt=0, description="ms")
    frame_shift_ms: float = Field(default=10.0, gt=0, description="ms")
    window: WindowName = Field(default="povey", description="povey, hamming or hanning")
    preemphasis: float = Field(default=0.97, ge=0, le=1, description="coefficient; 0 switches it off")
    remove_dc_offset: bool = Field(default=True, description="subtract each frame's mean")
    dither: float = Field(default=0.0, ge=0, description="16-bit codes RMS of noise added in training only")
    low_freq: float = Field(default=20.0, ge=0, description="Hz")
    high_freq: float = Field(default=0.0, description="Hz; 0 or below counts down from the Nyquist frequency")
    use_power: bool = Field(default=True, description="power spectrum; otherwise magnitude")
    snip_edges: bool = Field(default=False, description="only frames that fit wholly; otherwise reflect at the ends")
    scale: float = Field(default=32768.0, gt=0, description="Kaldi expects 16-bit codes, we hold full scale as 1")

    @property
    def first_on_grid(self) -> int:
        """Which frame of the common grid (`vivavoce.signal.framing`) lies nearest to the first of these."""
        return round((self.frame_length_ms / self.frame_shift_ms - 1) / 2) if self.snip_edges else 0

    @property
    def on_grid(self) -> bool:
        """Whether frames are those of the common grid, centre for centre."""
        return not self.snip_edges


class FbankConfig(_WindowConfig):
    """Log-mel filter bank."""

    type: Literal["fbank"] = "fbank"
    num_mel_bins: int = Field(default=80, ge=3, description="mel bands")
    use_log_fbank: bool = Field(default=True, description="natural logarithm of the mel energies")

    def build(self) -> "Fbank":
        """Make the front end."""
        return Fbank(self)


class MfccConfig(_WindowConfig):
    """Mel-frequency cepstral coefficients."""

    type: Literal["mfcc"] = "mfcc"
    num_mel_bins: int = Field(
        default=40, ge=3, description="mel bands (the x-vector recipes of Kaldi use as many as num_ceps)"
    )
    num_ceps: int = Field(default=40, ge=1, description="coefficients, with C0")
    cepstral_lifter: float = Field(default=22.0, ge=0, description="0 switches it off")
    use_energy: bool = Field(default=False, description="log energy of the frame before pre-emphasis in place of C0")

    def build(self) -> "Mfcc":
        """Make the front end."""
        return Mfcc(self)


class _Spectrum(nn.Module):
    """Waveforms to mel energies: frames, DC removal, pre-emphasis, window, FFT, mel filters."""

    window: Tensor
    filters: Tensor

    def __init__(self, config: _WindowConfig, mels: int):
        super().__init__()
        self.config = config
        self.size = round(config.frame_length_ms * config.sample_rate / 1000)
        self.shift = round(config.frame_shift_ms * config.sample_rate / 1000)
        self.fft_size = 1 << (self.size - 1).bit_length()
        nyquist = config.sample_rate / 2
        high = config.high_freq if config.high_freq > 0 else nyquist + config.high_freq
        if not 0 <= config.low_freq < high <= nyquist:
            raise UserError(
                f"Mel bands from low_freq {config.low_freq:g} to high_freq {high:g} Hz do not lie between 0 and "
                f"{nyquist:g} Hz, half the sample rate; change low_freq or high_freq."
            )
        filters = mel_filters(mels, self.fft_size, config.sample_rate, config.low_freq, high)
        window = analysis_window(config.window, self.size).float()
        # Povey and Hann windows begin at 0, so a frame's first sample counts only under a Hamming window.
        self.first_weight = float(window[0])
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)

    def frame_count(self, samples: Tensor) -> Tensor:
        """Return Kaldi's number of frames for each number of samples."""
        if self.config.snip_edges:
            return ((samples - self.size) // self.shift + 1).clamp(min=0)
        return (samples + self.shift // 2) // self.shift

    def forward(self, wave: Tensor, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return mel energies ``(batch, frames, mels)``."""
        config = self.config
        codes = self._codes(wave, lengths, generator)
        frames = self._framed(codes)
        if not frames.shape[1]:
            return codes.new_zeros(len(codes), 0, self.filters.shape[1])
        # Kaldi's order is frame, mean, pre-emphasis. Both are linear, so the waveform is filtered once instead of each
        # frame, and the mean, of which pre-emphasis leaves a share, is subtracted afterwards.
        emphasised = codes[:, 1:] - config.preemphasis * codes[:, :-1]
        emphasised = self._framed(nn.functional.pad(emphasised, (1, 0)))
        if config.remove_dc_offset:
            emphasised = emphasised - (1 - config.preemphasis) * frames.mean(dim=2, keepdim=True)
        windowed = emphasised * self.window
        if self.first_weight > 0:
            windowed[:, :, 0] = self._first_samples(frames) * self.first_weight
        spectrum = torch.fft.rfft(windowed, n=self.fft_size, dim=2)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power if config.use_power else power.sqrt()) @ self.filters

    def log_energy(self, wave: Tensor, lengths: Tensor) -> Tensor:
        """Return the logarithm of each frame's energy before pre-emphasis and window, ``(batch, frames)``."""
        frames = self._framed(self._codes(wave, lengths, None))
        if self.config.remove_dc_offset:
            frames = frames - frames.mean(dim=2, keepdim=True)
        return frames.square().sum(dim=2).clamp(min=EPSILON).log()

    def _first_samples(self, frames: Tensor) -> Tensor:
        """A frame's first sample has no predecessor; Kaldi takes itself."""
        first = frames[:, :, 0]
        if self.config.remove_dc_offset:
            first = first - frames.mean(dim=2)
        return (1 - self.config.preemphasis) * first

    def _framed(self, codes: Tensor) -> Tensor:
        if codes.shape[1] < self.size:
            return codes.new_zeros(codes.shape[0], 0, self.size)
        return codes.unfold(1, self.size, self.shift)

    def _codes(self, wave: Tensor, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return what the frames are cut from; at each item's own ends Kaldi reflects, so no padding is looked at."""
        count = int(self.frame_count(torch.tensor(wave.shape[1])))
        if count == 0:
            return wave.new_zeros(wave.shape[0], 0)
        before = 0 if self.config.snip_edges else self.size // 2 - self.shift // 2
        size = (count - 1) * self.shift + self.size
        codes = nn.functional.pad(wave, (before, max(0, size - before - wave.shape[1])))[:, :size]
        if not self.config.snip_edges:
            left = torch.arange(-before, 0, device=wave.device).expand(len(wave), -1)
            right = lengths[:, None] + torch.arange(self.size, device=wave.device)
            edges = torch.cat([left, right], dim=1)
            values = wave.gather(1, reflected(edges, lengths))
            # Where an end is cut off by the batch's own, the last place takes what no valid frame sees.
            codes = nn.functional.pad(codes, (0, 1)).scatter(1, (edges + before).clamp(max=size), values)[:, :size]
        codes = codes * self.config.scale
        if self.training and self.config.dither > 0:
            noise = torch.randn(codes.shape, generator=generator, dtype=codes.dtype, device=codes.device)
            codes = codes + self.config.dither * noise
        return codes


class Fbank(nn.Module):
    """Log-mel filter bank of a padded batch, equal to kaldi-native-fbank's within 1e-3.

    With the default ``snip_edges=False`` frame t is centred at 5 ms + 10 ms · t.
    """

    def __init__(self, config: FbankConfig):
        super().__init__()
        self.config = config
        self.spectrum = _Spectrum(config, config.num_mel_bins)

    @property
    def num_channels(self) -> int:
        """Features a frame."""
        return self.config.num_mel_bins

    def forward(self, wave: Tensor, lengths: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return features ``(batch, frames, mels)``, zero behind each item's end, and frame lengths ``(batch,)``.

        Args:
            wave: ``(batch, samples)`` at ``sample_rate``, full scale 1.
            lengths: ``(batch,)`` int64 samples.
            generator: randomness of the dither in training; torch's own where None.
        """
        mels = self.spectrum(wave, lengths, generator)
        frame_lengths = self.spectrum.frame_count(lengths)
        if self.config.use_log_fbank:
            mels = mels.clamp(min=EPSILON).log()
        return masked(mels, frame_lengths), frame_lengths


class Mfcc(nn.Module):
    """MFCC of a padded batch, equal to kaldi-native-fbank's within 1e-3."""

    transform: Tensor

    def __init__(self, config: MfccConfig):
        super().__init__()
        if config.num_ceps > config.num_mel_bins:
            raise UserError(f"num_ceps {config.num_ceps} is more than num_mel_bins {config.num_mel_bins}; lower it.")
        self.config = config
        self.spectrum = _Spectrum(config, config.num_mel_bins)
        transform = cosine_transform(config.num_mel_bins, config.num_ceps, config.cepstral_lifter)
        self.register_buffer("transform", transform, persistent=False)

    @property
    def num_channels(self) -> int:
        """Features a frame."""
        return self.config.num_ceps

    def forward(self, wave: Tensor, lengths: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return features ``(batch, frames, ceps)``, zero behind each item's end, and frame lengths ``(batch,)``."""
        mels = self.spectrum(wave, lengths, generator)
        frame_lengths = self.spectrum.frame_count(lengths)
        # The lifter multiplies rounding errors by up to 12; in float64 they stay below those of the mel energies.
        ceps = (mels.clamp(min=EPSILON).log().double() @ self.transform.double()).to(mels.dtype)
        if self.config.use_energy:
            energy = self.spectrum.log_energy(wave, lengths)
            ceps = torch.cat([energy[:, :, None], ceps[:, :, 1:]], dim=2)
        return masked(ceps, frame_lengths), frame_lengths
