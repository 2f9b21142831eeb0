"""The front end on recordings of a real phone: do carrier, noise, clock and motion come out as their folders say?

Run from the repository root: ``python benchmarks/ultrasense.py``; needs ``../shared/data/ultrasense20k`` (37 recordings
of a Galaxy S3 that plays 20 kHz while hands and bodies move; a folder is a motion). Prints a table and writes
``benchmarks/results/ultrasense.json``. Takes seconds.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from rich.console import Console
from rich.table import Table

from vivavoce.files import write_json
from vivavoce.signal.picture import doppler_spectrogram
from vivavoce.signal.probe import DOPPLER_HZ
from vivavoce.signal.quality import find_probe

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "data" / "ultrasense20k"
PLAYED_HZ = 20_000.0
# Doppler is read up to the demodulator's edge and beyond the spectral lobe of what stands still (±2 bins of 170 ms).
SLOWEST_HZ, FASTEST_HZ = 12.0, 70.0
# Someone who walks is faster than that (1 m/s: 117 Hz); the demodulator lets less through there, but of both signs
# alike, so that coming and going can still be told apart.
WALKING_HZ = 110.0
WINDOW_S = 0.17
LOBE_HZ = 1.5 / WINDOW_S  # equivalent noise bandwidth of a Hann window


@dataclass(frozen=True)
class Measured:
    """What the front end says of one recording.

    Attributes:
        carrier_hz: frequency of the one tone found, Hz.
        carrier_dbfs: its level against a full-scale sine.
        noise_dbc_hz: noise density beside it, against it.
        moving_dbc: mean power of what moves (12 to 70 Hz either side), against the carrier.
        busiest_dbc: the same in the busiest tenth of the recording.
        speed_hz: 5th, 50th and 95th percentile of the Doppler shift's size, weighted by power, Hz.
        approach_db: power of what comes nearer against what goes away, dB.
        quarters_db: the same in each quarter of the recording, at walking speeds too.
    """

    file: str
    carrier_hz: float
    carrier_dbfs: float
    noise_dbc_hz: float
    moving_dbc: float
    busiest_dbc: float
    speed_hz: tuple[float, ...]
    approach_db: float
    quarters_db: tuple[float, ...]


def measure(wave: np.ndarray, rate: int, file: str) -> Measured:
    """Measure one recording ``(samples,)`` with the product's own front end.

    Raises:
        ValueError: there is not exactly one tone.
    """
    tones, quality = find_probe(wave, rate)
    if len(tones) != 1:
        raise ValueError(f"{file}: {len(tones)} tones found instead of one")
    noise_dbc_hz = -quality.snr_db - 10 * np.log10(2 * DOPPLER_HZ)
    _, hz, level = doppler_spectrogram(wave, rate, tones, WINDOW_S)
    walking = (np.abs(hz) >= SLOWEST_HZ) & (np.abs(hz) <= WALKING_HZ)
    quarters = [
        _approach_db(hz[walking], 10 ** (part[walking] / 10).mean(axis=1)) for part in np.array_split(level, 4, axis=1)
    ]
    seen = (np.abs(hz) >= SLOWEST_HZ) & (np.abs(hz) <= FASTEST_HZ)
    hz = hz[seen]
    # A line of the picture holds the power of a sine there; noise of density N shows as N times the window's lobe.
    power = np.maximum(10 ** (level[seen] / 10) - 10 ** (noise_dbc_hz / 10) * LOBE_HZ, 0)
    line = power.mean(axis=1)
    widen = (hz[1] - hz[0]) / LOBE_HZ
    total = power.sum(axis=0) * widen
    return Measured(
        file=file,
        carrier_hz=tones[0],
        carrier_dbfs=quality.level_dbfs,
        noise_dbc_hz=float(noise_dbc_hz),
        moving_dbc=_db(total.mean()),
        busiest_dbc=_db(np.percentile(total, 90)),
        speed_hz=weighted_percentiles(np.abs(hz), line, (5, 50, 95)),
        approach_db=_approach_db(hz, line),
        quarters_db=tuple(quarters),
    )


def _approach_db(hz: np.ndarray, line: np.ndarray) -> float:
    return _db(line[hz > 0].sum()) - _db(line[hz < 0].sum())


def _db(power: float) -> float:
    return float(10 * np.log10(power + 1e-12))


def weighted_percentiles(values: np.ndarray, weights: np.ndarray, percents: tuple[float, ...]) -> tuple[float, ...]:
    """Percentiles of ``values`` ``(n,)``, each counted by its weight."""
    order = np.argsort(values)
    share = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    return tuple(float(np.interp(percent / 100, share, values[order])) for percent in percents)


def measure_all(folder: Path) -> dict[str, list[Measured]]:
    """Measure all recordings, by their folder (a recording without one is its own motion)."""
    found: dict[str, list[Measured]] = {}
    for file in sorted((folder / "audio").rglob("*.wav")):
        name = str(file.relative_to(folder / "audio").with_suffix(""))
        wave, rate = sf.read(file, dtype="float32", always_2d=True)
        motion = name.rpartition("/")[0] or name
        found.setdefault(motion, []).append(measure(wave[:, 0], rate, name))
    return found


@dataclass(frozen=True)
class Claim:
    """What should be true of the recordings, and how far it is: ``value`` must lie in ``asked``."""

    claim: str
    unit: str
    asked: tuple[float, float]
    of: Callable[[dict[str, list[Measured]]], list[float]]


def _every(value: Callable[[Measured], float], *motions: str) -> Callable[[dict[str, list[Measured]]], list[float]]:
    return lambda found: [value(item) for name in (motions or found) for item in found[name]]


def _apart(
    value: Callable[[Measured], float], more: tuple[str, ...], less: tuple[str, ...], median: bool = False
) -> Callable[[dict[str, list[Measured]]], list[float]]:
    """How far the least of some recordings lies above the most of others; or their medians."""

    def gap(found: dict[str, list[Measured]]) -> list[float]:
        high, low = (_every(value, *names)(found) for names in (more, less))
        return [float(np.median(high) - np.median(low))] if median else [min(high) - max(low)]

    return gap


HANDS = ("downward", "upward", "swipe/strong_motion", "swipe/weak_motion", "swipe handheld", "wave")
MANY = float("inf")
CLAIMS = (
    Claim("the tone is where it was played", "Hz off", (-0.5, 0.5), _every(lambda m: m.carrier_hz - PLAYED_HZ)),
    Claim(
        "the phone's own clock, where nothing near moves (DESIGN §5: ≤ 0.03 Hz)",
        "Hz off",
        (-0.03, 0.03),
        _every(lambda m: m.carrier_hz - PLAYED_HZ, "walk by kneeheight"),
    ),
    Claim("carrier (DESIGN §5: −17…−25 dBFS, ± 0.5)", "dBFS", (-25.5, -16.5), _every(lambda m: m.carrier_dbfs)),
    Claim(
        "noise, where nothing near moves (DESIGN §5: −77…−81 dBc/Hz, ± 0.5)",
        "dBc/Hz",
        (-81.5, -76.5),
        _every(lambda m: m.noise_dbc_hz, "walk by kneeheight"),
    ),
    Claim("a hand that comes down approaches", "dB", (10, MANY), _every(lambda m: m.approach_db, "downward")),
    Claim("a hand that goes up leaves", "dB", (-MANY, -10), _every(lambda m: m.approach_db, "upward")),
    Claim(
        "who walks away from a bed leaves, once up (second half)",
        "dB",
        (-MANY, -1),
        _every(lambda m: max(m.quarters_db[2:]), "walk away from bed"),
    ),
    Claim(
        "who walks by first comes (first quarter)",
        "dB",
        (3, MANY),
        _every(lambda m: m.quarters_db[0], "walk by kneeheight"),
    ),
    Claim(
        "who walks by then goes (last quarter)",
        "dB",
        (-MANY, -3),
        _every(lambda m: m.quarters_db[3], "walk by kneeheight"),
    ),
    Claim(
        "waving, zooming and seesawing come and go alike",
        "dB",
        (-5, 5),
        _every(lambda m: m.approach_db, "wave", "zoom", "seesaw"),
    ),
    Claim(
        "every hand is stronger than any passer-by",
        "dB",
        (5, MANY),
        _apart(lambda m: m.busiest_dbc, HANDS, ("walk by kneeheight",)),
    ),
    Claim(
        "a strong swipe is faster than a weak one (medians)",
        "Hz at the 95th percentile",
        (0, MANY),
        _apart(lambda m: m.speed_hz[2], ("swipe/strong_motion",), ("swipe/weak_motion",), median=True),
    ),
)


def judge(found: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    """Hold the recordings against what their folders say."""
    rows = []
    for claim in CLAIMS:
        values = claim.of(found)
        low, high = claim.asked
        rows.append(
            {
                "claim": claim.claim,
                "unit": claim.unit,
                "asked": [None if abs(bound) == MANY else bound for bound in claim.asked],
                "seen": [min(values), max(values)],
                "recordings": len(values),
                "holds": all(low <= value <= high for value in values),
            }
        )
    return rows


def summary(found: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    """Medians of each motion's recordings."""

    def median(items: list[Measured], name: str) -> Any:
        return np.median([getattr(item, name) for item in items], axis=0).tolist()

    names = (
        "carrier_hz",
        "carrier_dbfs",
        "noise_dbc_hz",
        "moving_dbc",
        "busiest_dbc",
        "speed_hz",
        "approach_db",
        "quarters_db",
    )
    return [
        {"motion": motion, "recordings": len(items)} | {name: median(items, name) for name in names}
        for motion, items in found.items()
    ]


