"""Make a trial list of a manifest, or write an existing one in another form."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.files import read_trials_of, write_trials
from vivavoce.evaluation.trials.formats import ListFormat
from vivavoce.evaluation.trials.making import TrialPlan, draw_trials
from vivavoce.evaluation.trials.table import DRAWN, Trials, check_classes, references


@dataclass(frozen=True)
class TrialList:
    """A trial list on disk."""

    trials: Trials
    files: Sequence[Path]  # the list, and the enrolment list where it has one
    form: ListFormat

    def to_dict(self) -> dict[str, Any]:
        """What is in it, for people and as JSON."""
        drawn = np.bincount(self.trials.drawn[self.trials.is_nontarget], minlength=len(DRAWN)).tolist()
        return {
            "files": [str(path) for path in self.files],
            "format": self.form.value,
            "trials": len(self.trials),
            "counts": self.trials.counts,
            "drawn": {how: count for how, count in zip(DRAWN, drawn, strict=True) if how and count},
            "speakers": len(set(self.trials.speakers or ())),
            "enrolments": len(self.trials.enrolments),
            "tests": len(self.trials.tests),
        }


def make_list(
    manifest: Path,
    out: Path,
    plan: TrialPlan,
    *,
    form: ListFormat = ListFormat.CSV,
    run: Path | None = None,
) -> TrialList:
    """Make trials among the recordings of a manifest and write them.

    Args:
        manifest: the recordings.
        out: where to write the list.
        plan: which trials to make.
        form: how to write them.
        run: a run with the speaker task, whose embeddings tell which non-targets are hard.

    Raises:
        UserError: the manifest gives no target or no other trials, ``out`` is the manifest, the plan asks for hard
            non-targets and the run knows no speakers, or the form cannot hold the trials.
    """
    _refuse_to_replace(out, manifest)
    rows = read_rows(manifest)
    embeddings = None
    if plan.hard:
        if run is None:
            raise UserError("Hard non-targets are those that a run finds most alike; name one with --run.")
        embeddings = embed(run, rows, manifest)
    trials = draw_trials(rows, plan, embeddings)
    check_classes(trials)
    return TrialList(trials, write_trials(trials, out, form, references(rows)), form)


def convert_list(
    manifest: Path, source: Path, out: Path, *, form: ListFormat = ListFormat.CSV, attacks: bool = True
) -> TrialList:
    """Write an existing trial list in another form, with the manifest's names of its recordings.

    Raises:
        UserError: the list cannot be read, names what the manifest does not hold, is ``out`` itself, or the form
            cannot hold its trials.
    """
    _refuse_to_replace(out, manifest, source)
    rows = read_rows(manifest)
    trials = read_trials_of(source, rows)
    if not attacks:
        trials = trials.take(trials.is_target | trials.is_nontarget)
    return TrialList(trials, write_trials(trials, out, form, references(rows)), form)


def embed(run: Path, rows: Sequence[Row], manifest: Path) -> NDArray[np.float32]:
    """Embed each recording with a run, ``(recordings, dim)``; features are kept where an evaluation looks for them.

    Raises:
        UserError: the run cannot be used or was trained without the speaker task, or a recording cannot be read.
    """
    from vivavoce.evaluation.scoring.recordings import score_recordings
    from vivavoce.features.offline import open_store
    from vivavoce.verifier import load_run

    loaded = load_run(run)
    if loaded.calibration.speaker is None:
        raise UserError(f"{loaded.folder.path} was trained without the speaker task; name a run that knows speakers.")
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    folder = loaded.folder.features / f"evaluation-{digest[:12]}"
    store = open_store(rows, loaded.config.front_end, folder, loaded.config.training.workers)
    return score_recordings(loaded.model, store, progress="Embedding recordings", tasks=("speaker",)).embeddings


def _refuse_to_replace(out: Path, *sources: Path) -> None:
    for source in sources:
        if out.resolve() == source.resolve():
            raise UserError(f"{out} is what the list is made from; write it to another place.")
