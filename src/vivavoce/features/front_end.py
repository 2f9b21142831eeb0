"""From a waveform to the features a model reads: two bands of one recording on one frame grid."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from torch import Tensor, nn

from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.features.accelerometer import Sensor, read_displacement
from vivavoce.signal.bands import Resample
from vivavoce.signal.deltas import with_deltas
from vivavoce.signal.echo import EchoConfig
from vivavoce.signal.framing import masked, sped_rate
from vivavoce.signal.iq import IQ_RATE_HZ
from vivavoce.signal.melspec import MelSpecConfig
from vivavoce.signal.quality import ProbeQuality, judge_recording
from vivavoce.signal.voice import FbankConfig, MfccConfig

VOICE_HZ = 16_000
# Rates that hold the ultrasound band; any other recording is brought to the nearest of these or to the voice rate.
ULTRASOUND_HZ = (48_000, 44_100)
# Samples of one pass: on the CPU what fits its cache is done faster, and without fresh memory for each step.
PASS_SAMPLES_CPU, PASS_SAMPLES_GPU = 400_000, 50_000_000

VoiceAugment = Callable[[Tensor, Tensor], Tensor]


def _log_mel_unless_told(voice: Any) -> Any:
    return {"type": "fbank", **voice} if isinstance(voice, dict) else voice


class FrontEndConfig(BaseModel):
    """The features of both bands."""

    model_config = ConfigDict(extra="forbid")

    voice: Annotated[
        FbankConfig | MfccConfig | MelSpecConfig, Field(discriminator="type"), BeforeValidator(_log_mel_unless_told)
    ] = FbankConfig()
    deltas: Literal[0, 1, 2] = Field(
        default=0, description="regression deltas of the voice features: 0 none, 1 Δ, 2 Δ and ΔΔ"
    )
    echo: EchoConfig = EchoConfig()

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        """Keep to what both bands share, 16 kHz and 10 ms a frame, and to what can be kept once as 16-bit floats."""
        needed: dict[str, object] = {
            **{"sample_rate": VOICE_HZ, "frame_shift_ms": 10.0},
            **({} if isinstance(self.voice, MelSpecConfig) else {"dither": 0.0}),
            **({"use_log_fbank": True} if isinstance(self.voice, FbankConfig) else {}),
        }
        wrong = [name for name, value in needed.items() if getattr(self.voice, name) != value]
        if wrong:
            raise ValueError(f"voice.{wrong[0]} must be {needed[wrong[0]]} in features kept on one grid with the echo")
        return self

    @property
    def warpable(self) -> bool:
        """The voice features are log-mel frames alone, whose speed a warp of the mel axis can change afterwards."""
        return not isinstance(self.voice, MfccConfig) and not self.deltas

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
    sensor: Sensor | None = None  # the phone's accelerometer; None: it was not recorded


class Probe(NamedTuple):
    """What was found of a recording's probe when it was read before."""

    tones_hz: tuple[float, ...]
    quality: ProbeQuality


class Augmentation(Protocol):
    """What `batch_features` asks of an augmentation; each item's randomness comes from its own seed alone."""

    def speeds(self, seeds: np.ndarray) -> np.ndarray:
        """Speed of each item ``(items,)``; 1 leaves it as it is."""
        ...

    def voice(self, wave16k: Tensor, lengths: Tensor, seeds: np.ndarray) -> Tensor:
        """Augmented voice bands ``(batch, samples)`` at 16 kHz, zero behind each item's end."""
        ...


