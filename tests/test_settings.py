from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.settings import load_settings
from vivavoce.simulate.config import SimulationConfig


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sgd(Strict):
    name: Literal["sgd"] = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1)


class Adam(Strict):
    name: Literal["adam"] = "adam"
    beta: float = 0.9


class Span(Strict):
    low: float
    high: float


class Part(Strict):
    size: int = Field(default=3, gt=0)


class Experiment(Strict):
    epochs: int = Field(default=5, ge=1)
    mode: Literal["fast", "slow"] = "fast"
    optimizer: Sgd | Adam = Field(default=Sgd(), discriminator="name")
    span: Span = Span(low=1, high=2)
    parts: list[Part] = []
    maybe: Part | None = None


def test_defaults_yaml_and_overrides_in_this_order(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("epochs: 7\noptimizer: {name: adam}\nparts: [{size: 1}, {}]\n")
    assert load_settings(Experiment) == Experiment()
    assert load_settings(Experiment, path).epochs == 7
    found = load_settings(Experiment, path, ["epochs=8", "optimizer.beta=0.5", "epochs=9", "maybe.size=2"])
    assert found.epochs == 9
    assert found.optimizer == Adam(beta=0.5)
    assert found.parts == [Part(size=1), Part()]
    assert found.maybe == Part(size=2)


def test_override_of_one_end_keeps_the_other() -> None:
    assert load_settings(Experiment, None, ["span.high=5"]).span == Span(low=1, high=5)
    config = load_settings(
        SimulationConfig, None, ["distance_cm.high=20", "device.noise_dbc_hz=-70", "kinds.shifted=0"]
    )
    assert (config.distance_cm.low, config.distance_cm.high) == (4, 20)
    assert config.device.noise_dbc_hz.low == config.device.noise_dbc_hz.high == -70
    assert config.kinds.shifted == 0
    assert load_settings(SimulationConfig, None, ["distance_cm=10", "distance_cm.high=12"]).distance_cm.high == 12


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=3", ["key epoch", "--set", "did you mean epochs?", "mode"]),
        ("maybe.sise=3", ["key maybe.sise", "did you mean size?"]),
        ("optimizer.momentun=3", ["key optimizer.momentun", "did you mean momentum?"]),
        ("epochs=many", ["epochs", "'many'", "integer"]),
        ("epochs=0", ["epochs", "0", "greater than or equal to 1"]),
        ("mode=middling", ["mode", "'middling'", "'fast' or 'slow'"]),
        ("optimizer.momentum=1.5", ["optimizer.momentum", "1.5", "less than 1"]),
        ("optimizer.name=lion", ["optimizer", "lion", "'sgd', 'adam'"]),
        ("epochs.size=1", ["epochs", "no keys of its own"]),
        ("parts.0=1", ["parts"]),
        ("epochs", ["'epochs'", "key=value"]),
        (".epochs=1", ["key=value"]),
        ("epochs=[1", ["not valid YAML"]),
        ("epochs=2024-13-45", ["'epochs=2024-13-45'", "not valid YAML", "quote it"]),
        pytest.param(f"epochs={'9' * 5000}", ["not valid YAML"], id="5000 digits"),
    ],
)
def test_mistakes_name_key_value_and_what_is_allowed(override: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(Experiment, None, [override])
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes_in_a_file_name_the_file_and_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("parts: [{size: 1}, {size: -1}]\n")
    with pytest.raises(UserError, match=r"-1 of parts\.1\.size \(from .*a\.yaml\).*greater than 0"):
        load_settings(Experiment, path)
    path.write_text("span: {low: 1}\n")
    with pytest.raises(UserError, match=r"span\.high.*is missing"):
        load_settings(Experiment, path)


@pytest.mark.parametrize(
    ("text", "overrides", "key", "source"),
    [
        ("optimizer: {momentum: 5}", ["optimizer.name=sgd"], "optimizer.momentum", "FILE"),
        ("optimizer: {name: sgd, momentum: 5}", ["optimizer.momentum=6"], "optimizer.momentum", "--set"),
        ("optimizer: {momentum: 5}", ["optimizer={name: sgd, momentum: 6}"], "optimizer.momentum", "--set"),
        ("optimizer: {name: sgd}", ["optimizer.momentum=6"], "optimizer.momentum", "--set"),
        ("optimizer: {momentun: 5}", ["optimizer.name=sgd"], "optimizer.momentun", "FILE"),
        ("parts: [{size: 1}, {size: -1}]", ["maybe.size=1", "epochs=3"], "parts.1.size", "FILE"),
        ("parts: [{size: -1}]", ["parts=[{size: 1}, {size: -2}]"], "parts.1.size", "--set"),
        ("maybe: 3", ["maybe.size=-1"], "maybe.size", "--set"),
        ("span: {low: 1}", ["span.low=2"], "span.high", "--set"),
        ("span: {low: 1}", ["epochs=2"], "span.high", "FILE"),
        ("span: {lov: 1}", ["span.low=2"], "span.high", "FILE and --set"),
    ],
)
def test_a_mistake_is_blamed_on_what_made_it(tmp_path: Path, text: str, overrides: list[str], key: str, source: str):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_settings(Experiment, path, overrides)
    assert f"{key} (from {source.replace('FILE', str(path))})" in str(caught.value)


def test_a_section_made_of_both_is_blamed_on_both(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("distance_cm: {low: 4, typical: 10, high: 20}")
    with pytest.raises(UserError, match=r"distance_cm \(from .*a\.yaml and --set\)"):
        load_settings(SimulationConfig, path, ["distance_cm.high=2"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 2024-13-45\n", "cannot read.*month must be in"),
        ("- 1\n", "mapping"),
        ("a: [1\n", "not valid YAML in line"),
        (b"\xff\xfe\x00", "not"),
        (None, "cannot be read"),
    ],
)
def test_unreadable_files_are_said(tmp_path: Path, text: str | bytes | None, words: str) -> None:
    path = tmp_path / "a.yaml"
    if isinstance(text, bytes):
        path.write_bytes(text)
    elif text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=words):
        load_settings(Experiment, path)


def test_impossible_spread_is_refused() -> None:
    with pytest.raises(UserError, match=r"distance_cm.*low <= typical <= high"):
        load_settings(SimulationConfig, None, ["distance_cm.high=2"])


def test_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    assert load_settings(Experiment, tmp_path / "a.yaml") == Experiment()


def test_another_type_by_override_leaves_the_keys_behind_that_only_the_file_s_type_had(tmp_path):
    path = tmp_path / "config.yaml"
    text = "data: {train: a, validation: b}\nspeaker: {type: aam, margin: 0.3, scale: 20}\n"
    path.write_text(text + "training: {schedule: {type: cosine, warmup_share: 0.1, end: 0.5}}\n")
    sets = ["speaker.type=softmax", "training.schedule.type=plateau"]
    changed = load_settings(ExperimentConfig, path, sets)
    assert changed.speaker.type == "softmax"
    assert (changed.training.schedule.type, changed.training.schedule.warmup_share) == ("plateau", 0.1)
    kept = load_settings(ExperimentConfig, path, ["speaker.type=am"]).speaker
    assert (kept.type, kept.margin, kept.scale) == ("am", 0.3, 20)
    # What the user sets in the same breath is not dropped in silence.
    with pytest.raises(UserError, match=r"speaker\.margin \(from --set\) is unknown"):
        load_settings(ExperimentConfig, path, ["speaker.margin=0.1", "speaker.type=softmax"])
    # A typo is named even where the type changes.
    path.write_text(text.replace("scale", "scael"))
    with pytest.raises(UserError, match=r"speaker\.scael"):
        load_settings(ExperimentConfig, path, ["speaker.type=am"])
