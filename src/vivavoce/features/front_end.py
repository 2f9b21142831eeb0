"""From a waveform to the features a model reads: two bands of one recording on one frame grid."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor, nn

from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.signal.bands import Resample
from vivavoce.signal.echo import EchoConfig
from vivavoce.signal.probe import ProbeQuality, detect_tones, probe_quality
from vivavoce.signal.voice import FbankConfig

VOICE_HZ = 16_000
# Rates that hold the ultrasound band; any other recording is brought to the nearest of these or to the voice rate.
ULTRASOUND_HZ = (48_000, 44_100)


class FrontEndConfig(BaseModel):
    """The features of both bands."""

    model_config = ConfigDict(extra="forbid")

    voice: FbankConfig = FbankConfig()
    echo: EchoConfig = EchoConfig()

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        """Keep to what both bands share, 16 kHz and 10 ms a frame, and to what can be kept once as 16-bit floats."""
        needed = {
            **{"sample_rate": VOICE_HZ, "frame_shift_ms": 10.0, "snip_edges": False},
            **{"use_log_fbank": True, "dither": 0.0},
        }
        wrong = [name for name, value in needed.items() if getattr(self.voice, name) != value]
        if wrong:
            raise ValueError(f"voice.{wrong[0]} must be {needed[wrong[0]]} in features kept on one grid with the echo")
        return self

    def build(self) -> "FrontEnd":
        """Make the front end."""
        return FrontEnd(self)


@dataclass(frozen=True)
class Wave:
    """One recording at a rate that the front end takes, with the tones its phone played."""

    samples: np.ndarray  # (samples,) float32
    rate: int
    tones_hz: tuple[float, ...]
    quality: ProbeQuality


class FrontEnd(nn.Module):
    """Voice and echo features of a batch of waveforms of one sample rate.

    Where the rate holds no ultrasound the echo is all zeros; `ProbeQuality` says so, and liveness abstains.
    """

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.voice = config.voice.build()
        self.echoes = nn.ModuleDict({str(rate): config.echo.build(rate) for rate in ULTRASOUND_HZ})
        self.to_voice = nn.ModuleDict({str(rate): Resample(rate, VOICE_HZ) for rate in ULTRASOUND_HZ})
        self.mels = config.voice.num_mel_bins
        self.echo_channels: int = self.echoes[str(ULTRASOUND_HZ[0])].num_channels  # pyright: ignore

    def forward(self, wave: Tensor, lengths: Tensor, rate: int, tones_hz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute both feature streams.

        Args:
            wave: ``(batch, samples)``.
            lengths: samples of each recording, ``(batch,)``.
            rate: sample rate in Hz: 48000, 44100 or 16000.
            tones_hz: ``(batch, tones)``, 0 where a tone is unused.

        Returns:
            Voice ``(batch, frames, mels)``, echo ``(batch, frames, channels)``, frames of each ``(batch,)``.
        """
        if rate == VOICE_HZ:
            voice, frames = self.voice(wave, lengths)
            return voice, voice.new_zeros(*voice.shape[:2], self.echo_channels), frames
        voice, frames = self.voice(*self.to_voice[str(rate)](wave, lengths))
        echo, echo_frames = self.echoes[str(rate)](wave, lengths, tones_hz)
        # Resampling may round a frame more or less out of the last samples.
        common = torch.minimum(frames, echo_frames)
        longest = int(common.max())
        return voice[:, :longest], echo[:, :longest], common


def read_wave(row: Row) -> Wave:
    """Read one recording of a manifest and find its probe."""
    samples, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    return prepare_wave(samples, rate, row.meta.probe_hz)


def prepare_wave(samples: np.ndarray, rate: int, probe_hz: tuple[float, ...] | None) -> Wave:
    """Bring samples to a rate the front end takes and judge the probe; unknown tones are detected."""
    samples, rate = _to_supported_rate(samples, rate)
    if rate not in ULTRASOUND_HZ:
        return Wave(samples, rate, (), probe_quality(samples, rate, ()))
    tones = detect_tones(samples, rate) if probe_hz is None else tuple(probe_hz)
    return Wave(samples, rate, tones, probe_quality(samples, rate, tones))


def _to_supported_rate(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    if rate in ULTRASOUND_HZ or rate == VOICE_HZ:
        return samples, rate
    import soxr

    target = ULTRASOUND_HZ[0] if rate >= ULTRASOUND_HZ[1] else VOICE_HZ
    return soxr.resample(samples, rate, target).astype(np.float32), target


def batch_features(front_end: FrontEnd, waves: list[Wave]) -> list[tuple[Tensor, Tensor]]:
    """Features of several recordings, one pass for each sample rate: a list of (voice, echo), unpadded."""
    results: list[tuple[Tensor, Tensor] | None] = [None] * len(waves)
    for rate in sorted({wave.rate for wave in waves}):
        members = [index for index, wave in enumerate(waves) if wave.rate == rate]
        lengths = torch.tensor([len(waves[index].samples) for index in members])
        padded = torch.zeros(len(members), int(lengths.max()))
        tones = torch.zeros(len(members), max(1, *(len(waves[index].tones_hz) for index in members)))
        for slot, index in enumerate(members):
            padded[slot, : lengths[slot]] = torch.from_numpy(waves[index].samples)
            tones[slot, : len(waves[index].tones_hz)] = torch.tensor(waves[index].tones_hz)
        with torch.inference_mode():
            voice, echo, frames = front_end(padded, lengths, rate, tones)
        for slot, index in enumerate(members):
            results[index] = (voice[slot, : frames[slot]], echo[slot, : frames[slot]])
    return [result for result in results if result is not None]
