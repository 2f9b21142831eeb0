"""The numbers of one recording, all from one decoding of its samples."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.fft

from vivavoce.audio import FULL_SCALE, MAX_DURATION_S, AudioInfo, audio_info, read_audio
from vivavoce.audit.fingerprint import fingerprint
from vivavoce.audit.tones import measure_probe
from vivavoce.errors import UserError

# Raise it whenever a number below is computed in another way: rows of an older version are measured anew.
VERSION = 1
# Levels of nothing at all; 16 bits end at -96 dBFS, 24 bits at -144 dBFS.
NOTHING_DBFS = -150.0
# The voice is judged without rumble below and without the probe above; 20 ms is the usual frame of voice activity.
VOICE_LOW_HZ, VOICE_HIGH_HZ = 100.0, 8_000.0
FRAME_S = 0.02
# Speech frames: within 25 dB of the loud ones (P.56 takes 16 dB of a mean that pauses do not enter; unvoiced sounds lie
# lower), or, in noise, in the upper 60 % of the range between noise and speech. Under 6 dB of range nothing parts them.
SPEECH_RANGE_DB, NOISE_SHARE, LEAST_RANGE_DB = 25.0, 0.4, 6.0
LOUD_PERCENTILE, FLOOR_PERCENTILE = 95.0, 10.0
# Three of five neighbouring frames must be active: a click is not the beginning of speech.
NEIGHBOURS, NEEDED = 5, 3
# 5 ms of exact zeros is 80 samples at 16 kHz; quiet speech touches zero for a few samples only, lost packets last 10 ms
# and more.
DROPOUT_S = 0.005
# A dropout cuts sound off: right beside it, in 10 ms, the sound is within 20 dB of the active level, or in 1 ms above
# ten codes of 16 bits, as a probe is in a pause. Pauses that a noise gate has emptied fade out before they reach zero:
# beside the zeros of RAVDESS, 1 ms is at -92 dBFS at most.
BESIDE_S, BESIDE_DB = 0.01, 20.0
EDGE_S, EDGE_DBFS = 0.001, -70.0
# Clipping that was turned down later piles samples up at exactly the highest or lowest value; speech that is not
# clipped reaches it in a sample or two. Below this peak the 16-bit grid itself makes such piles.
PILE_PEAK = 0.02


@dataclass(frozen=True)
class Span:
    """What a row names of a sound file: channel, start and duration in s, and its declared tones (None: unknown)."""

    channel: int
    start_s: float
    duration_s: float
    probe_hz: tuple[float, ...] | None


@dataclass(frozen=True)
class Measurement:
    """One recording in numbers; all but ``problem``, ``message``, ``rate``, ``file_s`` are None where it has a problem.

    Levels are relative to full scale (a full-scale square wave has 0 dBFS RMS); ``active_dbfs`` and ``floor_dbfs`` are
    of the voice band, 100 Hz to 8 kHz. ``snrs_db`` is one number a tone, joined by spaces.
    """

    problem: str | None = None  # missing, unreadable, truncated, outside, too_long
    message: str | None = None
    rate: int | None = None
    file_s: float | None = None
    decoded_s: float | None = None
    content: bytes | None = None  # hash of rate and samples; None where all samples are zero
    peak_dbfs: float | None = None
    rms_dbfs: float | None = None
    clipped: float | None = None  # share of samples
    dc: float | None = None
    active_dbfs: float | None = None
    floor_dbfs: float | None = None
    leading_s: float | None = None
    trailing_s: float | None = None
    dropouts: int | None = None
    longest_dropout_s: float | None = None
    probe_present: int | None = None  # None where the rate holds no ultrasound
    probe_dbfs: float | None = None
    probe_snr_db: float | None = None
    weakest_snr_db: float | None = None
    snrs_db: str | None = None
    between_dbc: float | None = None
    clock_ppm: float | None = None
    fingerprint: bytes | None = None


COLUMNS = tuple(field.name for field in fields(Measurement))


def measure_file(path: Path | str, spans: Sequence[Span]) -> list[Measurement]:
    """Measure the spans of one sound file; a file that cannot be read is a measurement with its problem."""
    path = Path(path)
    try:
        info = audio_info(path)
    except UserError as error:
        problem = Measurement(problem=_problem(path, str(error)), message=_reason(path, error))
        return [problem] * len(spans)
    return [_measure_span(path, info, span) for span in spans]


def measure_samples(samples: np.ndarray, rate: int, probe_hz: tuple[float, ...] | None) -> dict[str, object]:
    """Compute every number of ``samples`` ``(samples,)`` float32 at ``rate`` Hz, by the names of `Measurement`."""
    levels_db = _frame_levels(samples, rate)
    floor_db, active_db, first, last = _activity(levels_db)
    seconds = len(samples) / rate
    # No frame of speech, or a recording shorter than one frame: silence from end to end.
    leading_s = first * FRAME_S if last > first else seconds
    trailing_s = max(0.0, seconds - last * FRAME_S) if last > first else 0.0
    inside = (round(leading_s * rate), round((seconds - trailing_s) * rate))
    dropouts, longest_s = _dropouts(samples, rate, inside, active_db)
    peak = max(float(samples.max()), -float(samples.min()))
    probe = measure_probe(samples, rate, probe_hz)
    return {
        "content": _content(samples, rate) if peak > 0 else None,
        "peak_dbfs": _db(peak),
        "rms_dbfs": _db(float(np.sqrt(np.dot(samples, samples) / len(samples)))),
        "clipped": _clipped(samples),
        "dc": float(samples.mean(dtype=np.float64)),
        "active_dbfs": active_db,
        "floor_dbfs": floor_db,
        "leading_s": leading_s,
        "trailing_s": trailing_s,
        "dropouts": dropouts,
        "longest_dropout_s": longest_s,
        **probe,
        "fingerprint": fingerprint(samples, rate).tobytes() if peak > 0 else None,
    }


def _measure_span(path: Path, info: AudioInfo, span: Span) -> Measurement:
    whole = {"rate": info.sample_rate, "file_s": info.duration_s}
    length_s = min(span.duration_s, info.duration_s - span.start_s)
    if length_s <= 0 or span.channel >= info.channels:
        where = f"channel {span.channel} from {span.start_s:g} s on"
        message = f"The file is {info.duration_s:.3f} s long, of channels 0 to {info.channels - 1}, and has no {where}."
        return Measurement(problem="outside", message=message, **whole)
    if length_s > MAX_DURATION_S:
        message = f"{length_s:.0f} s are more than {MAX_DURATION_S:.0f} s, the most that is read at once."
        return Measurement(problem="too_long", message=message, **whole)
    try:
        samples, rate = read_audio(path, channel=span.channel, start_s=span.start_s, duration_s=length_s)
    except UserError as error:
        return Measurement(problem=_problem(path, str(error)), message=_reason(path, error), **whole)
    numbers = measure_samples(samples, rate, span.probe_hz)
    return Measurement(decoded_s=len(samples) / rate, **whole, **numbers)  # pyright: ignore[reportArgumentType]


def _problem(path: Path, message: str) -> str:
    if not path.is_file():
        return "missing"
    # The one place that words it is `vivavoce.audio`; the file's own name may say anything.
    return "truncated" if "truncated" in message.replace(str(path), "") else "unreadable"


def _reason(path: Path, error: UserError) -> str:
    """The error's sentence without the path, which stands beside it."""
    return str(error).replace(f"The sound file {path}", "The file").replace(str(path), "The file")


