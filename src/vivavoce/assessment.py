"""Evaluate a run on a manifest and write the report."""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.evaluate import evaluate_rows
from vivavoce.evaluation.report.page import write_report
from vivavoce.evaluation.report.plots import EchoView
from vivavoce.evaluation.report.results import Demonstration, EvaluationResult
from vivavoce.evaluation.trials.files import read_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import references
from vivavoce.features.front_end import VOICE_HZ, Wave, read_wave
from vivavoce.features.offline import open_store
from vivavoce.leakcheck import check_evaluation
from vivavoce.signal.picture import doppler_spectrogram
from vivavoce.verifier import LoadedRun, load_run


def evaluate(
    run: Path | str | LoadedRun,
    manifest: Path | str,
    trials: Path | str | None = None,
    *,
    report: Path | str | None = None,
    liveness_crop_s: float | None = None,
    demonstrations: Sequence[Demonstration] = (),
    command: str | None = None,
    allow_leak: bool = False,
) -> tuple[EvaluationResult, Path]:
    """Evaluate ``run`` on the recordings of ``manifest``; returns the result and the path of its report.

    Args:
        run: a run folder, or a loaded run.
        manifest: recordings of speakers that the run has not seen.
        trials: CSV with the columns ``enrol``, ``test``, ``label``; ``None`` makes a balanced list.
        report: where to write the HTML report; ``None``: ``report.html`` in the run folder.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds.
        demonstrations: verdicts on single recordings to show on top of the report.
        command: what to show as the command that gives the same result again.
        allow_leak: note in the report what the run was trained on, too, instead of refusing it.

    Raises:
        UserError: the run, the manifest or the trials cannot be used, or the run was trained on some of it.
    """
    loaded = run if isinstance(run, LoadedRun) else load_run(run)
    manifest = Path(manifest)
    rows = read_rows(manifest)
    notes = check_evaluation(rows, manifest, loaded.config.data, loaded.folder.fingerprints, allow_leak)
    if loaded.calibration.speaker is None:
        if trials is not None:
            raise UserError(f"{loaded.folder.path} was trained without the speaker task; leave the trials out.")
        pairs = []
    elif trials is None:
        pairs = make_trials(rows, seed=loaded.config.seed)
    else:
        pairs = read_trials(Path(trials), references(rows))
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    folder = loaded.folder.features / f"evaluation-{digest[:12]}"
    store = open_store(rows, loaded.config.front_end, folder, loaded.config.training.workers)
    again = ["vivavoce", "evaluate", str(loaded.folder.path), str(manifest)]
    result = evaluate_rows(
        loaded.model,
        loaded.calibration,
        rows,
        store,
        pairs,
        run_id=loaded.folder.path.name,
        data_name=manifest.name,
        command=command or shlex.join([*again, *(["--trials", str(trials)] if trials else [])]),
        liveness_crop_s=liveness_crop_s,
        seed=loaded.config.seed,
    )
    weights = hashlib.sha256(loaded.folder.best_weights.read_bytes()).hexdigest()
    result = result.model_copy(
        update={
            "demonstrations": list(demonstrations),
            "notes": [*result.notes, *notes],
            "config": loaded.config.model_dump(mode="json"),
            "hashes": {"manifest": digest[:16], "weights": weights[:16]},
        }
    )
    path = Path(report) if report else loaded.folder.report
    live, replayed = _views(rows)
    write_report(result, path, metrics=loaded.folder.read_metrics(), live=live, replayed=replayed)
    return result, path


def _views(rows: Sequence[Row]) -> tuple[EchoView | None, EchoView | None]:
    """Both bands of a live recording and of a replay: the same words if it can be, near the phone, on a stand."""

    def nearest(kind: Kind, words: object = None) -> tuple[Row, Wave] | None:
        candidates = [row for row in rows if row.meta.kind is kind]
        candidates.sort(
            key=lambda row: (_words(row) != words, row.meta.posture != "stand", row.meta.distance_cm or 0.0)
        )
        waves = ((row, read_wave(row)) for row in candidates)
        return next(((row, wave) for row, wave in waves if wave.quality.usable), None)

    replay = nearest(Kind.REPLAY_STAND)
    live = nearest(Kind.LIVE, _words(replay[0]) if replay else None)
    return _view(live, "A living mouth"), _view(replay, "A replayed recording")


def _words(row: Row) -> object:
    return (row.meta.model_extra or {}).get("source") or row.text


def _view(found: tuple[Row, Wave] | None, title: str) -> EchoView | None:
    if found is None:
        return None
    row, wave = found
    times, freqs, level = doppler_spectrogram(wave.samples, wave.rate, wave.tones_hz)
    voice_times, envelope = _envelope(wave.samples, wave.rate)
    at = f", {row.meta.distance_cm:.0f} cm" if row.meta.distance_cm else ""
    return EchoView(f"{title} ({row.meta.kind.value}{at})", times, freqs, level, voice_times, envelope)


def _envelope(samples: np.ndarray, rate: int, hop_s: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Level of the voice band in dB, every ``hop_s``."""
    import soxr

    voice = soxr.resample(samples, rate, VOICE_HZ)
    hop = round(VOICE_HZ * hop_s)
    frames = voice[: len(voice) // hop * hop].reshape(-1, hop)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-10)
    return (np.arange(len(level)) + 0.5) * hop_s, level