class FrontEnd(nn.Module):
    """Voice and echo features of a batch of waveforms of one sample rate.

    Where the rate holds no ultrasound the echo is all zeros; `ProbeQuality` says so, and liveness abstains.
    """

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.voice = config.voice.build()
        self.echoes = nn.ModuleDict({str(rate): config.echo.build(rate) for rate in ULTRASOUND_HZ})
        # Named by the rate that a recording is read at, which is its own times the speed; grown as speeds come.
        self.to_voice = nn.ModuleDict({str(rate): Resample(rate, VOICE_HZ) for rate in ULTRASOUND_HZ})
        self.voice_channels: int = self.voice.num_channels * (1 + config.deltas)
        self.echo_channels: int = self.echoes[str(ULTRASOUND_HZ[0])].num_channels  # pyright: ignore

    @property
    def device(self) -> torch.device:
        """Where the features are computed."""
        return next(self.voice.buffers()).device

    def forward(
        self,
        wave: Tensor,
        lengths: Tensor,
        rate: int,
        tones_hz: Tensor,
        speed: float = 1.0,
        voice_augment: VoiceAugment | None = None,
        displacement_m: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute both feature streams.

        Args:
            wave: ``(batch, samples)``.
            lengths: samples of each recording, ``(batch,)``.
            rate: sample rate in Hz: 48000, 44100 or 16000.
            tones_hz: ``(batch, tones)``, 0 where a tone is unused.
            speed: as if everything went so many times faster, the voice and the mouth; the tones stay where they are.
            voice_augment: changes the voice band ``(batch, samples)`` at 16 kHz, given with its lengths ``(batch,)``,
                before its features are taken; the echo never sees it.
            displacement_m: where each phone was, ``(batch, iq_frames, 3)`` m at 300 Hz, for the echo's ``compensate``.

        Returns:
            Voice ``(batch, frames, voice_channels)``, echo ``(batch, frames, echo_channels)``, frames of each
            ``(batch,)``.

        Raises:
            UserError: the speed lies outside 0.5 to 2, or is no multiple of 0.01.
        """
        voice16k, lengths16k = self._voice_band(sped_rate(rate, speed))(wave, lengths)
        if voice_augment is not None:
            voice16k = voice_augment(voice16k, lengths16k)
        voice, frames = self.voice(voice16k, lengths16k)
        voice = with_deltas(voice, frames, self.config.deltas)
        if rate == VOICE_HZ:
            return voice, voice.new_zeros(*voice.shape[:2], self.echo_channels), frames
        echo, echo_frames = self.echoes[str(rate)](wave, lengths, tones_hz, speed, displacement_m)
        if not self.config.voice.on_grid:
            echo = _beside(echo, echo_frames, voice.shape[1], frames, self.config.voice.first_on_grid)
        return voice, echo, frames

    def _voice_band(self, rate: int) -> nn.Module:
        """The band split of recordings read at ``rate`` Hz."""
        if str(rate) not in self.to_voice:
            self.to_voice[str(rate)] = Resample(rate, VOICE_HZ).to(self.device)
        return self.to_voice[str(rate)]


def _beside(echo: Tensor, echo_frames: Tensor, size: int, frames: Tensor, first: int) -> Tensor:
    """Take the echo frame nearest to each voice frame, ``(batch, size, echo_channels)``; the last one is held.

    Args:
        echo: ``(batch, echo frames, echo_channels)``.
        echo_frames: frames of each echo, ``(batch,)``.
        size: voice frames of the padded batch.
        frames: voice frames of each recording, ``(batch,)``.
        first: the echo frame nearest to the first voice frame.
    """
    last = (echo_frames - 1).clamp(min=0)[:, None]
    index = torch.minimum(torch.arange(first, first + size, device=echo.device)[None, :], last)
    return masked(echo.gather(1, index[:, :, None].expand(-1, -1, echo.shape[2])), frames)


def read_wave(row: Row, known: Probe | None = None) -> Wave:
    """Read one recording of a manifest and find its probe; one that is ``known`` is neither searched nor judged."""
    samples, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    sensor = None
    if row.meta.accelerometer is not None:
        sensor = Sensor(row.path.parent / row.meta.accelerometer, row.start_s)
    if known is not None:
        return Wave(*_to_supported_rate(samples, rate), known.tones_hz, known.quality, sensor)
    return prepare_wave(samples, rate, row.meta.probe_hz, sensor)


def prepare_wave(
    samples: np.ndarray, rate: int, probe_hz: tuple[float, ...] | None, sensor: Sensor | None = None
) -> Wave:
    """Bring samples to a rate the front end takes and judge the recording; unknown tones are detected."""
    samples, rate = _to_supported_rate(samples, rate)
    return Wave(samples, rate, *judge_recording(samples, rate, probe_hz if rate in ULTRASOUND_HZ else ()), sensor)


def _to_supported_rate(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    if rate in ULTRASOUND_HZ or rate == VOICE_HZ:
        return samples, rate
    import soxr

    target = ULTRASOUND_HZ[0] if rate >= ULTRASOUND_HZ[1] else VOICE_HZ
    return soxr.resample(samples, rate, target).astype(np.float32), target


def batch_features(
    front_end: FrontEnd,
    waves: Sequence[Wave],
    augment: Augmentation | None = None,
    seeds: np.ndarray | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Features of several recordings, in passes of one sample rate and speed.

    Args:
        front_end: the features, computed where it is.
        waves: the recordings.
        augment: changes speed and voice band of each recording.
        seeds: the augmentation's randomness, one seed a recording, ``(recordings,)`` int64.

    Returns:
        Voice ``(frames, voice_channels)`` and echo ``(frames, echo_channels)`` of each recording, unpadded.
    """
    if augment is not None and (seeds is None or len(seeds) != len(waves)):
        raise ValueError("an augmentation needs one seed for each recording")
    speeds = np.ones(len(waves)) if augment is None or seeds is None else augment.speeds(seeds)
    results: dict[int, tuple[Tensor, Tensor]] = {}
    most = PASS_SAMPLES_CPU if front_end.device.type == "cpu" else PASS_SAMPLES_GPU
    for rate, speed, members in _passes(waves, speeds, most):
        chosen = [waves[index] for index in members]
        padded, lengths, tones = _padded(chosen, front_end.device)
        displacement_m = _displacements(chosen, front_end)
        change = None
        if augment is not None and seeds is not None:
            change = partial(_change, augment, seeds[members])
        with torch.no_grad():
            voice, echo, frames = front_end(padded, lengths, rate, tones, speed, change, displacement_m)
        for slot, (index, count) in enumerate(zip(members, frames.tolist(), strict=True)):
            results[index] = (voice[slot, :count], echo[slot, :count])
    return [results[index] for index in range(len(waves))]


def _passes(waves: Sequence[Wave], speeds: np.ndarray, most: int) -> Iterator[tuple[int, float, list[int]]]:
    """Yield rate, speed and members of each pass: recordings of like length, together no more than ``most`` samples."""
    groups: dict[tuple[int, float], list[int]] = {}
    for index in sorted(range(len(waves)), key=lambda index: len(waves[index].samples)):
        groups.setdefault((waves[index].rate, float(speeds[index])), []).append(index)
    for (rate, speed), members in groups.items():
        chosen: list[int] = []
        for index in members:
            if chosen and len(waves[index].samples) * (len(chosen) + 1) > most:
                yield rate, speed, chosen
                chosen = []
            chosen.append(index)
        yield rate, speed, chosen


def _change(augment: Augmentation, seeds: np.ndarray, wave16k: Tensor, lengths: Tensor) -> Tensor:
    return augment.voice(wave16k, lengths, seeds)


def _padded(waves: Sequence[Wave], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Samples ``(batch, samples)``, lengths ``(batch,)`` and tones ``(batch, tones)`` of one batch."""
    lengths = torch.tensor([len(wave.samples) for wave in waves])
    padded = torch.zeros(len(waves), int(lengths.max()))
    tones = torch.zeros(len(waves), max(1, *(len(wave.tones_hz) for wave in waves)))
    for slot, wave in enumerate(waves):
        padded[slot, : lengths[slot]] = torch.from_numpy(wave.samples)
        tones[slot, : len(wave.tones_hz)] = torch.tensor(wave.tones_hz)
    return padded.to(device), lengths.to(device), tones.to(device)


def _displacements(waves: Sequence[Wave], front_end: FrontEnd) -> Tensor | None:
    """Where the phones of one batch were, ``(batch, iq_frames, 3)`` m; at rest where it was not measured.

    None where the front end does not ask: then no file is read.
    """
    if front_end.config.echo.compensate != "accelerometer" or waves[0].rate not in ULTRASOUND_HZ:
        return None
    seconds = [len(wave.samples) / wave.rate for wave in waves]
    moved = torch.zeros(len(waves), int(max(seconds) * IQ_RATE_HZ) + 2, 3, dtype=torch.float64)
    for slot, (wave, length_s) in enumerate(zip(waves, seconds, strict=True)):
        if wave.sensor is not None:
            way = torch.from_numpy(read_displacement(wave.sensor.path, wave.sensor.start_s, length_s))
            moved[slot, : len(way)] = way
    return moved.to(front_end.device)
