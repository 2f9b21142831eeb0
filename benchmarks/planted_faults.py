"""Planted faults: how many of them the audit finds in real speech, and how many clean recordings it accuses.

    python benchmarks/planted_faults.py [--data ../shared/data] [--times 12] [--quick]

Clean recordings are made of two corpora of real speech at 48 kHz, brought to a phone's level, each with a session's
probe and the noise of a good phone added. Every fault of tests/audit/plant.py is planted many times, each in another
recording; then the audit of one manifest, of two manifests, and of corpora with a confound is compared with what was
planted. A near-copy counts as found where either of the two is named. Wrong speaker labels are sought with a plain
voice embedding (statistics of MFCC, whitened on other speakers), not with a trained encoder. Prints a table and writes
benchmarks/results/planted_faults.json.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import soundfile as sf
import soxr
import torch
from rich.console import Console
from rich.table import Table
from tests.audit.plant import ALTERED, CONFOUNDS, FAULTS, OVERLAPS, Field, altered, confound, plant, with_meta

from vivavoce.audio import audio_info, read_audio, write_wav
from vivavoce.audit.audit import AuditResult, audit
from vivavoce.audit.duplicates import find_near_duplicates
from vivavoce.audit.fingerprint import fingerprint
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.manifest import write_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.files import write_json
from vivavoce.signal.probe import draw_probe
from vivavoce.signal.voice import MfccConfig

RATE = 48_000
PROBE_DBFS, NOISE_DBFS = -22.0, -85.0  # a phone's direct carrier, and a microphone's floor
# What a phone gives: some takes of RAVDESS lie 40 dB lower, which the audit rightly calls too quiet.
SPEECH_DBFS, SPREAD_DB = -32.0, 3.0
LEAST_S = 2.0  # half of it cut off still holds a second of speech
LEAST_RECORDINGS = 4  # of a speaker, so that a few that go to faults leave no lonely one
DEVICES = ("phone A", "phone B", "phone C")
# In RAVDESS these two files are one and the same recording; the audit's first find there.
TWIN = "03-01-03-01-02-02-07.flac"
WHITENING = 0.01  # of the mean variance, added to the within-speaker covariance


def sources(data: Path) -> list[tuple[str, Path, str, str, str]]:
    """Speaker, file, sex, text and corpus of every recording that is long enough."""
    found = []
    for corpus in ("speechocean_adult16k", "ravdess48k"):
        with (data / corpus / "index.csv").open() as file:
            for row in csv.DictReader(file):
                if float(row["seconds"]) >= LEAST_S and row["file"] != TWIN:
                    text = row.get("text") or f"statement {row.get('statement', 'unknown')}"
                    found.append((row["speaker"], data / corpus / row["file"], row["sex"], text, corpus))
    return found


def clean_rows(chosen: list[tuple[str, Path, str, str, str]], folder: Path, seed: int) -> list[Row]:
    """Write the clean recordings: speech at 48 kHz with its session's probe and some noise; kinds by chance."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    speakers = sorted({speaker for speaker, *_ in chosen})
    probes = {(speaker, n): draw_probe(rng, level_dbfs=PROBE_DBFS) for speaker in speakers for n in (0, 1)}
    devices = {speaker: DEVICES[rng.integers(len(DEVICES))] for speaker in speakers}
    rows = []
    for number, (speaker, path, sex, text, _) in enumerate(chosen):
        wave, rate = sf.read(path, dtype="float32")
        wave = soxr.resample(wave, rate, RATE) if rate != RATE else wave
        session, probe = number % 2, probes[speaker, number % 2]
        gain = 10 ** (rng.normal(SPEECH_DBFS, SPREAD_DB) / 20) / np.sqrt(np.mean(wave**2))
        wave *= min(gain, 0.8 / np.abs(wave).max())
        noise = 10 ** (NOISE_DBFS / 20) * rng.normal(size=len(wave))
        made = folder / speaker / f"{path.stem}.wav"
        made.parent.mkdir(exist_ok=True)
        write_wav(made, wave + probe.waveform(RATE, len(wave)) + noise, RATE)
        kind = (Kind.LIVE, Kind.REPLAY_STAND)[rng.integers(2)]
        meta = {"session": f"{speaker}-{session}", "kind": kind, "phrase": text, "device": devices[speaker], "sex": sex}
        meta |= {"posture": "stand", "distance_cm": 10.0, "probe_hz": probe.tones_hz}
        name, seconds = f"{speaker}.{path.stem}", len(wave) / RATE
        row = Row(name, made, speaker, text, 0.0, seconds, RATE, 0, Metadata.model_validate(meta), len(wave), 1)
        rows.append(row)
    return rows


