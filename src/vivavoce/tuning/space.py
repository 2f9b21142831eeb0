"""What a tuning searches: keys of an experiment's configuration, each with a range or a list of choices."""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import optuna
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.settings import load_settings
from vivavoce.tuning.metric import NEEDS, Metric

_FEATURES_SEED = "features.seed"
# Keys that decide what the metric is measured on: with another value the scores of two trials no longer compare.
# A searched seed would only pick the luckiest draw.
_FIXED = ("data", "seed", _FEATURES_SEED, "training.tasks", "training.held_out", "training.validation_crop_s")
# Settings that change no result, so that workers may differ in them.
_FREE = {"training": ("workers",), "features": ("prefetch", "store")}


class Distribution(BaseModel):
    """The values of one key: from ``low`` to ``high``, or one of ``choices``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float | None = Field(default=None, description="lowest value")
    high: int | float | None = Field(default=None, description="highest value, included")
    log: bool = Field(default=False, description="draw the logarithm evenly, as for learning rates")
    step: int | float | None = Field(default=None, gt=0, description="distance of two neighbouring values")
    choices: list[Any] | None = Field(
        default=None, min_length=2, description="values to choose from: numbers, words, or whole sections"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("choices go without low, high, log and step")
            if len({_text(choice) for choice in self.choices}) < len(self.choices):
                raise ValueError("a choice stands there twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        if not _are_finite(self.low, self.high):
            raise ValueError("low, high and what lies between them must be finite")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithmic range needs low above 0 and no step")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError("step must not be longer than the range")
        return self

    def ends(self) -> list[Any]:
        """The values that must be possible before a trial is begun: both ends of a range, every choice."""
        return [self.low, self.high] if self.choices is None else list(self.choices)

    def is_whole(self, value: Any) -> bool:
        """Whether the range is one of whole numbers, for a key that now has ``value``."""
        numbers = [number for number in (self.low, self.high, self.step) if number is not None]
        if isinstance(value, float):
            return False
        return all(isinstance(number, int) for number in numbers)

    def suggest(self, trial: optuna.Trial, key: str, whole: bool) -> Any:
        """Draw the value of a trial."""
        if self.choices is not None:
            labels = [_text(choice) for choice in self.choices]
            return copy.deepcopy(self.choices[labels.index(trial.suggest_categorical(key, labels))])
        assert self.low is not None
        assert self.high is not None
        if whole:
            return trial.suggest_int(key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(key, float(self.low), float(self.high), step=self.step, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a range can give ``value``."""
        if isinstance(value, bool) or not isinstance(value, int | float) or self.low is None or self.high is None:
            return False
        if not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9


class Space(BaseModel):
    """The file that `vivavoce tune` takes."""

    model_config = ConfigDict(extra="forbid")

    config: Path = Field(description="the experiment that trials change, relative to this file")
    search: dict[str, Distribution] = Field(min_length=1, description="key of the experiment: its values")
    metric: Metric = Field(default="eer", description="what trials are compared by on the validation split; lower wins")
    sampler: Literal["tpe", "random"] = Field(
        default="tpe", description="tpe: learns from earlier trials (Bergstra et al., NIPS 2011); random: does not"
    )
    pruner: Literal["median", "hyperband", "asha", "none"] = Field(
        default="median", description="which trials end early, judged after each epoch"
    )
    trials: int = Field(default=50, ge=1, description="trials of the whole study, pruned and failed ones included")
    epochs: int | None = Field(default=None, ge=1, description="training.epochs of a trial; none: as the config has it")
    seed: int = Field(default=0, ge=0, description="of the sampler; all trials train with the experiment's own seed")


