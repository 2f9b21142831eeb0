"""A stress test: a run's error rates on recordings that get worse, level by level."""

import hashlib
import platform
import shlex
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from vivavoce import __version__
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.files import read_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import Trials, references
from vivavoce.files import write_json
from vivavoce.leakcheck import check_evaluation
from vivavoce.stress.config import APPLIED, CURVE_NAMES, CurveName, StressConfig
from vivavoce.stress.curves import SIMULATED
from vivavoce.stress.noise import Folder, noise_of
from vivavoce.stress.protocol import Protocol, protocol_of
from vivavoce.stress.report import write_report
from vivavoce.stress.results import CurveResult, StressResult
from vivavoce.stress.runner import StressTest
from vivavoce.stress.simulating import Simulator
from vivavoce.verifier import LoadedRun, load_run

# Resamples of fewer speakers are few different ones, and their spread is smaller than that of other people would be.
FEW_SPEAKERS = 10
JSON_NAME, PAGE_NAME = "stress.json", "stress.html"


def stress(
    run: Path | str | LoadedRun,
    manifest: Path | str,
    config: StressConfig | None = None,
    out: Path | str | None = None,
    *,
    trials: Path | str | None = None,
    resimulate: Path | str | None = None,
    phones: Path | str | None = None,
    command: str | None = None,
    allow_leak: bool = False,
) -> tuple[StressResult, Path]:
    """Test a run on recordings that get worse; returns the result and the path of its page.

    ``stress.json`` and ``stress.html`` are written into ``out``, and what is simulated goes below it, where a test that
    was stopped finds it again.

    Args:
        run: a run folder, or a loaded run.
        manifest: recordings of speakers that the run has not seen.
        config: curves and levels; None: the defaults.
        out: the folder; None: ``stress`` in the run folder.
        trials: CSV with the columns ``enrol``, ``test``, ``label``; None makes a balanced list.
        resimulate: manifest of recorded speech, from which the curves of the scene are simulated; None: they are
            groups of the given recordings.
        phones: known phone times of that speech, where its voices are made.
        command: what to show as the command that gives the same result again.
        allow_leak: note in the report what the run was trained on, too, instead of refusing it.

    Raises:
        UserError: the run, the manifest, the trials or a curve cannot be used, or the run was trained on some of it.
    """
    began = time.monotonic()
    loaded = run if isinstance(run, LoadedRun) else load_run(run)
    config = config or StressConfig()
    manifest, folder = Path(manifest), Path(out) if out is not None else loaded.folder.path / "stress"
    _check_curves(config, resimulate is not None)
    rows = read_rows(manifest)
    notes = check_evaluation(rows, manifest, loaded.config.data, loaded.folder.fingerprints, allow_leak)
    protocol = _protocol(loaded, rows, config, trials)
    simulator = None
    if resimulate is not None and any(name in SIMULATED for name in config.curves or CURVE_NAMES):
        speech = read_rows(resimulate)
        notes += check_evaluation(speech, Path(resimulate), loaded.config.data, loaded.folder.fingerprints, allow_leak)
        simulator = Simulator(speech, folder / "simulated", config, None if phones is None else Path(phones))
    curves, missing = _curves(loaded, protocol, config, simulator)
    result = StressResult(
        run_id=loaded.folder.path.name,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command or shlex.join(["vivavoce", "stress", str(loaded.folder.path), str(manifest)]),
        data_name=manifest.name,
        simulated=simulator is not None or any((row.meta.model_extra or {}).get("simulated") for row in rows),
        speakers=len(protocol.speakers),
        recordings=len(protocol.tests),
        trials=protocol.trials.counts,
        enrolment=len(protocol.enrolments[0]) if protocol.enrolments else None,
        curves=curves,
        notes=[*notes, *missing, *_notes(loaded, protocol, config)],
        config=config.model_dump(mode="json"),
        hashes={
            "manifest": hashlib.sha256(manifest.read_bytes()).hexdigest()[:16],
            "weights": hashlib.sha256(loaded.folder.best_weights.read_bytes()).hexdigest()[:16],
        },
        versions=_versions(),
        seconds=round(time.monotonic() - began, 1),
    )
    write_json(folder / JSON_NAME, result.model_dump(mode="json"))
    write_report(result, folder / PAGE_NAME)
    return result, folder / PAGE_NAME


