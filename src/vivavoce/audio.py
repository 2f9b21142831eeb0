"""Sound files in and out: wav, flac and ogg, checked so that a damaged file is named and never silently used."""

import io
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from vivavoce.errors import UserError
from vivavoce.files import atomic_path

MIN_RATE_HZ = 8_000  # telephone speech; below it a voice loses the formants that tell speakers apart
MAX_RATE_HZ = 96_000  # the fastest rate of common phone and studio recordings
MAX_DURATION_S = 600.0  # ten minutes: far above any login phrase, and a model's input still fits into memory
SPAN_TOLERANCE_S = 0.05  # time stamps of corpora overshoot a file's end by rounding; more than this is a mistake
FULL_SCALE = 32_766 / 32_768  # the two outermost codes of 16 bits count as clipped
MAX_CLIPPED = 0.01  # share of samples at full scale; speech, even loud, touches it in single samples only

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus")
_WAV = ("WAV", "WAVEX", "RF64")  # libsndfile's names of the formats
_FORMATS = (*_WAV, "FLAC", "OGG")
_STREAMED_BYTES = 0x7FFF_0000  # from here on a wav header says "length unknown": it was written to a pipe
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255  # the longest page (RFC 3533, section 6)
_UNKNOWN_SAMPLES = 1 << 60  # libsndfile gives such a count for a flac that was written to a pipe


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file holds: rate in Hz, samples per channel, channels."""

    sample_rate: int
    samples: int
    channels: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate


def audio_info(path: Path | str) -> AudioInfo:
    """Read the header of a sound file and check that the file is whole.

    Raises:
        UserError: the file is missing, empty, truncated, of zero length, not wav/flac/ogg, or not of 8 to 96 kHz.
    """
    path = Path(path)
    with _open(path) as file:
        info = _checked_info(path, file)
        if file.format == "FLAC":  # its header alone does not show a cut: the last block must decode
            _read(path, file, info.samples - 1, 1)
    return info


def read_audio(
    path: Path | str, *, channel: int | None = 0, start_s: float = 0.0, duration_s: float | None = None
) -> tuple[np.ndarray, int]:
    """Read one channel, or a span of it, as float32 in [-1, 1]; returns ``(samples,)`` and the rate in Hz.

    Args:
        path: a wav, flac or ogg file.
        channel: the channel's number from 0; None averages the channels.
        start_s: where to begin, in seconds.
        duration_s: how much to read, in seconds; None reads to the end.

    Raises:
        UserError: as `audio_info`; also NaN or infinite samples, no such channel, a span outside the file, or a
            span longer than `MAX_DURATION_S`.
    """
    path = Path(path)
    with _open(path) as file:
        info = _checked_info(path, file)
        check_channel(path, info, channel)
        start, frames = _span(path, info, start_s, duration_s)
        data = _read(path, file, start, frames)
    samples = data.mean(axis=1) if channel is None else np.ascontiguousarray(data[:, channel])
    if not np.isfinite(samples).all():
        raise _not_finite(path)
    return samples, info.sample_rate


def write_wav(path: Path | str, samples: np.ndarray, rate: int) -> None:
    """Write mono 16-bit PCM, atomically; ``samples`` is ``(samples,)``, float in [-1, 1] or int16.

    Raises:
        UserError: the disk is full or the folder cannot be written.
        ValueError: the samples are not one channel of finite numbers.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ValueError(f"write_wav takes one channel of shape (samples,), not {samples.shape}.")
    if samples.dtype != np.int16:
        if not np.isfinite(samples).all():
            raise ValueError("write_wav takes finite samples only.")
        samples = np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype(np.int16)
    # The standard library writes through Python, so that a full disk is an OSError; libsndfile only writes less.
    with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2", copy=False).tobytes())


def check_speech(samples: np.ndarray, rate: int, name: Path | str) -> None:
    """Refuse what cannot be a usable recording of speech; ``samples`` is ``(samples,)`` in [-1, 1].

    Raises:
        UserError: no samples, NaN or infinity, nothing but zeros, more than 1 % of the samples at full scale, a rate
            below 8 kHz or above 96 kHz, or longer than ten minutes.
    """
    check_rate(name, rate)
    if samples.size == 0:
        raise UserError(f"{name} holds no samples; record it again.")
    check_duration(name, samples.shape[-1] / rate)
    if not np.isfinite(samples).all():
        raise _not_finite(name)
    magnitude = np.abs(samples)
    if not magnitude.any():
        raise UserError(f"{name} is silent, every sample is zero; check the microphone and record it again.")
    clipped = float((magnitude >= FULL_SCALE).mean())
    if clipped > MAX_CLIPPED:
        raise UserError(
            f"{name} is clipped, {clipped:.1%} of its samples are at full scale; lower the gain and record it again."
        )


def check_rate(name: Path | str, rate: int) -> None:
    """Refuse a sample rate (Hz) outside `MIN_RATE_HZ` to `MAX_RATE_HZ` with a UserError."""
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise UserError(f"{name} has a sample rate of {rate} Hz; 8000 to 96000 Hz are supported, so resample it.")


def check_duration(name: Path | str, duration_s: float) -> None:
    """Refuse a recording longer than `MAX_DURATION_S` seconds with a UserError."""
    if duration_s > MAX_DURATION_S:
        raise UserError(
            f"{name} is {_length(duration_s)} long, and a recording may be {_length(MAX_DURATION_S)}; "
            "cut it, or name a span of it."
        )


