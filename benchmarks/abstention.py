"""What cannot be judged gets no answer, and what can is not turned away: the measures behind `signal.quality`.

Run from the repository root: ``python benchmarks/abstention.py``; needs ``../shared/data/speechocean_adult16k``. It
simulates the development corpus's training or validation speakers (never its test speakers), each phone swaying by
0.2–8 mm RMS, and judges every recording. Prints and writes ``benchmarks/results/abstention.json``: the share of each
reason by kind, how well sway is told at other limits than the one in use, how foreign lines stand out, and the time
that it takes.
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.split import split_by_speaker
from vivavoce.corpus.table import read_table
from vivavoce.files import write_json
from vivavoce.signal.carriers import LINE_DB, Carriers
from vivavoce.signal.quality import FOREIGN_TONES, MOST_SWAY_MM, ProbeQuality, judge_recording
from vivavoce.signal.steadiness import sway_mm
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.plan import Corpus, plan
from vivavoce.simulate.render import samples_of, single_threaded
from vivavoce.simulate.speech import RATE_HZ

HERE = Path(__file__).resolve().parent
LIMITS_MM = (1.2, 1.5, 1.7, MOST_SWAY_MM, 1.9, 2.0, 2.2, 2.6)
KINDS = {
    **dict.fromkeys(("live", "replay_stand", "replay_handheld", "recorded_ultrasound", "probe_jammed"), 1.0),
    **dict.fromkeys(("replay_moving", "swapped_mouth", "probe_absent"), 0.5),
    **{"shifted": 0.0},
}
# Log-normal about 1.3 mm: as many phones below 1 mm as above it up to 2 mm, and enough beyond 4 mm.
SWAY = {"sway_mm": 1.3, "sway_sigma": 1.1, "sway_limits_mm": (0.2, 8.0)}


@dataclass(frozen=True)
class Judged:
    """One recording: what it is, what was found."""

    row: Row
    quality: ProbeQuality
    read_mm: float
    line_db: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=HERE.parents[1] / "shared/data/speechocean_adult16k/index.csv")
    parser.add_argument("--split", choices=("train", "validation"), default="validation", help="whose voices")
    parser.add_argument("--utterances", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("abstention"), help="where alignments are kept")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "abstention.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = split_by_speaker(finish(read_table(arguments.corpus), arguments.corpus.parent).rows, seed=0)
    order = np.random.default_rng(arguments.seed).permutation(len(rows[arguments.split]))[: arguments.utterances]
    chosen = [rows[arguments.split][index] for index in order]
    arguments.work.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(chosen, AlignmentCache(arguments.work / "alignments.jsonl").get_many(chosen), {})
    with single_threaded():
        found = list(judged(corpus, arguments.seed))
    result = {
        "split": arguments.split,
        "recordings": len(found),
        "limit_mm": MOST_SWAY_MM,
        "line_db": LINE_DB,
        "median_ms": 1000 * float(np.median([one.seconds for one in found])),
        "reasons": reasons(found),
        "sway": sway(found),
        "lines": lines(found),
    }
    show(result)
    write_json(arguments.json, result)


def judged(corpus: Corpus, seed: int) -> Iterator[Judged]:
    """Simulate and judge one recording after the other; none is written."""
    config = SimulationConfig.model_validate({"seed": seed, "kinds": KINDS, "posture": SWAY})
    for item in plan(corpus, Path("unused"), config):
        wave = samples_of(item.job, config).astype(np.float32) / 32768
        tones = item.row.meta.probe_hz or ()
        began = time.perf_counter()
        _, quality = judge_recording(wave, RATE_HZ, tones)
        seconds = time.perf_counter() - began
        if not tones:
            yield Judged(item.row, quality, math.nan, math.nan, seconds)
            continue
        hertz = np.asarray(tones)
        carriers = Carriers.of(wave, RATE_HZ, hertz)
        line = float(np.sort(carriers.line_db)[-FOREIGN_TONES])
        yield Judged(item.row, quality, sway_mm(carriers.moving, hertz), line, seconds)


def reasons(found: list[Judged]) -> list[dict[str, Any]]:
    """How many recordings of each kind get no answer, and why."""
    table = []
    for kind in dict.fromkeys(one.row.meta.kind for one in found):
        own = [one.quality.label or "answered" for one in found if one.row.meta.kind is kind]
        table.append({"kind": kind.value, "recordings": len(own), "shares": shares(own)})
    return table


def shares(labels: list[str]) -> dict[str, float]:
    return {label: count / len(labels) for label, count in Counter(labels).most_common()}


def sway(found: list[Judged]) -> list[dict[str, Any]]:
    """Share of recordings that a limit turns away, by how much their phones truly swayed."""
    kinds = (Kind.LIVE, Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.SWAPPED_MOUTH)
    known = [one for one in found if one.row.meta.kind in kinds and one.row.meta.sway_mm is not None]
    truth = np.array([one.row.meta.sway_mm or 0.0 for one in known])
    read = np.array([one.read_mm for one in known])
    live = np.array([one.row.meta.kind is Kind.LIVE for one in known])
    hand = np.array([one.row.meta.posture == "handheld" for one in known])
    groups = {
        "4 mm and more": hand & (truth >= 4),
        "4 mm and more, live": hand & live & (truth >= 4),
        "4 mm and more, replay": hand & ~live & (truth >= 4),
        "1 mm and less": hand & (truth <= 1),
        "1 mm and less, live": hand & live & (truth <= 1),
        "1 mm and less, replay": hand & ~live & (truth <= 1),
        "on a stand": np.array([one.row.meta.posture == "stand" for one in known]),
    }
    return [
        {
            "sway": name,
            "recordings": int(group.sum()),
            "turned_away": {f"{limit:g}": float(np.mean(read[group] > limit)) for limit in LIMITS_MM},
        }
        for name, group in groups.items()
        if group.any()
    ]


def lines(found: list[Judged]) -> list[dict[str, Any]]:
    """How far the second strongest line beside the tones stands out, dB, with a foreign set and without."""
    kinds = {"live": (Kind.LIVE,), "replays": (Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.REPLAY_MOVING)}
    kinds["recorded ultrasound"] = (Kind.RECORDED_ULTRASOUND,)
    table = []
    for name, members in kinds.items():
        values = [max(0.0, one.line_db) for one in found if one.row.meta.kind in members]
        quantiles = dict(zip(("1 %", "50 %", "99 %", "most"), np.quantile(values, (0.01, 0.5, 0.99, 1)), strict=True))
        table.append({"kind": name, "recordings": len(values), "quantiles_db": quantiles})
    return table


def show(result: dict[str, Any]) -> None:
    console = Console(width=140)
    for row in result["reasons"]:
        words = ", ".join(f"{label} {100 * share:.1f} %" for label, share in row["shares"].items())
        console.print(f"{row['kind']} ({row['recordings']}): {words}")
    table = Table("phone's sway", "recordings", *(f"> {limit:g} mm" for limit in LIMITS_MM))
    for row in result["sway"]:
        table.add_row(row["sway"], str(row["recordings"]), *(f"{100 * v:.1f} %" for v in row["turned_away"].values()))
    console.print(table)
    for row in result["lines"]:
        words = ", ".join(f"{name} {value:.1f} dB" for name, value in row["quantiles_db"].items())
        console.print(f"second line beside the tones, {row['kind']}: {words}")
    console.print(f"{result['median_ms']:.1f} ms a recording")


if __name__ == "__main__":
    main()
