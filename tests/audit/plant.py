"""Plants faults into clean recordings and remembers what is where, so that finding them can be counted.

Every fault is a function of a `Field` and of clean rows, which it spoils or copies; `FAULTS` names those that one
manifest can hold, `OVERLAPS` those between two, `CONFOUNDS` those of a corpus as a whole. Clean rows must be mono, hold
a declared probe, and name a session, a phrase and a device.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile as sf
import soxr

from vivavoce.audio import audio_info, read_audio
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata

VOICE_TOP_HZ, PROBE_BOTTOM_HZ = 9_000.0, 16_500.0


@dataclass(frozen=True)
class Plant:
    """A fault, the check that should find it, and the ids of which that check should name one."""

    fault: str
    check: str
    ids: frozenset[str]


@dataclass
class Field:
    """Where faults are planted: rows by their ids, the rows of another manifest, and what was planted so far."""

    folder: Path
    rng: np.random.Generator
    rows: dict[str, Row]
    other: dict[str, Row] = field(default_factory=dict)
    plants: list[Plant] = field(default_factory=list)
    fault: str = ""
    written: int = 0

    def found_by(self, check: str, *ids: str) -> None:
        """Note that ``check`` should name one of these."""
        self.plants.append(Plant(self.fault, check, frozenset(ids)))

    def write(self, row: Row, wave: np.ndarray, rate: int | None = None, suffix: str = "wav", **how: object) -> Row:
        """Write sound to a file of its own, and return a row like ``row`` for it."""
        self.written += 1
        path = self.folder / f"{self.fault.replace(' ', '-').replace('/', '-')}-{self.written:05d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        subtype = {"wav": "PCM_16", "flac": "PCM_16"}.get(suffix, how.pop("subtype", None))
        rate = rate or row.sample_rate
        with sf.SoundFile(path, "w", rate, 1, subtype=subtype, **how) as file:  # pyright: ignore[reportArgumentType]
            file.write(np.asarray(wave, np.float32))
        info = audio_info(path)
        return replace(
            row, path=path, start_s=0.0, duration_s=info.duration_s, channel=0, sample_rate=info.sample_rate,
            file_samples=info.samples, file_channels=1,
        )  # fmt: skip

    def spoil(self, row: Row, wave: np.ndarray, rate: int | None = None) -> Row:
        """Put other sound in the place of a row's."""
        self.rows[row.id] = self.write(row, wave, rate)
        return self.rows[row.id]

    def copy(self, row: Row, wave: np.ndarray | None = None, rate: int | None = None, **how: object) -> Row:
        """Add a row of other sound (or the same samples in another file) beside a clean one."""
        made = self.write(row, sound(row) if wave is None else wave, rate, **how)  # pyright: ignore[reportArgumentType]
        made = replace(made, id=f"{row.id}-{made.path.stem}")
        self.rows[made.id] = made
        return made

    def another(self, speaker: str) -> str:
        """Another speaker, of those with four recordings and more."""
        counts = Counter(row.speaker for row in self.rows.values())
        names = sorted(name for name, count in counts.items() if count >= 4 and name != speaker)
        return names[self.rng.integers(len(names))]


Fault = Callable[[Field, Row], None]


def sound(row: Row) -> np.ndarray:
    """Samples of a row ``(samples,)``."""
    return read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)[0]


def with_meta(row: Row, **values: object) -> Row:
    """A row with other metadata."""
    return replace(row, meta=Metadata.model_validate(row.meta.model_dump() | values))