def _content(samples: np.ndarray, rate: int) -> bytes:
    digest = hashlib.sha256(np.ascontiguousarray(samples).data)
    digest.update(str(rate).encode())
    return digest.digest()[:16]


def _db(amplitude: float) -> float:
    return max(NOTHING_DBFS, 20 * float(np.log10(max(amplitude, 1e-30))))


def _frame_levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """Level of the voice band in frames of 20 ms, ``(frames,)`` dBFS."""
    size = round(FRAME_S * rate)
    count = len(samples) // size
    # A Hann window keeps the probe, 10 kHz away and maybe 40 dB above the voice, out of the voice's bins.
    window = np.hanning(size + 1)[:size].astype(np.float32)
    if not count:
        return np.zeros(0)
    spectrum = np.asarray(scipy.fft.rfft(samples[: count * size].reshape(count, size) * window, axis=1), np.complex64)
    bin_hz = rate / size
    band = spectrum[:, round(VOICE_LOW_HZ / bin_hz) : round(VOICE_HIGH_HZ / bin_hz) + 1]
    power = np.einsum("fb,fb->f", band.real, band.real) + np.einsum("fb,fb->f", band.imag, band.imag)
    power = power * (2 / (size * float(np.dot(window, window))))
    return np.maximum(NOTHING_DBFS, 10 * np.log10(np.maximum(power, 1e-30)))


