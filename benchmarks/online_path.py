"""The online path on one core: read 48 kHz recordings, split the bands, compute features; beside Lhotse and librosa.

    python benchmarks/online_path.py [--quick] [--noise FOLDER] [--rir FOLDER]

Prints a table and writes benchmarks/results/online_path.json. All read the same files in the same process; the rows
take turns, and the fastest of several turns counts.

"voice" is a log-mel filter bank of 80 bands of the voice at 16 kHz. "voice + Doppler" is that and the log-Doppler
within ±70 Hz of every tone, in windows of 80 and 170 ms every 10 ms, averaged over the tones: Lhotse through its
`Spectrogram`, librosa through its `stft`, both at 48 kHz, each peer cutting the bins around the tones out of it; ours
through its I/Q. "voice + echo" is all that our front end does, which has no counterpart: the probe is judged, clock
drift and shared gain are taken out, and motion and gradient features are added. In training the probe is judged once
("judged before"), where nothing is known of it it is sought first ("tones not known"). Lhotse's extractors run through
its `OnTheFlyFeatures`, as in its documentation.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lhotse
import librosa
import numpy as np
import scipy.signal
import soundfile as sf
import torch
from lhotse.dataset.input_strategies import OnTheFlyFeatures
from rich.console import Console
from rich.table import Table

from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.front_end import VOICE_HZ, FrontEnd, FrontEndConfig, Probe, batch_features, read_wave
from vivavoce.files import write_json
from vivavoce.signal.probe import draw_probe

RATE, SECONDS, BATCH = 48_000, 4.0, 16
MELS, SHIFT_S, DOPPLER_HZ = 80, 0.01, 70.0
WINDOWS_S = (0.08, 0.17)
VOICE, DOPPLER, ECHO = "voice", "voice + Doppler", "voice + echo"
AUGMENTED = f"{ECHO}, noise + RIR + speed"
# What the project asks of itself, × real time and × a peer's speed.
ASKED = {ECHO: 400, AUGMENTED: 150, "peer": 2}

T = TypeVar("T")


@dataclass(frozen=True)
class Files:
    """The recordings of the benchmark."""

    rows: list[Row]
    unknown: list[Row]  # the same without their tones
    flac: list[Row]

    @property
    def seconds(self) -> float:
        """Sound in each list."""
        return SECONDS * len(self.rows)


def make_files(folder: Path, count: int) -> Files:
    """Write recordings of syllables in noise with a probe, as 16-bit wav and flac."""
    rng = np.random.default_rng(0)
    rows, unknown, flac = [], [], []
    time_s = np.arange(round(RATE * SECONDS)) / RATE
    for index in range(count):
        probe = draw_probe(rng, level_dbfs=-30)
        voice = scipy.signal.lfilter([0.01], [1, -0.95], rng.normal(size=len(time_s)))
        wave = voice * (1 - np.cos(2 * np.pi * 4 * time_s)) + probe.waveform(RATE, len(time_s))
        for suffix, tones, into in (
            ("wav", probe.tones_hz, rows),
            ("wav", None, unknown),
            ("flac", probe.tones_hz, flac),
        ):
            path = folder / f"{index}.{suffix}"
            sf.write(path, wave, RATE, subtype="PCM_16")
            meta = Metadata(kind=Kind.LIVE, probe_hz=tones)
            into.append(Row(str(index), path, f"s{index}", None, 0.0, SECONDS, RATE, 0, meta))
    return Files(rows, unknown, flac)


def batches(items: list[T], size: int = BATCH) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def ours_voice(rows: list[Row], front_end: FrontEnd) -> None:
    # As few at a time as `batch_features` takes: what fits the cache.
    for batch in batches(rows, 2):
        waves = torch.from_numpy(np.stack([read_audio(row.path)[0] for row in batch]))
        with torch.inference_mode():
            lengths = torch.full((len(batch),), waves.shape[1])
            front_end.voice(*front_end.to_voice[str(RATE)](waves, lengths))


def ours(
    rows: list[Row], front_end: FrontEnd, augment: AugmentConfig | None = None, judged: bool = False
) -> Callable[[], None]:
    built = augment.build().load() if augment is not None else None
    probes = {row.id: Probe(wave.tones_hz, wave.quality) for row in rows if judged for wave in [read_wave(row)]}

    def run() -> None:
        for number, batch in enumerate(batches(rows)):
            seeds = np.arange(len(batch)) + number * BATCH
            waves = [read_wave(row, probes.get(row.id)) for row in batch]
            batch_features(front_end, waves, built, None if built is None else seeds)

    return run


def doppler_of(power: np.ndarray, bin_hz: float, tones_hz: tuple[float, ...]) -> np.ndarray:
    """Log-Doppler ``(bins, frames)`` around the tones of a power spectrogram ``(bins, frames)``, dBc."""
    reach = int(DOPPLER_HZ / bin_hz)
    around = np.round(np.array(tones_hz) / bin_hz).astype(int)[:, None] + np.arange(-reach, reach + 1)
    lines = power[around]
    return 10 * np.log10((lines / lines[:, reach].mean(axis=1)[:, None, None]).mean(axis=0) + 1e-6)


class Lhotse:
    """Lhotse's on-the-fly features."""

    def __init__(self, files: Files) -> None:
        recordings = [lhotse.Recording.from_file(row.path, recording_id=row.id) for row in files.rows]
        self.cuts = [recording.to_cut() for recording in recordings]
        self.tones = [row.meta.probe_hz or () for row in files.rows]
        self.fbank = OnTheFlyFeatures(lhotse.Fbank(lhotse.FbankConfig(sampling_rate=VOICE_HZ, num_filters=MELS)))
        self.spectrograms = [
            OnTheFlyFeatures(
                lhotse.Spectrogram(
                    lhotse.SpectrogramConfig(sampling_rate=RATE, frame_length=window, frame_shift=SHIFT_S)
                )
            )
            for window in WINDOWS_S
        ]

    def voice(self) -> None:
        """Log-mels alone."""
        for batch in batches(self.cuts):
            self.fbank(lhotse.CutSet.from_cuts(batch).resample(VOICE_HZ))

    def both(self) -> None:
        """Log-mels, and the Doppler around the tones."""
        self.voice()
        for batch, tones in zip(batches(self.cuts), batches(self.tones), strict=True):
            for spectrogram in self.spectrograms:
                power = spectrogram(lhotse.CutSet.from_cuts(batch))[0].numpy()
                for item, hz in zip(power, tones, strict=True):
                    doppler_of(item.T, RATE / 2 / (item.shape[1] - 1), hz)