def _protocol(run: LoadedRun, rows: Sequence[Row], config: StressConfig, trials: Path | str | None) -> Protocol:
    if run.calibration.speaker is None:
        if trials is not None:
            raise UserError(f"{run.folder.path} was trained without the speaker task; leave the trials out.")
        return protocol_of(rows, None, config.max_recordings, config.seed)
    if trials is None:
        listed = Trials.of(make_trials(rows, seed=config.seed))
    else:
        listed = Trials.of(read_trials(Path(trials), references(rows)))
    return protocol_of(rows, listed, config.max_recordings, config.seed)


def _curves(
    run: LoadedRun, protocol: Protocol, config: StressConfig, simulator: Simulator | None
) -> tuple[list[CurveResult], list[str]]:
    """Draw every curve that is asked for, and say which of them the recordings do not allow."""
    names: Sequence[CurveName] = config.curves or CURVE_NAMES
    curves, missing = [], []
    with closing(StressTest(run, protocol, config)) as test:
        curves += [test.applied(name) for name in names if name in APPLIED]
        scenes: list[CurveName] = [name for name in names if name not in APPLIED]
        simulated: list[CurveName] = [name for name in scenes if simulator is not None and name in SIMULATED]
        for name in scenes:
            found = None if name in simulated else test.grouped(name)
            if found is not None:
                curves.append(found)
            elif name not in simulated:
                missing.append(_why_missing(name, config))
    if simulator is not None and simulated:
        reference = simulator.reference()
        listed = None if run.calibration.speaker is None else Trials.of(make_trials(reference, seed=config.seed))
        anew = protocol_of(reference, listed, config.max_recordings, config.seed)
        with closing(StressTest(run, anew, config)) as test:
            curves += [test.simulated(name, simulator.levels(name)) for name in simulated]
    return curves, missing


def _why_missing(name: CurveName, config: StressConfig) -> str:
    """Say that a curve is left out; where it was asked for by name that is an error.

    Raises:
        UserError: the curve was asked for.
    """
    if name == "rolloff":
        said = "The curve rolloff needs recordings that are simulated for it: give --resimulate SPEECH"
    else:
        said = f"The metadata of the recordings name no two groups for the curve {name}"
    if config.curves is not None:
        raise UserError(f"{said}; leave it out of the curves otherwise.")
    return f"{said}; it is left out."


def _check_curves(config: StressConfig, resimulate: bool) -> None:
    asked = config.curves or ()
    if resimulate and config.curves is not None and not any(name in SIMULATED for name in asked):
        raise UserError(
            f"None of the curves {', '.join(asked)} is simulated; leave out --resimulate, or ask for one of "
            f"{', '.join(SIMULATED)}."
        )
    if config.curves is not None and "snr" not in asked and config.noise is not None:
        raise UserError("A noise folder is given, but the curve snr is not asked for; leave one out or ask for both.")


def _notes(run: LoadedRun, protocol: Protocol, config: StressConfig) -> list[str]:
    notes = []
    if len(protocol.speakers) < FEW_SPEAKERS:
        notes.append(
            f"The tests are of {len(protocol.speakers)} speakers: intervals from resampling so few are too narrow."
        )
    if run.calibration.liveness is None:
        notes.append("The run was trained without liveness, so only the speaker's curves are drawn.")
    elif not protocol.species:
        notes.append("The tests hold no attacks, so liveness has no error rate; only its missing answers are counted.")
    elif Kind.LIVE.value not in protocol.kinds:
        notes.append("The tests hold no live recordings, so liveness has no error rate.")
    source = noise_of(config.noise, config.made_noise)
    if isinstance(source, Folder) and source.without_ultrasound:
        notes.append(
            f"{source.without_ultrasound} of {len(source.files)} noise files are below 44.1 kHz: they add no noise to "
            "the ultrasound."
        )
    return notes


def _versions() -> dict[str, str]:
    import soundfile
    import torch

    return {
        "vivavoce": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }
