"""What an experiment's configuration makes of the objectives, and which choices it refuses."""

from pathlib import Path

import pytest

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.objectives.speaker import Ge2eConfig
from vivavoce.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
DATA = ["data.train=a.jsonl.gz", "data.validation=b.jsonl.gz"]
BALANCED = ["training.speaker_sampler.type=speaker_balanced", "training.speaker_sampler.recordings=4"]
AS_IS = ["training.speed_factors=[1.0]"]


def config(*overrides: str) -> ExperimentConfig:
    return load_settings(ExperimentConfig, None, [*DATA, *overrides])


def test_every_objective_can_be_chosen() -> None:
    for name in ("softmax", "am", "aam", "subcentre_aam"):
        assert config(f"speaker.type={name}").speaker.type == name
    for name in ("bce", "two_logit", "mse", "focal"):
        assert config(f"correlation.loss.type={name}").correlation.loss.type == name
    for name in ("sum", "weighted", "scale_matched", "late_focus", "uncertainty", "gradient_norm"):
        assert config(f"multitask.type={name}").multitask.type == name


@pytest.mark.parametrize("name", ["ge2e", "prototypical"])
def test_losses_that_compare_need_groups_in_a_batch(name: str) -> None:
    """The sentence gives what mends it: each fault is mended by what is said of it."""
    given = [f"speaker.type={name}"]
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            config(*given)
        said = [word.rstrip(".") for word in str(caught.value).split()]
        mended = [said[place + 1] for place, word in enumerate(said) if word == "--set"]
        assert mended
        given += mended
    assert config(*given).speaker.type == name


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.speaker_sampler.type=random", *AS_IS], "speaker_balanced"),
        (["training.speaker_sampler.recordings=1", *AS_IS], "recordings=4"),
        (["training.speaker_sampler.speakers=40", *AS_IS], "recordings=4"),
        ([*BALANCED], "speed_factors"),
        ([*BALANCED, *AS_IS, "features.mode=online", "features.augment.speed={}"], "augment.speed=null"),
    ],
)
def test_losses_that_compare_refuse_what_splits_a_speaker(overrides: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        config("speaker.type=ge2e", *overrides)
    assert config("speaker.type=am", *overrides).speaker.type == "am"


def test_losses_that_compare_are_taken_where_they_can_compare() -> None:
    assert isinstance(config("speaker.type=ge2e", *BALANCED, *AS_IS).speaker, Ge2eConfig)
    assert config("speaker.type=ge2e", "training.speaker_sampler.speakers=16", *AS_IS).speaker.compares
    assert config("speaker.type=ge2e", "training.tasks=[liveness]").speaker.compares  # it is not asked


@pytest.mark.parametrize("name", ["weighted", "scale_matched", "late_focus", "uncertainty", "gradient_norm"])
def test_joining_needs_two_tasks_and_no_other_weight(name: str) -> None:
    for task in ("speaker", "liveness"):
        with pytest.raises(UserError, match=f"training.tasks is {task} alone"):
            config(f"multitask.type={name}", f"training.tasks=[{task}]")
        assert config("multitask.type=sum", f"training.tasks=[{task}]").multitask.type == "sum"
    with pytest.raises(UserError, match=r"--set correlation\.weight=1\.0"):
        config(f"multitask.type={name}", "correlation.weight=0.5")
    assert config("correlation.weight=0.5").correlation.weight == 0.5


def test_the_balancer_needs_a_stem_that_both_tasks_read() -> None:
    with pytest.raises(UserError, match="the head ridge does not read it"):
        config("multitask.type=gradient_norm", "model={name: ecapa-ridge}")
    assert config("multitask.type=uncertainty", "model={name: ecapa-ridge}").multitask.type == "uncertainty"


def test_the_example_shows_both_new_choices() -> None:
    example = load_settings(ExperimentConfig, ROOT / "examples" / "train.yaml")
    assert (example.correlation.loss.type, example.multitask.type) == ("bce", "sum")