class SearchSpace:
    """A space with the experiment that it changes; every value that can come up is known to be possible."""

    def __init__(self, space: Space, path: Path, tree: dict[str, Any], overrides: Sequence[str]) -> None:
        self.space = space
        self.path = path
        self._tree = tree
        self._overrides = list(overrides)
        self.base = self.config_of({})
        self._whole = {key: found.is_whole(_at(self.base, key)) for key, found in space.search.items()}

    def config_of(self, values: Mapping[str, Any]) -> ExperimentConfig:
        """The complete configuration of a trial.

        Raises:
            UserError: the values do not go together.
        """
        sections = [f"{key}={_text(value)}" for key, value in self._tree.items()]
        searched = [f"{key}={_text(value)}" for key, value in values.items()]
        try:
            return load_settings(ExperimentConfig, None, [*sections, *self._overrides, *searched])
        except UserError as error:
            raise UserError(str(error).replace(" (from --set)", "")) from error

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Draw the value of every key."""
        return {key: found.suggest(trial, key, self._whole[key]) for key, found in self.space.search.items()}

    def base_params(self) -> dict[str, Any] | None:
        """The experiment as it is, as a trial's parameters; None where the space does not hold it."""
        params = {}
        for key, found in self.space.search.items():
            if found.choices is None:
                value = _at(self.base, key)
                if not found.holds(value):
                    return None
                params[key] = value
                continue
            same = [choice for choice in found.choices if self.config_of({key: choice}) == self.base]
            if not same:
                return None
            params[key] = _text(same[0])
        return params

    def logarithmic(self) -> set[str]:
        """The keys whose logarithm is searched."""
        return {key for key, found in self.space.search.items() if found.log}

    def longest(self) -> int:
        """The most epochs that a trial may take."""
        found = self.space.search.get("training.epochs")
        return self.base.training.epochs if found is None else int(max(found.ends()))

    def has_range_in(self, *sections: str) -> bool:
        """Whether a key of these sections is searched over a range, so that hardly two trials share its value."""
        return any(
            found.choices is None and any(_inside(key, section) for section in sections)
            for key, found in self.space.search.items()
        )

    def described(self) -> dict[str, Any]:
        """Everything that makes two tunings the same study, as plain data."""
        base = self.base.model_dump(mode="json")
        for section, names in _FREE.items():
            base[section] = {name: value for name, value in base[section].items() if name not in names}
        return {**self.space.model_dump(mode="json", exclude={"trials", "config"}), "config": base}


def load_space(path: Path, overrides: Sequence[str] = ()) -> SearchSpace:
    """Read a space and its experiment; ``overrides`` change the experiment.

    Raises:
        UserError: a file cannot be read, a key is unknown, a value that can come up is impossible, or the metric is
            not measured.
    """
    space = load_settings(Space, path)
    config = path.parent / space.config
    if space.epochs is not None:
        overrides = [*overrides, f"training.epochs={space.epochs}"]
    load_settings(ExperimentConfig, config, overrides)  # names the file in what it refuses
    tree = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
    found = SearchSpace(space, path, tree, overrides)
    _check_keys(space, path)
    for key, distribution in space.search.items():
        _check_values(found, key, distribution)
    missing = [task for task in NEEDS[space.metric] if task not in found.base.training.tasks]
    if missing:
        raise UserError(
            f"The metric {space.metric} of {path} needs the task {missing[0]}, which {config} does not train; add it "
            "to training.tasks, or choose another metric."
        )
    return found


def _check_keys(space: Space, path: Path) -> None:
    keys = list(space.search)
    for key in keys:
        fixed = [name for name in _FIXED if _inside(key, name) or _sets(space.search[key], key, name)]
        if fixed:
            raise UserError(
                f"search.{key} of {path} is not possible: {fixed[0]} decides what the metric is measured on or with "
                "which luck, so trials that differ in it do not compare; leave it out."
            )
        outer = [name for name in keys if name != key and _inside(key, name)]
        if outer:
            raise UserError(f"search.{key} of {path} lies inside search.{outer[0]}; leave one of them out.")
    if "training.epochs" in keys and space.epochs is not None:
        raise UserError(f"{path} both searches training.epochs and sets epochs; leave one of them out.")


def _sets(distribution: Distribution, key: str, name: str) -> bool:
    """Whether a section that is searched holds the key ``name``; features may be searched that leave their seed out."""
    if not _inside(name, key) or name != _FEATURES_SEED:
        return _inside(name, key)
    return any(isinstance(choice, dict) and "seed" in choice for choice in distribution.choices or ())


def _check_values(found: SearchSpace, key: str, distribution: Distribution) -> None:
    for value in distribution.ends():
        try:
            config = found.config_of({key: value})
        except UserError as error:
            raise UserError(f"search.{key} of {found.path} cannot be {_text(value)}: {error}") from error
    if distribution.choices is None and isinstance(_at(config, key), int) and not found._whole[key]:
        raise UserError(
            f"search.{key} of {found.path} must be a range of whole numbers; give low, high and step without a point."
        )


def _are_finite(low: float, high: float) -> bool:
    try:
        return math.isfinite(float(low)) and math.isfinite(float(high) - float(low))
    except OverflowError:  # a whole number beyond all others
        return False


def _inside(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _at(config: BaseModel, key: str) -> Any:
    value: Any = config.model_dump(mode="json")
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    """Write a value as one line of YAML, which gives exactly it when read."""
    options: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True}
    return yaml.dump(value, Dumper=_OneLine, width=float("inf"), **options).removesuffix("\n").removesuffix("\n...")


class _OneLine(yaml.SafeDumper):
    """Writes line breaks inside of text as escapes."""


_OneLine.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
    ),
)