def show(motions: list[dict[str, Any]], claims: list[dict[str, Any]]) -> None:
    columns = ("Motion", "n", "Offset Hz", "Carrier dBFS", "Noise dBc/Hz", "Moving dBc", "|f| 5/50/95 %", "Approach dB")
    table = Table(*columns, title="A real phone")
    for row in motions:
        speeds = " / ".join(f"{hz:.0f}" for hz in row["speed_hz"])
        levels = [f"{row[name]:.1f}" for name in ("carrier_dbfs", "noise_dbc_hz", "moving_dbc")]
        offset = f"{row['carrier_hz'] - PLAYED_HZ:+.3f}"
        table.add_row(row["motion"], str(row["recordings"]), offset, *levels, speeds, f"{row['approach_db']:+.1f}")
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for row in claims:
        low, high = row["seen"]
        print(f"{'holds' if row['holds'] else 'FAILS'}: {row['claim']}: {low:.3g} … {high:.3g} {row['unit']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the recordings")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "ultrasense.json")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"There are no recordings in {arguments.data}; give their folder by --data.")
    found = measure_all(arguments.data)
    motions, claims = summary(found), judge(found)
    show(motions, claims)
    recordings = [asdict(item) for items in found.values() for item in items]
    write_json(arguments.json, {"motions": motions, "claims": claims, "recordings": recordings})


if __name__ == "__main__":
    main()
