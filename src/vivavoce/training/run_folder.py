"""A training run as a folder: the one place that knows its file names."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.features.folder import StoreFolder, UnusableStore
from vivavoce.files import append_to, remove, remove_unfinished, write_json, write_text
from vivavoce.settings import differences


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.fingerprints = path / "manifests.json"
        self.leaks = path / "leaks.json"
        self.best_weights = path / "checkpoints" / "best.safetensors"
        self.state = path / "checkpoints" / "trainer.pt"
        self.calibration = path / "calibration.json"
        self.metrics = path / "metrics.jsonl"
        self.steps = path / "steps.jsonl"
        self.diagnosis = path / "diagnosis.json"
        self.actions = path / "actions.jsonl"
        self.bad_batch = path / "bad_batch.pt"
        self.tensorboard = path / "tensorboard"
        self.features = path / "features"
        self.report = path / "report.html"

    @classmethod
    def create(cls, path: Path, config: BaseModel) -> "RunFolder":
        """Begin a run in a new or empty folder, or in one that holds features alone, which `forget` left.

        Raises:
            UserError: the folder already holds a run, or something else.
        """
        run = cls(path)
        if run.config.exists():
            raise UserError(f"{path} already holds a training run; choose another --out, or continue it with --resume.")
        if path.exists() and not (path.is_dir() and run._is_fresh()):
            raise UserError(f"{path} is not an empty folder; choose another --out.")
        write_text(run.config, _to_yaml(config))
        return run

    @classmethod
    def reopen(cls, path: Path, config: BaseModel) -> "RunFolder":
        """Open a run to continue it.

        Raises:
            UserError: it is no run, or was begun with another configuration.
        """
        run = cls.open(path)
        differs = differences(_binding(_read_yaml(run.config)), _binding(config.model_dump(mode="json")))
        if differs:
            longer = [text for text in differs if text.startswith("training.epochs ")]
            why = ", and rate, margins and negatives follow the length of a run" if longer else ""
            raise UserError(
                f"{run.config} differs from the configuration given: {(longer or differs)[0]}{why}; resume with the "
                "one the run was begun with, or train into another folder."
            )
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run.

        Raises:
            UserError: the folder is missing or is no run.
        """
        run = cls(path)
        if not path.is_dir():
            raise UserError(f"There is no run folder {path}; give the folder that `vivavoce train --out` wrote.")
        if not run.config.is_file():
            raise UserError(f"{path} is not a run folder (it has no config.yaml); give what `vivavoce train` wrote.")
        return run

    def unsaid(self) -> list[str]:
        """Settings with which runs of earlier versions were trained, and which their config.yaml has no keys for."""
        try:
            section = _read_yaml(self.config)
        except UserError:  # whoever loads the settings says what is wrong with them
            return []
        for name in ("model", "trunk"):
            section = section.get(name) if isinstance(section, dict) else None
        older = isinstance(section, dict) and section.get("type") == "ecapa" and "aggregate_norm" not in section
        return ["model.trunk.aggregate_norm=false"] if older else []

    def write_calibration(self, calibration: Calibration) -> None:
        """Keep the thresholds."""
        write_json(self.calibration, calibration.model_dump(mode="json"))

    def read_calibration(self) -> Calibration:
        """The thresholds that training set on the validation split.

        Raises:
            UserError: training has not ended, or the file is damaged.
        """
        if not self.calibration.is_file():
            raise UserError(
                f"{self.path} has no calibration.json: its training has not ended; continue it with --resume."
            )
        try:
            return Calibration.model_validate_json(self.calibration.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise UserError(f"{self.calibration} is damaged; restore it from a copy or train again.") from error

    def forget(self) -> None:
        """Remove a run that ended before its first epoch, but not the features that are whole: they took long."""
        remove_unfinished(self.path)
        kept = self._whole_features()
        for path in [*self.path.iterdir(), *self._features()]:
            if path not in kept and path != self.features:
                remove(path)
        if not kept:
            shutil.rmtree(self.path, ignore_errors=True)

    def _is_fresh(self) -> bool:
        """Whether the folder holds nothing, or whole features alone."""
        return set(self.path.iterdir()) <= {self.features} and self._features() == self._whole_features()

    def _features(self) -> list[Path]:
        return sorted(self.features.iterdir()) if self.features.is_dir() else []

    def _whole_features(self) -> list[Path]:
        return [path for path in self._features() if _is_whole_store(path)]

    def append_metrics(self, epoch: int, split: str, values: dict[str, float]) -> None:
        """Add one line to metrics.jsonl, which is replaced as a whole: a process killed here leaves no half line."""
        _write_lines(self.metrics, [*self.read_metrics(), {"epoch": epoch, "split": split, **values}])

    def append_step(self, values: dict[str, Any]) -> None:
        """Add one line to steps.jsonl; a line that a killed process left unfinished is dropped by `drop_after`."""
        with append_to(self.steps) as file:
            file.write((json.dumps(values) + "\n").encode())

    def append_action(self, values: dict[str, Any]) -> None:
        """Add one line to actions.jsonl: what the diagnosis did by itself."""
        _write_lines(self.actions, [*_read_lines(self.actions), values])

    def read_metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl.

        Raises:
            UserError: the file is damaged.
        """
        return _read_lines(self.metrics)

    def drop_after(self, epoch: int, step: int) -> None:
        """Forget what was recorded after a checkpoint, and what a killed process left half-written.

        Raises:
            UserError: a file is damaged; nothing is changed then.
        """
        recorded = ((self.metrics, "epoch", epoch), (self.actions, "epoch", epoch), (self.steps, "step", step))
        kept = {
            path: [line for line in _read_lines(path, name, half_last=path == self.steps) if line[name] <= last]
            for path, name, last in recorded
            if path.exists()
        }
        for path, lines in kept.items():
            _write_lines(path, lines)
        remove_unfinished(self.path)


def _is_whole_store(path: Path) -> bool:
    try:
        return StoreFolder(path).read_record().whole
    except UnusableStore:
        return False


def _read_lines(path: Path, key: str | None = None, half_last: bool = False) -> list[dict[str, Any]]:
    """The dictionary of each line, with a number at ``key``; with ``half_last`` none of an unfinished last line."""
    if not path.exists():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    if last and not half_last:
        lines.append(last)
    return [_read_line(path, number, line, key) for number, line in enumerate(lines, start=1)]


def _read_line(path: Path, number: int, line: bytes, key: str | None) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict) and (key is None or isinstance(found.get(key), int)):
            return found
    raise UserError(f"{path} is damaged in line {number}; restore it from a copy, or remove that line.")


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def _to_yaml(config: BaseModel) -> str:
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged; restore it from a copy or train again.") from error


# Settings that change no loss: how many processes work, how far ahead, and where a store is kept (what is in it binds).
_FREE = {"training": ("workers", "checkpoint_every_s"), "features": ("prefetch", "store")}


def _binding(config: Any) -> Any:
    """Everything of a configuration that a run's losses depend on."""
    if not isinstance(config, dict):
        return config
    return {
        section: {name: value for name, value in values.items() if name not in _FREE.get(section, ())}
        if isinstance(values, dict)
        else values
        for section, values in config.items()
    }