def bands(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The voice and the probe of a recording."""
    low = scipy.signal.butter(10, VOICE_TOP_HZ, fs=rate, output="sos")
    high = scipy.signal.butter(10, PROBE_BOTTOM_HZ, "high", fs=rate, output="sos")
    return scipy.signal.sosfiltfilt(low, wave), scipy.signal.sosfiltfilt(high, wave)


def db(level: float) -> float:
    """A level in dB as a factor of amplitude."""
    return 10 ** (level / 20)


def floor(rng: np.random.Generator, samples: int, level_db: float) -> np.ndarray:
    """Noise of this RMS level, dB re full scale."""
    return db(level_db) * rng.normal(size=samples)


# Faults of the sound: other samples under the same row.
def clipped(site: Field, row: Row) -> None:
    wave = sound(row)
    wave = np.clip(wave / np.quantile(np.abs(wave), 1 - site.rng.uniform(0.004, 0.05)), -1, 1)
    site.found_by("clipped", site.spoil(row, wave * (0.3 if site.rng.random() < 0.5 else 1.0)).id)


def dc_offset(site: Field, row: Row) -> None:
    wave = 0.9 * sound(row) + site.rng.choice([-1, 1]) * site.rng.uniform(0.015, 0.05)
    site.found_by("dc_offset", site.spoil(row, wave).id)


def low_level(site: Field, row: Row) -> None:
    voice, probe = bands(sound(row), row.sample_rate)
    wave = voice * db(site.rng.uniform(-72, -66)) / voice.std() + probe
    site.found_by("low_level", site.spoil(row, wave).id)


def silent(site: Field, row: Row) -> None:
    samples = round(row.duration_s * row.sample_rate)
    wave = np.zeros(samples) if site.rng.random() < 0.5 else floor(site.rng, samples, -88)
    site.found_by("silent", site.spoil(row, wave).id)


def dropouts(site: Field, row: Row) -> None:
    wave = sound(row)
    voice = np.abs(bands(wave, row.sample_rate)[0])
    loud = np.flatnonzero(voice > np.quantile(voice, 0.9))
    for _ in range(3):  # in the speech or in its pauses, where the probe goes on
        start = site.rng.integers(loud[0], loud[-1])
        wave[start : start + round(site.rng.uniform(0.01, 0.05) * row.sample_rate)] = 0
    site.found_by("dropouts", site.spoil(row, wave).id)


def edge_silence(site: Field, row: Row) -> None:
    voice, probe = bands(sound(row), row.sample_rate)
    pause = np.zeros(round(site.rng.uniform(2.6, 5) * row.sample_rate))
    wave = np.concatenate([pause, voice] if site.rng.random() < 0.5 else [voice, pause])
    wave += np.resize(probe, len(wave)) + floor(site.rng, len(wave), -85)
    site.found_by("edge_silence", site.spoil(row, wave).id)


def too_short(site: Field, row: Row) -> None:
    wave = sound(row)
    length = round(site.rng.uniform(0.1, 0.45) * row.sample_rate)
    start = (len(wave) - length) // 2
    site.found_by("too_short", site.spoil(row, wave[start : start + length]).id)


def too_long(site: Field, row: Row) -> None:
    wave = np.resize(sound(row), round(site.rng.uniform(61, 64) * row.sample_rate))
    site.found_by("too_long", site.spoil(row, wave).id)


# Faults of the probe.
def probe_cut_off(site: Field, row: Row) -> None:
    voice, _ = bands(sound(row), row.sample_rate)
    site.found_by("probe_missing", site.spoil(row, voice + floor(site.rng, len(voice), -80)).id)


def probe_weak(site: Field, row: Row) -> None:
    voice, probe = bands(sound(row), row.sample_rate)
    wave = voice + db(site.rng.uniform(-66, -60)) * probe + floor(site.rng, len(voice), -85)
    site.found_by("probe_weak", site.spoil(row, wave).id)


def tone_missing(site: Field, row: Row) -> None:
    wave, rate = sound(row), row.sample_rate
    spectrum, freqs = np.fft.rfft(wave), np.fft.rfftfreq(len(wave), 1 / rate)
    tone = site.rng.choice(row.meta.probe_hz or ())
    spectrum[np.abs(freqs - tone) < 60] = 0
    wave = np.fft.irfft(spectrum, len(wave)) + floor(site.rng, len(wave), -80)
    site.found_by("probe_weak", site.spoil(row, wave).id)


def noise_between_tones(site: Field, row: Row) -> None:
    wave = sound(row)
    _, probe = bands(wave, row.sample_rate)
    _, noise = bands(site.rng.normal(size=len(wave)), row.sample_rate)
    wave = wave + noise * probe.std() / noise.std() * db(site.rng.uniform(-10, 0))
    site.found_by("between_tones", site.spoil(row, wave).id)


def other_clock(site: Field, row: Row) -> None:
    row = site.rows[row.id] = with_meta(row, kind=Kind.LIVE)
    voice, probe = bands(sound(row), row.sample_rate)
    shift_hz = 19_000e-6 * site.rng.choice([-1, 1]) * site.rng.uniform(20, 50)  # ppm of a second device
    time_s = np.arange(len(probe)) / row.sample_rate
    moved = np.real(scipy.signal.hilbert(probe) * np.exp(2j * np.pi * shift_hz * time_s))
    site.found_by("probe_clock", site.spoil(row, voice + moved).id)


def probe_undeclared(site: Field, row: Row) -> None:
    site.rows[row.id] = with_meta(row, probe_hz=(), kind=Kind.PROBE_ABSENT)
    site.found_by("probe_undeclared", row.id)


# Faults of files, and of rows that do not fit them.
def unreadable(site: Field, row: Row) -> None:
    path = site.spoil(row, sound(row)).path
    path.write_bytes(site.rng.bytes(int(site.rng.integers(0, 5_000))))
    site.found_by("unreadable", row.id)


def truncated(site: Field, row: Row) -> None:
    path = site.spoil(row, sound(row)).path
    whole = path.read_bytes()
    path.write_bytes(whole[: round(site.rng.uniform(0.1, 0.99) * len(whole))])
    site.found_by("truncated", row.id)


def missing_file(site: Field, row: Row) -> None:
    site.spoil(row, sound(row)).path.unlink()
    site.found_by("missing_file", row.id)


def wrong_duration(site: Field, row: Row) -> None:
    wave = sound(row)
    made = site.spoil(row, wave[: round(site.rng.uniform(0.5, 0.9) * len(wave))])
    site.rows[row.id] = replace(made, duration_s=row.duration_s, file_samples=len(wave))
    site.found_by("wrong_duration", row.id)


def wrong_rate(site: Field, row: Row) -> None:
    made = site.spoil(row, soxr.resample(sound(row), row.sample_rate, 44_100), 44_100)
    samples = round(made.duration_s * row.sample_rate)
    site.rows[row.id] = replace(made, sample_rate=row.sample_rate, file_samples=samples)
    site.found_by("wrong_rate", row.id)


def other_rate(site: Field, row: Row) -> None:
    site.spoil(row, soxr.resample(sound(row), row.sample_rate, 44_100), 44_100)
    site.found_by("mixed_rates", row.id)


def gap_in_metadata(site: Field, row: Row) -> None:
    name = site.rng.choice(["session", "phrase", "device"])
    site.rows[row.id] = with_meta(row, **{name: None})
    site.found_by("metadata_gaps", row.id)


def repeated_id(site: Field, row: Row) -> None:
    half = row.duration_s / 2
    site.rows[row.id] = replace(row, duration_s=half)
    site.rows[f"{row.id} again"] = replace(row, start_s=half, duration_s=half)
    site.found_by("repeated_ids", row.id)


def repeated_span(site: Field, row: Row) -> None:
    again = replace(row, id=f"{row.id}-again")
    site.rows[again.id] = again
    site.found_by("repeated_spans", row.id, again.id)


def lonely_speaker(site: Field, row: Row) -> None:
    site.rows[row.id] = replace(row, speaker=f"only {row.id}")
    site.found_by("imbalance", row.id)


def other_voice(site: Field, row: Row) -> None:
    site.rows[row.id] = with_meta(replace(row, speaker=site.another(row.speaker)), kind=Kind.LIVE)
    site.found_by("other_voice", row.id)


# Copies: a further row beside the clean one; either may be named.
def exact_copy(site: Field, row: Row) -> None:
    made = site.copy(row, suffix=site.rng.choice(["wav", "flac"]))
    site.found_by("exact_duplicates", row.id, made.id)


def altered(site: Field, row: Row, how: str) -> Row:
    """A near-copy: ``how`` is one of `ALTERED`."""
    wave, rate, rng = sound(row), row.sample_rate, site.rng
    peak = float(np.abs(wave).max())
    if how == "Opus":  # 18 to 56 kbit/s
        return site.copy(row, wave, suffix="ogg", subtype="OPUS", compression_level=rng.uniform(0.8, 0.95))
    if how == "Vorbis":
        return site.copy(row, wave, suffix="ogg", subtype="VORBIS", compression_level=rng.uniform(0.3, 1.0))
    if how == "resampled":
        to = int(rng.choice([8_000, 16_000, 22_050, 32_000, 44_100]))
        return site.copy(row, soxr.resample(wave, rate, to), to)
    if how == "gain":
        louder = min(db(rng.uniform(3, 20)), 0.99 / peak)
        return site.copy(row, wave * (louder if louder > 1.2 and rng.random() < 0.5 else db(rng.uniform(-20, -3))))
    if how == "trimmed":
        return site.copy(row, trimmed(site, wave, rate))
    if how == "noise":
        voice, _ = bands(wave, rate)
        noise = rng.normal(size=len(wave)) * voice.std() * db(-rng.uniform(25, 40))
        return site.copy(row, wave + noise)
    wave = trimmed(site, wave, rate, 0.3) * db(-rng.uniform(3, 15))
    return site.copy(
        row, soxr.resample(wave, rate, 16_000), 16_000, suffix="ogg", subtype="OPUS", compression_level=0.9
    )


def trimmed(site: Field, wave: np.ndarray, rate: int, most: float = 0.5) -> np.ndarray:
    """Cut off at either end or both, up to ``most`` of all in sum; a second and a half are left."""
    cut = min(site.rng.uniform(0.05, most) * len(wave), len(wave) - 1.5 * rate)
    before = round(max(0.0, cut) * site.rng.choice([0.0, 1.0, site.rng.random()]))
    return wave[before : len(wave) - (round(max(0.0, cut)) - before)]


ALTERED = ("Opus", "Vorbis", "resampled", "gain", "trimmed", "noise", "trimmed, quieter, Opus at 16 kHz")


def near_copy(how: str) -> Fault:
    """The fault of a near-copy under the same speaker."""

    def plant(site: Field, row: Row) -> None:
        site.found_by("near_duplicates", row.id, altered(site, row, how).id)

    return plant


def two_speakers(site: Field, row: Row) -> None:
    made = site.copy(row) if site.rng.random() < 0.5 else altered(site, row, site.rng.choice(ALTERED[:6]))
    site.rows[made.id] = replace(site.rows[made.id], speaker=site.another(row.speaker))
    site.found_by("two_speakers", row.id, made.id)


def two_kinds(site: Field, row: Row) -> None:
    made = site.copy(row)
    other = Kind.REPLAY_STAND if row.meta.kind == Kind.LIVE else Kind.LIVE
    site.rows[made.id] = with_meta(made, kind=other)
    site.found_by("two_kinds", row.id, made.id)


FAULTS: dict[str, Fault] = {
    "unreadable": unreadable,
    "truncated": truncated,
    "missing": missing_file,
    "wrong duration": wrong_duration,
    "wrong rate": wrong_rate,
    "mixed rates": other_rate,
    "too short": too_short,
    "too long": too_long,
    "silent": silent,
    "clipped": clipped,
    "DC offset": dc_offset,
    "low level": low_level,
    "dropouts": dropouts,
    "leading/trailing silence": edge_silence,
    "probe cut off": probe_cut_off,
    "probe weak": probe_weak,
    "one tone missing": tone_missing,
    "energy between tones": noise_between_tones,
    "clock offset": other_clock,
    "probe undeclared": probe_undeclared,
    "metadata gap": gap_in_metadata,
    "repeated id": repeated_id,
    "repeated span": repeated_span,
    "lonely speaker": lonely_speaker,
    "other voice": other_voice,
    "exact copy": exact_copy,
    **{f"copy: {how}": near_copy(how) for how in ALTERED},
    "two speakers": two_speakers,
    "two kinds": two_kinds,
}


# Overlaps: a clean row of this manifest, and something of it in the other.
def shared_speaker(site: Field, row: Row) -> None:
    names = sorted(site.other)
    stranger = site.other[names[site.rng.integers(len(names))]]
    made = replace(stranger, id=f"{stranger.id}-{row.id}", speaker=row.speaker, start_s=0.05)
    site.other[made.id] = replace(made, duration_s=stranger.duration_s - 0.05)
    site.found_by("overlap_speakers", row.id)


def shared_session(site: Field, row: Row) -> None:
    shared_speaker(site, row)
    last = next(reversed(site.other.values()))
    site.other[last.id] = with_meta(last, session=row.meta.session)
    site.plants.pop()
    site.found_by("overlap_sessions", row.id)


def shared_file(site: Field, row: Row) -> None:
    half = row.duration_s / 2
    site.other[f"half {row.id}"] = replace(row, id=f"half {row.id}", speaker="other", start_s=half, duration_s=half)
    site.found_by("overlap_files", row.id)


def shared_source(site: Field, row: Row) -> None:
    made = with_meta(site.copy(row), source=row.id)
    del site.rows[made.id]
    site.other[made.id] = replace(made, speaker="other")
    site.found_by("overlap_sources", row.id)


def shared_samples(site: Field, row: Row) -> None:
    made = site.copy(row)
    del site.rows[made.id]
    site.other[made.id] = replace(made, speaker="other")
    site.found_by("overlap_exact", row.id)


def shared_sound(how: str) -> Fault:
    """The fault of a near-copy in the other manifest."""

    def plant(site: Field, row: Row) -> None:
        made = altered(site, row, how)
        site.other[made.id] = replace(site.rows.pop(made.id), speaker="other")
        site.found_by("overlap_near", row.id)

    return plant


OVERLAPS: dict[str, Fault] = {
    "speaker in both": shared_speaker,
    "session in both": shared_session,
    "file in both": shared_file,
    "source in both": shared_source,
    "exact copy in both": shared_samples,
    **{f"copy in both: {how}": shared_sound(how) for how in ALTERED},
}


# Confounds: all attacks of a corpus recorded in another way, by a name of the audit's features.
def confound(site: Field, feature: str) -> None:
    """Change every attack of the corpus in one nuisance."""
    site.fault = f"confound {feature}"
    for row in list(site.rows.values()):
        if row.meta.kind != Kind.LIVE:
            CONFOUNDS[feature](site, row)


def _device(site: Field, row: Row) -> None:
    if site.rng.random() < 0.8:
        site.rows[row.id] = with_meta(row, device="recorder")


def _duration(site: Field, row: Row) -> None:
    length = row.duration_s * site.rng.uniform(0.4, 0.6)
    site.rows[row.id] = replace(row, duration_s=max(0.6, length))


def _rate(site: Field, row: Row) -> None:
    site.spoil(row, soxr.resample(sound(row), row.sample_rate, 44_100), 44_100)


def _level(site: Field, row: Row) -> None:
    site.spoil(row, sound(row) * db(-site.rng.uniform(8, 14)))


def _noise_floor(site: Field, row: Row) -> None:
    wave = sound(row)
    site.spoil(row, wave + floor(site.rng, len(wave), site.rng.uniform(-50, -40)))


CONFOUNDS: dict[str, Fault] = {
    "device": _device,
    "duration": _duration,
    "sample rate": _rate,
    "level": _level,
    "noise floor": _noise_floor,
}


def plant(site: Field, faults: dict[str, Fault], times: int, victims: Iterable[Row]) -> set[str]:
    """Plant every fault so many times, each in another one of the clean rows; the ids of all that a fault concerns."""
    spare = iter(victims)
    before, used = set(site.rows), set()
    for name, fault in faults.items():
        for _ in range(times):
            site.fault = name
            row = next(spare)
            used.add(row.id)
            fault(site, row)
    return used | (set(site.rows) - before)