def check_channel(name: Path | str, info: AudioInfo, channel: int | None) -> None:
    """Refuse a channel number that the file does not have with a UserError."""
    if channel is not None and not 0 <= channel < info.channels:
        have = "one channel, number 0" if info.channels == 1 else f"channels 0 to {info.channels - 1}"
        raise UserError(f"{name} has no channel {channel}; it has {have}.")


def check_span(name: Path | str, info: AudioInfo, start_s: float, duration_s: float | None) -> float:
    """Check a span of a file and return its duration in seconds, cut to the file's end where rounding overshoots.

    Raises:
        UserError: the span is outside the file, empty, or longer than `MAX_DURATION_S`.
    """
    left_s = info.duration_s - start_s
    wanted_s = left_s if duration_s is None else duration_s
    if not (start_s >= 0 and wanted_s > 0 and wanted_s <= left_s + SPAN_TOLERANCE_S and left_s > 0):
        span = f"from {start_s:g} s on" if duration_s is None else f"{start_s:g} s to {start_s + duration_s:g} s"
        raise UserError(f"{name} is {info.duration_s:.3f} s long and has no span {span}; correct the span.")
    wanted_s = min(wanted_s, left_s)
    check_duration(name, wanted_s)
    return wanted_s


def _span(path: Path, info: AudioInfo, start_s: float, duration_s: float | None) -> tuple[int, int]:
    length_s = check_span(path, info, start_s, duration_s)
    start = min(round(start_s * info.sample_rate), info.samples - 1)
    return start, min(max(1, round(length_s * info.sample_rate)), info.samples - start)


def _open(path: Path) -> sf.SoundFile:
    try:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "does not exist"
            raise UserError(f"The sound file {path} {what}; correct the path.")
        if path.stat().st_size == 0:
            raise UserError(f"The sound file {path} is empty (0 bytes); copy or record it again.")
        with path.open("rb"):  # libsndfile reports a missing permission only as "System error"
            return sf.SoundFile(str(path))
    except sf.LibsndfileError as error:
        raise _unreadable(path) from error
    except OSError as error:
        raise UserError(f"The sound file {path} cannot be read ({error.strerror}); mend its permissions.") from error


def _checked_info(path: Path, file: sf.SoundFile) -> AudioInfo:
    if file.format not in _FORMATS:
        raise UserError(f"The sound file {path} is {file.format}; convert it to wav, flac or ogg.")
    if (file.format == "OGG" and not _ogg_is_whole(path)) or (file.format in _WAV and not _wav_is_whole(path)):
        raise _truncated(path)
    if file.frames <= 0:
        raise UserError(f"The sound file {path} has zero length (a header without samples); record it again.")
    if file.frames >= _UNKNOWN_SAMPLES:
        raise UserError(f"The sound file {path} does not say how long it is; convert it again, to a file, not a pipe.")
    check_rate(f"The sound file {path}", file.samplerate)
    return AudioInfo(file.samplerate, file.frames, file.channels)


def _read(path: Path, file: sf.SoundFile, start: int, frames: int) -> np.ndarray:
    """Decode ``(frames, channels)`` float32 from sample ``start`` on."""
    try:
        file.seek(start)
        data = file.read(frames, dtype="float32", always_2d=True)
    except sf.LibsndfileError as error:
        raise _truncated(path) from error
    if len(data) < frames:
        raise _truncated(path)
    return data


def _wav_is_whole(path: Path) -> bool:
    """Tell whether a wav file holds as many bytes as its data chunk promises; libsndfile reads what is left of it."""
    with path.open("rb") as file:
        total = file.seek(0, io.SEEK_END)
        file.seek(0)
        order = "big" if file.read(12).startswith(b"RIFX") else "little"
        long_size: int | None = None
        while len(header := file.read(8)) == 8:
            name, size = header[:4], int.from_bytes(header[4:], order)
            if name == b"ds64":  # RF64 keeps the 64-bit sizes here: RIFF, then data
                long_size = int.from_bytes(file.read(16)[8:], order)
                file.seek(size - 16, io.SEEK_CUR)
            elif name == b"data":
                size = long_size if size == 0xFFFF_FFFF and long_size is not None else size
                streamed = long_size is None and size >= _STREAMED_BYTES
                return streamed or file.tell() + size <= total
            else:
                file.seek(size + size % 2, io.SEEK_CUR)
    return False


def _ogg_is_whole(path: Path) -> bool:
    """Tell whether an ogg file ends with a complete page that is marked as the last (RFC 3533, section 6)."""
    with path.open("rb") as file:
        total = file.seek(0, io.SEEK_END)
        file.seek(max(0, total - _OGG_PAGE_BYTES))
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    segments = page[26]
    return len(page) >= 27 + segments + sum(page[27 : 27 + segments]) and bool(page[5] & 4)


def _unreadable(path: Path) -> UserError:
    with path.open("rb") as file:
        start = file.read(4)
    if start in (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS"):
        return _truncated(path)
    return UserError(f"{path} is not a sound file; wav, flac and ogg can be read.")


def _truncated(path: Path) -> UserError:
    kilobytes = path.stat().st_size / 1000
    return UserError(
        f"The sound file {path} is truncated or damaged: its {kilobytes:.1f} kB hold less sound than its header "
        "promises; copy it again."
    )


def _not_finite(name: Path | str) -> UserError:
    return UserError(f"{name} holds samples that are NaN or infinite; export it again as 16-bit PCM.")


def _length(seconds: float) -> str:
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
