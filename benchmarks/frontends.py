"""Front ends: agreement with kaldi-native-fbank, and speed on one core beside what else computes the same.

    python benchmarks/frontends.py [--speech ../shared/data/speechocean_adult16k]

Prints two tables and writes benchmarks/results/frontends.json. Without a folder of 16 kHz speech the agreement is
measured on noise with a speech-like spectrum, and the result says so. Both compute in float32: how far each is from the
same features in float64 says whose rounding a difference is. kaldi-native-fbank is driven from Python, as its users do.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kaldi_native_fbank as knf
import numpy as np
import scipy.signal
import soundfile as sf
import soxr
import torch
from rich.console import Console
from rich.table import Table

from vivavoce.files import write_json
from vivavoce.signal.bands import Resample
from vivavoce.signal.echo import EchoConfig
from vivavoce.signal.probe import draw_probe
from vivavoce.signal.voice import FbankConfig, MfccConfig

RATE, SECONDS, BATCH, REPEATS = 48_000, 4, 16, 7
FILES = 60
# Bands more than 80 dB below the loudest of their frame are rounding noise in Kaldi itself (float32).
RESOLVED_NEPERS = 18.4


def kaldi(wave: np.ndarray, kind: str, snip_edges: bool) -> np.ndarray:
    options = knf.FbankOptions() if kind == "fbank" else knf.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = snip_edges
    options.mel_opts.num_bins = 80 if kind == "fbank" else 40
    if kind == "mfcc":
        options.num_ceps, options.use_energy = 40, False
    computer = knf.OnlineFbank(options) if kind == "fbank" else knf.OnlineMfcc(options)
    computer.accept_waveform(16_000, (wave * 32768).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])


def agreement(waves: list[np.ndarray]) -> list[dict]:
    rows = []
    for kind, config in (("fbank", FbankConfig), ("mfcc", MfccConfig)):
        for snip_edges in (False, True):
            front_end = config(snip_edges=snip_edges).build().eval()
            exact_end = config(snip_edges=snip_edges).build().eval().double()
            away, resolved, our_own, their_own = [], [], [], []
            for wave in waves:
                theirs = kaldi(wave, kind, snip_edges)
                mine = front_end(torch.tensor(wave)[None], torch.tensor([len(wave)]))[0][0].numpy()
                exact = exact_end(torch.tensor(wave).double()[None], torch.tensor([len(wave)]))[0][0].numpy()
                our_own.append(np.abs(mine - exact).max())
                their_own.append(np.abs(theirs - exact).max())
                away.append(np.abs(mine - theirs).ravel())
                floor = theirs.max(axis=1, keepdims=True) - RESOLVED_NEPERS if kind == "fbank" else -np.inf
                resolved.append((theirs >= floor).ravel())
            errors, counted = np.concatenate(away), np.concatenate(resolved)
            rows.append(
                {
                    "front end": kind,
                    "snip_edges": snip_edges,
                    "median": float(np.median(errors)),
                    "largest within 80 dB of the peak": float(errors[counted].max()),
                    "largest": float(errors.max()),
                    "share above 1e-3": float(np.mean(errors > 1e-3)),
                    "ours − float64": float(max(our_own)),
                    "Kaldi − float64": float(max(their_own)),
                }
            )
    return rows


def recordings() -> tuple[np.ndarray, torch.Tensor]:
    rng = np.random.default_rng(0)
    probes = [draw_probe(rng, level_dbfs=-30) for _ in range(BATCH)]
    noise = scipy.signal.lfilter([1], [1, -0.95], rng.normal(size=(BATCH, RATE * SECONDS)) * 0.01)
    waves = np.stack([probe.waveform(RATE, RATE * SECONDS) for probe in probes]) + noise
    return waves.astype(np.float32), torch.tensor([probe.tones_hz for probe in probes], dtype=torch.float64)


def best_of(work: Callable[[], object]) -> float:
    """Seconds of the fastest run: what the code needs when nobody else wants the core."""
    work()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def plain_demodulation(waves: np.ndarray, tones: np.ndarray) -> np.ndarray:
    """I/Q as a script would do it: multiply, low-pass, decimate, tone by tone, with SciPy."""
    taps = scipy.signal.firwin(1599, 135, fs=RATE, window=("kaiser", 6.8))
    time_s = np.arange(waves.shape[1]) / RATE
    out = []
    for wave, hz in zip(waves, tones, strict=True):
        shifted = wave * np.exp(-2j * np.pi * hz[:, None] * time_s)
        out.append(scipy.signal.upfirdn(taps, shifted, up=1, down=RATE // 300, axis=1))
    return np.stack(out)


@torch.inference_mode()
def speed() -> list[dict]:
    waves, tones = recordings()
    batch, lengths = torch.tensor(waves), torch.full((BATCH,), waves.shape[1])
    band, fbank, mfcc = Resample(RATE, 16_000), FbankConfig().build().eval(), MfccConfig().build().eval()
    echo = EchoConfig().build(RATE)
    voice16k, lengths16k = band(batch, lengths)
    numpy16k = voice16k.numpy()
    work: dict[str, Callable[[], object]] = {
        "voice band 48 → 16 kHz": lambda: band(batch, lengths),
        "  soxr (HQ)": lambda: [soxr.resample(wave, RATE, 16_000) for wave in waves],
        "  scipy resample_poly": lambda: scipy.signal.resample_poly(waves, 1, 3, axis=1),
        "log-mel 80": lambda: fbank(voice16k, lengths16k),
        "  kaldi-native-fbank": lambda: [kaldi(wave, "fbank", False) for wave in numpy16k],
        "MFCC 40": lambda: mfcc(voice16k, lengths16k),
        "  kaldi-native-fbank (MFCC)": lambda: [kaldi(wave, "mfcc", False) for wave in numpy16k],
        "voice: band + log-mel": lambda: fbank(*band(batch, lengths)),
        "echo I/Q": lambda: echo.demodulate(batch, lengths, tones),
        "  scipy, tone by tone": lambda: plain_demodulation(waves, tones.numpy()),
        "echo: I/Q + Doppler + motion": lambda: echo(batch, lengths, tones),
        "voice + echo": lambda: (fbank(*band(batch, lengths)), echo(batch, lengths, tones)),
    }
    rows = []
    for name, run in work.items():
        seconds = best_of(run)
        rows.append({"work": name, "seconds a batch": seconds, "x real time": round(BATCH * SECONDS / seconds)})
    return rows


def speech(folder: Path) -> tuple[list[np.ndarray], str]:
    files = sorted(folder.glob("*.flac"))
    if files:
        chosen = files[:: max(1, len(files) // FILES)][:FILES]
        return [sf.read(file, dtype="float32")[0] for file in chosen], f"{len(chosen)} recordings of {folder.name}"
    rng = np.random.default_rng(0)
    waves = scipy.signal.lfilter([0.01], [1, -0.97], rng.normal(size=(8, 48_000))).astype(np.float32)
    return list(waves), "noise with a speech-like spectrum"


def show(title: str, rows: list[dict]) -> None:
    table = Table(title=title)
    for name, value in rows[0].items():
        table.add_column(name, justify="left" if isinstance(value, (str, bool)) else "right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=Path("../shared/data/speechocean_adult16k"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "frontends.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    waves, source = speech(options.speech)
    agreed, fast = agreement(waves), speed()
    show(f"Absolute difference from kaldi-native-fbank {knf.__version__} on {source}", agreed)
    show(f"Speed on one core, batches of {BATCH} recordings of {SECONDS} s at {RATE} Hz", fast)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    write_json(options.out, {"source": source, "machine": machine, "agreement": agreed, "speed": fast})


if __name__ == "__main__":
    main()
