"""A run's own files, read so that what is damaged in them is said in one sentence."""

import json
from typing import Any

import yaml

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.settings import load_settings
from vivavoce.training.run_folder import RunFolder


def read_lines(run: RunFolder) -> list[dict[str, Any]]:
    """All lines of metrics.jsonl, each the figures of an epoch.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    mend = "restore it from a copy or train again"
    try:
        lines = run.read_metrics()
    except OSError as error:
        raise UserError(f"{run.metrics} cannot be read ({error.strerror}); {mend}.") from error
    for number, line in enumerate(lines, start=1):
        if not _are_figures(line):
            raise UserError(f"{run.metrics} is damaged (line {number} holds no figures of an epoch); {mend}.")
    return lines


def read_config(run: RunFolder) -> tuple[dict[str, Any], str]:
    """The config of a run as plain values; where it is not one of an experiment, nothing, and why.

    Raises:
        UserError: it is no YAML.
    """
    try:
        yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{run.config} is damaged; restore it from a copy or train again.") from error
    try:
        return load_settings(ExperimentConfig, run.config).model_dump(mode="json"), ""
    except UserError as error:
        return {}, str(error)


def last_lowered(run: RunFolder) -> int:
    """Epoch at whose end the diagnosis lowered the rate last; 0: it never did, or that cannot be read."""
    try:
        lines = [json.loads(line) for line in run.actions.read_text(encoding="utf-8").splitlines()]
        return max((int(line["epoch"]) for line in lines if line["did"] == "lower_rate"), default=0)
    except (OSError, ValueError, TypeError, KeyError):
        return 0


def _are_figures(line: Any) -> bool:
    if not isinstance(line, dict) or type(line.get("epoch")) is not int or not isinstance(line.get("split"), str):
        return False
    return all(value is None or isinstance(value, int | float) for name, value in line.items() if name != "split")