def statistics(rows: Sequence[Row]) -> np.ndarray:
    """Mean and deviation of the MFCC of the louder frames, ``(rows, 80)``."""
    mfcc, found = MfccConfig().build().eval(), []
    for row in rows:
        there_s = audio_info(row.path).duration_s - row.start_s  # less than a wrong manifest says
        wave, rate = read_audio(row.path, start_s=row.start_s, duration_s=min(row.duration_s, there_s))
        wave = soxr.resample(wave, rate, 16_000)
        with torch.inference_mode():
            frames = mfcc(torch.from_numpy(np.ascontiguousarray(wave))[None], torch.tensor([len(wave)]))[0][0].numpy()
        frames = frames[frames[:, 0] >= np.quantile(frames[:, 0], 0.3)]
        found.append(np.concatenate([frames.mean(axis=0), np.log(frames.std(axis=0) + 1e-3)]))
    return np.stack(found)


def voice_embedding(rows: Sequence[Row]) -> Callable[[Sequence[Row]], np.ndarray]:
    """Embed by MFCC statistics, whitened by how they vary within the speakers of these rows."""
    values = statistics(rows)
    labels = np.unique([row.speaker for row in rows], return_inverse=True)[1]
    centres = np.stack([values[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    within = np.cov((values - centres[labels]).T)
    within += WHITENING * np.trace(within) / len(within) * np.eye(len(within))
    variances, axes = np.linalg.eigh(within)
    middle = values.mean(axis=0)

    def embed(asked: Sequence[Row]) -> np.ndarray:
        vectors = (statistics(asked) - middle) @ axes / np.sqrt(variances)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return embed


def named(result: AuditResult) -> dict[str, set[str]]:
    """Ids that each check names."""
    ids: dict[str, set[str]] = defaultdict(set)
    for finding in result.findings:
        ids[finding.check].update(file.id for file in finding.files)
    return ids


def counted(site: Field, found: dict[str, set[str]]) -> list[dict]:
    """One row for each fault: how often it was planted and found."""
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in site.plants:
        rows[one.fault, one.check]["planted"] += 1
        rows[one.fault, one.check]["found"] += bool(one.ids & found.get(one.check, set()))
    return [{"fault": fault, "check": check, **count} for (fault, check), count in rows.items()]


def lowest(values: list[float]) -> dict[str, float]:
    """Least, first percentile and median of the similarities of copies."""
    points = np.quantile(values or [0.0], (0, 0.01, 0.5)).round(3).tolist()
    return {"found": len(values), **dict(zip(("least", "1 %", "median"), points, strict=True))}


def highest(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and largest of the similarities of recordings that are no copies."""
    points = np.quantile(values or [0.0], (0.5, 0.99, 1)).round(3).tolist()
    return {"pairs": len(values), **dict(zip(("median", "99 %", "largest"), points, strict=True))}


class Bench:
    """The corpora, and one audit after the other on them; measurements are kept between audits."""

    def __init__(self, folder: Path, ours: list[Row], theirs: list[Row], workers: int) -> None:
        self.folder, self.ours, self.theirs, self.workers = folder, ours, theirs, workers

    def audit(self, rows: Sequence[Row], other: Sequence[Row] | None = None, **how: object) -> AuditResult:
        """Audit these rows, against others where given."""
        manifest, against = self.folder / "audited.jsonl.gz", self.folder / "against.jsonl.gz"
        write_rows(rows, manifest)
        if other is not None:
            write_rows(other, against)
        return audit(
            manifest, against if other is not None else None, state=self.folder / "state.sqlite", workers=self.workers,
            **how,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip

    def faults(self, times: int) -> tuple[list[dict], dict]:
        """Faults of one manifest; clean recordings beside them that are accused."""
        site = Field(self.folder / "faults", np.random.default_rng(1), {row.id: row for row in self.ours})
        order = site.rng.permutation(len(self.ours))
        touched = plant(site, FAULTS, times, [self.ours[place] for place in order])
        began = time.perf_counter()
        with self.audit(list(site.rows.values()), embed=voice_embedding(self.theirs)) as result:
            found = named(result)
            audited = {"recordings": result.recordings, "hours": round(result.hours, 3)}
            audited["seconds of the audit"] = round(time.perf_counter() - began, 1)
            audited["confounds"] = [finding.what for finding in result.findings if finding.check == "confounds"]
        clean = {row.id for row in self.ours} - touched
        accused = {check: sorted(ids & clean) for check, ids in found.items() if ids & clean}
        return counted(site, found), audited | {"clean": len(clean), "accused": accused}

    def overlaps(self, times: int) -> tuple[list[dict], dict]:
        """Faults between two manifests; recordings accused of overlap where there is none."""
        checks = ("overlap_speakers", "overlap_sessions", "overlap_files", "overlap_sources", "overlap_exact")
        with self.audit(self.ours, self.theirs) as result:
            found = named(result)
        accused = {check: sorted(found[check]) for check in (*checks, "overlap_near") if found.get(check)}
        site = Field(self.folder / "overlaps", np.random.default_rng(2), {row.id: row for row in self.ours})
        site.other = {row.id: row for row in self.theirs}
        order = site.rng.permutation(len(self.ours))
        plant(site, OVERLAPS, times, [self.ours[place] for place in order])
        with self.audit(list(site.rows.values()), list(site.other.values())) as result:
            return counted(site, named(result)), {"clean": len(self.ours), "accused": accused}

    def confounds(self, times: int) -> tuple[list[dict], dict]:
        """Corpora in which a nuisance goes with the kind, and as many in which none does."""
        rows, alarms, corpora = [], [], 0
        for feature in CONFOUNDS:
            found = 0
            for seed in range(times):
                site = Field(self.folder / f"confound-{seed}", np.random.default_rng(seed), self.drawn_kinds(seed))
                for planted in (False, True):
                    if planted:
                        confound(site, feature)
                    elif feature != "device":
                        continue
                    with self.audit(list(site.rows.values())) as result:
                        names = [
                            finding.values["feature"] for finding in result.findings if finding.check == "confounds"
                        ]
                    if planted:
                        found += feature in names
                    else:
                        corpora, alarms = corpora + 1, alarms + names
            rows.append({"fault": f"confound: {feature}", "check": "confounds", "planted": times, "found": found})
        return rows, {"corpora without": corpora, "confounds named there": alarms}

    def similarities(self, every: int) -> dict:
        """Similarity of near-copies with their originals, and of other takes of one sentence by one speaker."""
        site = Field(self.folder / "copies", np.random.default_rng(5), {row.id: row for row in self.ours})
        site.fault, original = "copy", {}
        for row in self.ours[::every]:
            for how in ALTERED:
                original[altered(site, row, how).id] = row.id, how
        rows = list(site.rows.values())
        waves = {row.id: read_audio(row.path)[0] for row in rows}
        began = time.perf_counter()
        prints = [fingerprint(waves[row.id], row.sample_rate) for row in rows]
        seconds = time.perf_counter() - began
        copies: dict[str, list[float]] = {how: [] for how in ALTERED}
        takes: dict[str, list[float]] = {"same speaker, same text": [], "others": []}
        for pair in find_near_duplicates(enumerate(prints), similarity=0.0):
            first, second = rows[pair.first], rows[pair.second]
            sources = {original.get(row.id, (row.id, ""))[0] for row in (first, second)}
            if len(sources) == 1:
                if second.id in original and first.id not in original:
                    copies[original[second.id][1]].append(pair.similarity)
            elif first.id not in original and second.id not in original:
                same = (first.speaker, first.text) == (second.speaker, second.text)
                takes["same speaker, same text" if same else "others"].append(pair.similarity)
        planted = len(original) // len(ALTERED)
        return {
            "fingerprint, × real time": round(sum(row.duration_s for row in rows) / seconds),
            "bytes a second": round(8 * sum(map(len, prints)) / sum(row.duration_s for row in rows)),
            "copies": {how: {"planted": planted, **lowest(found)} for how, found in copies.items()},
            "other recordings that share a key": {name: highest(found) for name, found in takes.items()},
        }

    def drawn_kinds(self, seed: int) -> dict[str, Row]:
        """A corpus of 300 clean recordings with kinds drawn anew."""
        rng = np.random.default_rng(seed)
        chosen = [self.theirs[place] for place in rng.permutation(len(self.theirs))[:300]]
        kinds = rng.permutation(len(chosen)) % 2
        return {
            row.id: with_meta(row, kind=(Kind.LIVE, Kind.REPLAY_STAND)[kind])
            for row, kind in zip(chosen, kinds, strict=True)
        }


def show(rows: list[dict], summary: dict) -> None:
    table = Table(title="Planted faults")
    for name in ("fault", "check", "planted", "found", "recall"):
        table.add_column(name, justify="left" if name in ("fault", "check") else "right")
    for row in rows:
        recall = f"{row['found'] / row['planted']:.1%}"
        table.add_row(row["fault"], row["check"], str(row["planted"]), str(row["found"]), recall)
    console = Console(width=130)
    console.print(table)
    console.print(summary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--times", type=int, default=12, help="how often each fault is planted")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="each fault once, half of the speakers, no file")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "planted_faults.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    times = 1 if options.quick else options.times
    recordings = sources(options.data)
    counts = Counter(speaker for speaker, *_ in recordings)
    speakers = sorted(speaker for speaker, count in counts.items() if count >= LEAST_RECORDINGS)
    if options.quick:
        speakers = speakers[::2]
    # Every third speaker belongs to the second manifest, which holds no phrase or speaker of the first by accident.
    held_out = set(speakers[::3])
    ours = [one for one in recordings if one[0] in set(speakers) - held_out]
    theirs = [one for one in recordings if one[0] in held_out]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(
            folder, clean_rows(ours, folder / "ours", 3), clean_rows(theirs, folder / "theirs", 4), options.workers
        )
        faults, alone = bench.faults(times)
        overlaps, across = bench.overlaps(times)
        confounds, corpora = bench.confounds(max(1, times // 2))
        alike = bench.similarities(40 if options.quick else 8)
    rows = faults + overlaps + confounds
    planted, found = (sum(row[name] for row in rows) for name in ("planted", "found"))
    accused = {name for names in alone["accused"].values() for name in names}
    summary = {
        "planted": planted,
        "found": found,
        "recall": round(found / planted, 5),
        "lowest recall of a fault": round(min(row["found"] / row["planted"] for row in rows), 5),
        "clean recordings": alone["clean"],
        "clean recordings accused": len(accused),
        "false alarms": round(len(accused) / alone["clean"], 5),
        "one manifest": alone,
        "two manifests": across,
        "confounds": corpora,
        "similarity": alike,
    }
    show(rows, summary)
    if not options.quick:
        write_json(options.out, {"speech": "speechocean (adults), RAVDESS", "summary": summary, "faults": rows})


if __name__ == "__main__":
    main()