def _activity(levels_db: np.ndarray) -> tuple[float, float, int, int]:
    """Noise floor and active level (dBFS), first active frame and the one behind the last (equal: none)."""
    sounding = levels_db[levels_db > NOTHING_DBFS]
    if not len(sounding):
        return NOTHING_DBFS, NOTHING_DBFS, 0, 0
    floor_db, loud_db = np.percentile(sounding, (FLOOR_PERCENTILE, LOUD_PERCENTILE))
    threshold_db = max(loud_db - SPEECH_RANGE_DB, floor_db + NOISE_SHARE * (loud_db - floor_db))
    if loud_db - floor_db < LEAST_RANGE_DB:
        threshold_db = floor_db - LEAST_RANGE_DB
    active = levels_db >= threshold_db
    active_db = 10 * np.log10(np.mean(10 ** (levels_db[active] / 10)))
    firm = active & (np.convolve(active, np.ones(NEIGHBOURS), "same") >= min(NEEDED, len(active)))
    places = np.flatnonzero(firm if firm.any() else active)
    return float(floor_db), float(active_db), int(places[0]), int(places[-1]) + 1


def _dropouts(samples: np.ndarray, rate: int, inside: tuple[int, int], active_db: float) -> tuple[int, float]:
    """Count the runs of exact zeros that cut sound off, and give the longest in seconds."""
    zero = samples[inside[0] : inside[1]] == 0
    shortest = round(DROPOUT_S * rate)
    # A run of this length covers a multiple of half of it: looking there first is enough, and most files have none.
    step = max(1, shortest // 2)
    if not (zero[step::step] & zero[: len(zero) - step : step][: len(zero[step::step])]).any():
        return 0, 0.0
    edges = np.flatnonzero(np.diff(zero, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= shortest
    starts, ends = starts[long] + inside[0], ends[long] + inside[0]
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])

    def beside(seconds: float) -> np.ndarray:
        reach = round(seconds * rate)
        before = energy[starts] - energy[np.maximum(starts - reach, 0)]
        after = energy[np.minimum(ends + reach, len(samples))] - energy[ends]
        return np.maximum(before, after) / reach

    cut = (beside(BESIDE_S) > 10 ** ((active_db - BESIDE_DB) / 10)) | (beside(EDGE_S) > 10 ** (EDGE_DBFS / 10))
    lengths = (ends - starts)[cut]
    return len(lengths), float(lengths.max() / rate) if len(lengths) else 0.0


def _clipped(samples: np.ndarray) -> float:
    """Share of samples at full scale, or at exactly the recording's own highest or lowest value (but for one)."""
    count = 0
    for top, sign in ((float(samples.max()), 1), (float(samples.min()), -1)):
        if sign * top >= FULL_SCALE:
            count += int(np.count_nonzero(samples * np.float32(sign) >= FULL_SCALE))
        elif sign * top >= PILE_PEAK:
            count += int(np.count_nonzero(samples == top)) - 1
    return count / len(samples)
