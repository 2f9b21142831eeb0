"""What a space refuses, before anything is written, and what it makes of a trial's values."""

import math
from pathlib import Path

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.settings import load_settings
from vivavoce.tuning.space import Distribution, _text, load_space
from vivavoce.tuning.tuner import to_yaml

from .fake import make_space, write_space

RATE = "training.learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}"


def space_text(*search: str, **rest: object) -> str:
    lines = [f"{name}: {value}" for name, value in rest.items()]
    return "\n".join(["config: train.yaml", *lines, "search:", *(f"  {line}" for line in search)]) + "\n"


@pytest.mark.parametrize(
    ("search", "parts"),
    [
        ("training.learning_rat: {low: 0.1, high: 0.2}", ("training.learning_rat", "did you mean learning_rate")),
        ("training.learning_rate: {low: 0.0, high: 0.1}", ("search.training.learning_rate", "0.0", "greater than 0")),
        ("training.learning_rate: {low: 0.2, high: 0.1}", ("training.learning_rate", "low must be less than high")),
        ("training.learning_rate: {low: 0, high: 1, log: true}", ("training.learning_rate", "low above 0")),
        ("training.learning_rate: {low: 0.1}", ("training.learning_rate", "low and high, or choices")),
        ("training.learning_rate: {low: 0.1, high: 0.2, chioces: [1]}", ("chioces", "did you mean choices")),
        ("training.learning_rate: {choices: [0.1, 0.1]}", ("training.learning_rate", "stands there twice")),
        ("training.learning_rate: {choices: [0.1, 0.2], log: true}", ("training.learning_rate", "without low")),
        ("training.learning_rate: {low: 0.1, high: 0.2, step: 0.5}", ("training.learning_rate", "step")),
        ("training.learning_rate: {low: 0.1, high: .inf}", ("training.learning_rate", "finite")),
        ("training.learning_rate: {low: -1.7e+308, high: 1.7e+308}", ("training.learning_rate", "finite")),
        (f"training.epochs: {{low: 1, high: 1{400 * '0'}}}", ("training.epochs", "finite")),
        ("training.learning_rate: {low: .nan, high: 1.0}", ("training.learning_rate", "low must be less than high")),
        ("training.liveness_batch: {low: 2, high: 8}", ("search.training.liveness_batch", "cannot be 2", "4")),
        ("training.liveness_batch: {low: 4.0, high: 8.0}", ("training.liveness_batch", "whole numbers")),
        ("model: {choices: [{name: ecapa-lstm}, {name: ecapa-fancy}]}", ("search.model ", "fancy")),
        ("seed: {low: 0, high: 9}", ("search.seed", "luck")),
        ("features.seed: {low: 0, high: 9}", ("search.features.seed", "luck")),
        ("features: {choices: [{seed: 1}, {seed: 2}]}", ("search.features", "luck")),
        ("data.validation: {choices: [a, b]}", ("search.data.validation", "do not compare")),
        ("training: {choices: [{epochs: 1}, {epochs: 2}]}", ("search.training", "do not compare")),
        ("training.tasks: {choices: [[speaker], [liveness]]}", ("search.training.tasks", "do not compare")),
    ],
)
def test_nonsense_is_refused_in_one_sentence(search: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        make_space(tmp_path, space_text(search))
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "--set" not in sentence
    for part in parts:
        assert part in sentence


def test_the_search_must_fit_together(tmp_path: Path) -> None:
    nested = space_text(
        "model: {choices: [{name: ecapa-lstm}, {name: ecapa-sync}]}", "model.head.hidden: {low: 8, high: 16}"
    )
    with pytest.raises(UserError, match="lies inside"):
        make_space(tmp_path, nested)
    with pytest.raises(UserError, match=r"both searches training\.epochs and sets epochs"):
        make_space(tmp_path, space_text("training.epochs: {low: 1, high: 5}", epochs=3))
    with pytest.raises(UserError, match=r"speaker_eer .* needs the task speaker"):
        load_space(write_space(tmp_path, space_text(RATE, metric="speaker_eer")), ["training.tasks=[liveness]"])
    with pytest.raises(UserError, match="metric"):
        make_space(tmp_path, space_text(RATE, metric="accuracy"))
    path = write_space(tmp_path)
    (tmp_path / "train.yaml").unlink()
    with pytest.raises(UserError, match=r"train\.yaml cannot be read"):
        load_space(path)


def test_a_mistake_in_the_experiment_names_its_file(tmp_path: Path) -> None:
    path = write_space(tmp_path)
    (tmp_path / "train.yaml").write_text("data: {train: a, validation: b}\ntraining: {learning_rat: 1}\n")
    with pytest.raises(UserError, match=r"training\.learning_rat .*train\.yaml.* is unknown"):
        load_space(path)


def test_a_trial_changes_what_is_searched_and_nothing_else(tmp_path: Path) -> None:
    search = ("model: {choices: [{name: ecapa-lstm, head: {hidden: 8}}, {name: ecapa-sync}]}", RATE)
    space = make_space(tmp_path, space_text(*search, epochs=7))
    chosen = "{name: ecapa-lstm, head: {hidden: 8}}"
    trial = optuna.trial.FixedTrial({"model": chosen, "training.learning_rate": 0.0123})
    config = space.config_of(space.suggest(trial))  # pyright: ignore[reportArgumentType]
    assert config.model.head.model_dump()["hidden"] == 8
    assert config.training.learning_rate == 0.0123
    expected = space.base.model_dump()
    expected["training"]["learning_rate"], expected["model"] = 0.0123, config.model.model_dump()
    assert config.model_dump() == expected
    assert config.training.epochs == 7
    (tmp_path / "best.yaml").write_text(to_yaml(config))
    assert load_settings(ExperimentConfig, tmp_path / "best.yaml") == config


def test_features_may_be_searched_that_leave_their_seed_out(tmp_path: Path) -> None:
    make_space(tmp_path, space_text("features: {choices: [{mode: online}, {mode: offline}]}"))


def test_overrides_change_the_experiment_of_every_trial(tmp_path: Path) -> None:
    space = load_space(write_space(tmp_path, space_text(RATE)), ["training.clip_norm=2.5"])
    assert space.config_of({"training.learning_rate": 0.01}).training.clip_norm == 2.5


def test_a_key_that_is_a_number_with_a_point_is_searched_as_one(tmp_path: Path) -> None:
    """`{low: 0, high: 1}` of a share would else be nothing but 0 and 1."""
    space = make_space(
        tmp_path, space_text("training.margin_warmup_share: {low: 0, high: 0.9}", "speaker.margin: {low: 0, high: 1}")
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(study.ask())["speaker.margin"] for _ in range(5)]
    assert all(0 < margin < 1 for margin in drawn)


def test_the_experiment_as_it_is_begins_the_search_where_the_space_holds_it(tmp_path: Path) -> None:
    text = space_text(
        RATE, "training.liveness_batch: {low: 16, high: 64, step: 16}", "model.head.hidden: {choices: [32, 64]}"
    )
    held = make_space(tmp_path, text).base_params()
    assert held == {"training.learning_rate": 0.002, "training.liveness_batch": 48, "model.head.hidden": "64"}
    assert make_space(tmp_path, text.replace("step: 16", "step: 12")).base_params() is None
    assert make_space(tmp_path, text.replace("low: 1.0e-4", "low: 1.0e-2")).base_params() is None
    assert make_space(tmp_path, text.replace("[32, 64]", "[32, 65]")).base_params() is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_value_survives_being_written_exactly(value: object) -> None:
    text = _text(value)
    assert "\n" not in text
    assert yaml.safe_load(text) == value


@given(st.floats(1e-6, 1.0), st.floats(1.1, 1e6), st.booleans(), st.integers(0, 2**31))
def test_what_is_drawn_lies_in_the_range(low: float, ratio: float, log: bool, seed: int) -> None:
    found = Distribution(low=low, high=low * ratio, log=log)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = found.suggest(study.ask(), "key", whole=False)
    assert found.holds(value)
    assert math.isfinite(value)
