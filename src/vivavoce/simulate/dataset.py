"""A whole simulated data set: planned, made on all cores, resumable, with its manifest."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from vivavoce.audio import audio_info
from vivavoce.corpus.manifest import Row, write_rows
from vivavoce.errors import UserError
from vivavoce.files import write_text
from vivavoce.pool import ordered, spawn_pool
from vivavoce.progress import progress_bar
from vivavoce.settings import differences
from vivavoce.simulate.config import SIMULATOR_VERSION, SimulationConfig
from vivavoce.simulate.job import Job
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.plan import Corpus, Planned, plan
from vivavoce.simulate.render import render, single_threaded

MANIFEST = "manifest.jsonl.gz"
RECORD = "simulation.yaml"

# Jobs that a worker takes at a time: few enough to share evenly, enough that handing them over costs nothing.
CHUNK = 4
# Fewer jobs than this are done before a second process has started.
POOL_FROM = 12


def simulate_dataset(
    rows: Sequence[Row],
    out_dir: Path | str,
    config: SimulationConfig,
    alignments: Mapping[str, Sequence[Phone]],
    motion_tracks: Mapping[str, Motion] | None = None,
    workers: int | None = None,
) -> Path:
    """Simulate recordings of all utterances into ``out_dir`` and write their manifest; returns the manifest's path.

    A run that was killed continues where it stopped: finished recordings are kept, and the result is the same bit for
    bit, whatever the number of workers.

    Args:
        rows: utterances with their recorded voices.
        out_dir: where ``<speaker>/<utterance>.<kind>.wav``, the manifest and ``simulation.yaml`` go.
        config: what to make.
        alignments: phones by row id; rows with motion tracks need none.
        motion_tracks: measured motion by row id, used instead of phones.
        workers: processes; None: one for each core.

    Raises:
        UserError: the folder holds something else or another simulation, a source cannot be used, or the disk is full.
    """
    out_dir = Path(os.path.abspath(out_dir))  # noqa: PTH100 - links stay as the user named them
    corpus = Corpus(rows, alignments, motion_tracks or {})
    planned = plan(corpus, out_dir, config)
    _check_targets(planned)
    _claim(out_dir, config, fingerprint(corpus))
    open_jobs = [item.job for item in planned if not all(path.exists() for path in item.job.files(config))]
    with progress_bar("simulating", len(planned)) as advance:
        advance(len(planned) - len(open_jobs))
        for _ in _render_all(open_jobs, config, workers or cores()):
            advance(1)
    write_rows((_as_made(item.row) for item in planned), out_dir / MANIFEST)
    return out_dir / MANIFEST


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fingerprint(corpus: Corpus) -> str:
    """Hash the utterances: who says what in which sound, with which phones or motion; places on disk do not count."""
    digest = hashlib.sha256()
    files: dict[Path, str] = {}
    for row in corpus.rows:
        if row.path not in files:
            with row.path.open("rb") as file:
                files[row.path] = hashlib.file_digest(file, "sha256").hexdigest()
        span = (row.channel, row.start_s, row.duration_s)
        digest.update(repr((row.id, row.speaker, row.text, files[row.path], span)).encode())
        digest.update(row.meta.model_dump_json().encode())
        motion = corpus.motions.get(row.id)
        if motion is not None:
            digest.update(motion.positions_m.tobytes() + motion.aperture_m.tobytes() + repr(motion.rate_hz).encode())
        else:
            digest.update(repr([(p.name, p.start_s, p.end_s) for p in corpus.phones.get(row.id, ())]).encode())
    return digest.hexdigest()


def _render_all(jobs: list[Job], config: SimulationConfig, workers: int) -> Iterator[None]:
    if workers <= 1 or len(jobs) < POOL_FROM:
        with single_threaded():
            yield from (render(job, config) for job in jobs)
        return
    pool = spawn_pool(min(workers, len(jobs)))
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    try:
        for chunk, _ in ordered(pool, partial(_render, config=config), chunks, len(chunks), "worker of the simulation"):
            yield from (None for _ in chunk)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _render(jobs: list[Job], config: SimulationConfig) -> None:
    for job in jobs:
        render(job, config)


def _as_made(row: Row) -> Row:
    """Complete a row with the length of the file that was made."""
    info = audio_info(row.path)
    return replace(row, duration_s=info.duration_s, file_samples=info.samples)


def _check_targets(planned: Iterable[Planned]) -> None:
    """Refuse two utterances whose names give one file."""
    seen: dict[Path, str] = {}
    for item in planned:
        before = seen.setdefault(item.job.target, item.job.id)
        if before != item.job.id:
            raise UserError(
                f"{before} and {item.job.id} would both be written to {item.job.target}; rename one of them."
            )


def _claim(out_dir: Path, config: SimulationConfig, inputs: str) -> None:
    """Make ``out_dir`` ours, or check that it holds the beginning of this very simulation."""
    record = out_dir / RECORD
    ours = {"version": SIMULATOR_VERSION, "inputs": inputs, "config": config.model_dump(mode="json")}
    if record.exists():
        _compare(_read_record(record), ours, out_dir)
        for left in out_dir.glob("*/.tmp-*"):
            left.unlink(missing_ok=True)
        return
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise UserError(f"{out_dir} is not empty and holds no simulation; choose an empty folder for --out.")
    write_text(record, yaml.safe_dump(ours, sort_keys=False))


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete the folder and simulate again.") from error
    if not isinstance(record, dict) or not {"version", "inputs", "config"} <= record.keys():
        raise UserError(f"{path} is not the record of a simulation; delete the folder and simulate again.")
    return record


def _compare(theirs: dict[str, Any], ours: dict[str, Any], out_dir: Path) -> None:
    mend = "give the same again to continue it, or choose another folder for --out."
    if theirs["version"] != ours["version"]:
        raise UserError(
            f"{out_dir} was begun by version {theirs['version']} of the simulator, this is version {ours['version']}; "
            "choose another folder for --out."
        )
    if differing := differences(theirs["config"], ours["config"]):
        more = f" ({len(differing) - 3} more differ)" if len(differing) > 3 else ""
        raise UserError(f"{out_dir} holds a simulation with another config: {', '.join(differing[:3])}{more}; {mend}")
    if theirs["inputs"] != ours["inputs"]:
        raise UserError(f"{out_dir} holds a simulation of other recordings, texts or motions; {mend}")
