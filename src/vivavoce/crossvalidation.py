"""A cross-validation: one run for each fold, each evaluated on its own test part, and their mean."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vivavoce.assessment import evaluate
from vivavoce.config import ExperimentConfig
from vivavoce.corpus.cuts import absolute
from vivavoce.corpus.folds import FoldsIndex, check_fold, fold_manifests, read_folds
from vivavoce.corpus.policy import Grouping
from vivavoce.errors import UserError
from vivavoce.evaluation.report.results import EvaluationResult
from vivavoce.experiment import Experiment
from vivavoce.files import write_json
from vivavoce.training.distributed import joined
from vivavoce.training.run_folder import RunFolder

FILE = "crossvalidation.json"


class Record(BaseModel):
    """What ``crossvalidation.json`` beside the runs says: which folds they are of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: str
    index: FoldsIndex


@dataclass(frozen=True)
class FoldResult:
    """The evaluation of one fold's run on the fold's test part."""

    fold: int
    result: EvaluationResult
    report: Path

    def figures(self) -> dict[str, float]:
        """Equal error rates (0–1) by name: ``speaker``, and each attack species."""
        rates = {} if self.result.speaker is None else {"speaker": self.result.speaker.eer.value}
        return rates | {row.species: row.eer.value for row in self.result.liveness}


@dataclass(frozen=True)
class Summary:
    """Mean and spread of one figure over the folds that have it; ``sd`` is the sample's, NaN of one fold alone."""

    mean: float
    sd: float
    folds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarise the values of the folds."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else math.nan, len(values))


@dataclass(frozen=True)
class CrossValidation:
    """All folds that were trained, evaluated; ``missing`` are the others."""

    folds: list[FoldResult]
    missing: list[int]

    def summaries(self) -> dict[str, Summary]:
        """Mean and standard deviation of each figure, in the order in which the folds name them."""
        names = dict.fromkeys(name for fold in self.folds for name in fold.figures())
        return {name: Summary.of([f.figures()[name] for f in self.folds if name in f.figures()]) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Write it for JSON; a spread that is not known is null."""
        summaries = self.summaries().items()
        return {
            "folds": [
                {"fold": one.fold, "eer": one.figures(), "report": str(one.report), **one.result.summary()}
                for one in self.folds
            ],
            "missing": self.missing,
            "eer": {
                name: {"mean": s.mean, "sd": None if math.isnan(s.sd) else s.sd, "folds": s.folds}
                for name, s in summaries
            },
        }


def is_cross_validation(folder: Path) -> bool:
    """Tell whether a folder holds runs of folds rather than one run."""
    return (folder / FILE).is_file()


def train_folds(
    config: ExperimentConfig, fold: int | None, out: Path, resume: bool = False, allow_leak: bool = False
) -> dict[int, RunFolder]:
    """Train one fold (None: all, one after another) of ``config.data.folds`` into ``out/fold-K``; returns the runs.

    With ``resume`` runs that were stopped go on, finished ones stay as they are, and those not begun are trained.

    Raises:
        UserError: the configuration names no folds, there is no such fold, ``out`` holds something else, or training
            is refused.
    """
    if config.data.folds is None:
        raise UserError("The configuration names no folds for --fold to choose from; set data.folds, or leave it out.")
    folder = config.data.folds
    index = read_folds(folder)
    if fold is not None:
        check_fold(index, folder, fold)
    chosen = list(range(index.folds)) if fold is None else [fold]
    runs = {}
    with joined(config.training.torch_device()) as share:
        record = Record(folds=absolute(folder), index=index)
        begun = share.from_main(lambda: _begin(out, record, chosen, resume))
        try:
            for number in chosen:
                experiment = Experiment(_of_fold(config, index, number))
                runs[number] = experiment.train(_run(out, number).path, number in begun, allow_leak)
        except UserError:
            if share.main:
                _forget_if_empty(out)
            raise
    return runs


def evaluate_folds(
    out: Path,
    *,
    liveness_crop_s: float | None = None,
    allow_leak: bool = False,
    say: Callable[[str], None] | None = None,
) -> CrossValidation:
    """Evaluate each fold's run on its own test part; every run gets its own report.

    Args:
        out: what `train_folds` wrote.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds.
        allow_leak: note what a run was trained on, too, instead of refusing it.
        say: told which fold is evaluated.

    Raises:
        UserError: there is no such folder, its folds are gone or were made anew, no fold's training has ended, or an
            evaluation is refused.
    """
    record = _read(out)
    folder = Path(record.folds)
    if read_folds(folder) != record.index:
        raise UserError(f"The folds in {folder} are not those that {out} was trained on; train again on the new ones.")
    done = [fold for fold in range(record.index.folds) if _run(out, fold).calibration.is_file()]
    if not done:
        raise UserError(f"No fold of {out} is trained to its end; continue with `vivavoce train --fold all --resume`.")
    results = []
    for fold in done:
        if say is not None:
            say(f"Evaluating fold {fold}")
        test = fold_manifests(folder, fold)["test"]
        found = evaluate(_run(out, fold).path, test, liveness_crop_s=liveness_crop_s, allow_leak=allow_leak)
        results.append(FoldResult(fold, *found))
    return CrossValidation(results, [fold for fold in range(record.index.folds) if fold not in done])


def _of_fold(config: ExperimentConfig, index: FoldsIndex, number: int) -> ExperimentConfig:
    """The configuration of one fold's run."""
    assert config.data.folds is not None
    manifests = fold_manifests(config.data.folds, number)
    # Folds by session hold every speaker in every part, on purpose.
    closed_set = config.data.closed_set or index.group is Grouping.SESSION
    data = config.data.of_fold(manifests["train"], manifests["validation"], closed_set)
    return config.model_copy(update={"data": data})


def _begin(out: Path, record: Record, chosen: Sequence[int], resume: bool) -> list[int]:
    """Write the record, unless ``out`` holds runs of other folds or, without ``resume``, a chosen fold's run.

    Returns the chosen folds whose runs were begun.
    """
    if is_cross_validation(out):
        if _read(out) != record:
            raise UserError(f"{out} holds runs of other folds than {record.folds}; choose another --out.")
    elif RunFolder(out).config.exists():
        raise UserError(f"{out} is a training run, not a folder for the runs of folds; choose another --out.")
    begun = [fold for fold in chosen if _run(out, fold).config.exists()]
    if begun and not resume:
        raise UserError(
            f"{_run(out, begun[0]).path} already holds a training run; choose another --out, or continue with --resume."
        )
    write_json(out / FILE, record.model_dump(mode="json"))
    return begun


def _forget_if_empty(out: Path) -> None:
    """Remove the record, and the folder, where no run came to be."""
    if [path.name for path in out.iterdir()] == [FILE]:
        (out / FILE).unlink()
        out.rmdir()


def _read(out: Path) -> Record:
    path = out / FILE
    if not path.is_file():
        raise UserError(f"{out} holds no runs of folds ({FILE} is missing); train them with `vivavoce train --fold`.")
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged; restore it from a copy or train again.") from error


def _run(out: Path, fold: int) -> RunFolder:
    return RunFolder(out / f"fold-{fold}")