class Librosa:
    """What a script with librosa does."""

    def __init__(self, files: Files) -> None:
        self.rows = files.rows

    def voice(self) -> None:
        """Log-mels alone."""
        for row in self.rows:
            self._mels(sf.read(row.path, dtype="float32")[0])

    def both(self) -> None:
        """Log-mels, and the Doppler around the tones."""
        for row in self.rows:
            wave = sf.read(row.path, dtype="float32")[0]
            self._mels(wave)
            for window in WINDOWS_S:
                size = round(window * RATE)
                fft = 1 << (size - 1).bit_length()
                lines = librosa.stft(wave, n_fft=fft, win_length=size, hop_length=round(SHIFT_S * RATE))
                doppler_of(np.abs(lines) ** 2, RATE / fft, row.meta.probe_hz or ())

    @staticmethod
    def _mels(wave: np.ndarray) -> None:
        voice = librosa.resample(wave, orig_sr=RATE, target_sr=VOICE_HZ)
        mels = librosa.feature.melspectrogram(
            y=voice, sr=VOICE_HZ, n_fft=512, win_length=400, hop_length=160, n_mels=MELS
        )
        np.log(mels + 1e-10)


def work(files: Files, augment: AugmentConfig) -> dict[tuple[str, str], Callable[[], object]]:
    """What is measured: (features, who) and how it is done."""
    full = FrontEndConfig().build().eval()
    plain = FrontEndConfig.model_validate({"echo": {"velocity": False, "gradient": False}}).build().eval()
    theirs, script = Lhotse(files), Librosa(files)
    return {
        (VOICE, "vivavoce"): lambda: ours_voice(files.rows, full),
        (VOICE, "Lhotse"): theirs.voice,
        (VOICE, "librosa"): script.voice,
        (DOPPLER, "vivavoce"): ours(files.rows, plain),
        (DOPPLER, "Lhotse"): theirs.both,
        (DOPPLER, "librosa"): script.both,
        (ECHO, "vivavoce"): ours(files.rows, full),
        (f"{ECHO}, probe judged before", "vivavoce"): ours(files.rows, full, judged=True),
        (f"{ECHO}, tones not known", "vivavoce"): ours(files.unknown, full),
        (f"{ECHO}, flac", "vivavoce"): ours(files.flac, full),
        (AUGMENTED, "vivavoce"): ours(files.rows, full, augment),
    }


def measure(runs: dict[tuple[str, str], Callable[[], object]], seconds: float, repeats: int) -> list[dict]:
    best = dict.fromkeys(runs, float("inf"))
    for turn in range(repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if turn:  # the first warms caches up
                best[name] = min(best[name], time.perf_counter() - began)
    return [
        {"features": features, "by": who, "seconds": took, "x real time": round(seconds / took)}
        for (features, who), took in best.items()
    ]


def ratios(rows: list[dict]) -> dict[str, float]:
    """How many times as fast as a peer we are at the same features; all of our front end against their Doppler."""
    speed = {(row["features"], row["by"]): row["x real time"] for row in rows}
    against = [(VOICE, VOICE), (DOPPLER, DOPPLER), (ECHO, DOPPLER)]
    return {
        f"{mine}, against {theirs} by {who}": round(speed[mine, "vivavoce"] / speed[theirs, who], 2)
        for mine, theirs in against
        for who in ("Lhotse", "librosa")
    }


def show(rows: list[dict], compared: dict[str, float]) -> None:
    table = Table("features", "by", "s", "× real time", title="One core")
    for row in rows:
        table.add_row(row["features"], row["by"], f"{row['seconds']:.2f}", str(row["x real time"]))
    console = Console(width=110)
    console.print(table)
    for name, value in compared.items():
        console.print(f"{name}: {value:g} × as fast", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few files, one turn: to see that it runs")
    parser.add_argument("--noise", type=Path, help="folder of noise recordings; default: synthesised")
    parser.add_argument("--rir", type=Path, help="folder of impulse responses; default: synthesised")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "online_path.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sections = {"noise": options.noise, "rir": options.rir}
    given = {name: {"probability": 1} | ({"path": path} if path else {}) for name, path in sections.items()}
    augment = AugmentConfig.model_validate({**given, "speed": {"factors": [0.9, 1.1, 1.5], "probability": 0.75}})
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), BATCH if options.quick else 4 * BATCH)
        rows = measure(work(files, augment), files.seconds, 1 if options.quick else 5)
    compared = ratios(rows)
    show(rows, compared)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    peers = {"lhotse": lhotse.__version__, "librosa": librosa.__version__}
    result = {"machine": machine, "peers": peers, "files": len(files.rows), "seconds a file": SECONDS, "batch": BATCH}
    write_json(options.out, {**result, "asked": ASKED, "speed": rows, "times as fast": compared})


if __name__ == "__main__":
    main()
