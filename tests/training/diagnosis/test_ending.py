"""A run whose loss was no number: it broke off in the midst of an epoch, which no metrics tell of."""

import json
import math

import pytest

from vivavoce.training.crops import Batches
from vivavoce.training.diagnosis.diagnosis import diagnose
from vivavoce.training.diagnosis.ending import broken_off
from vivavoce.training.diagnosis.record import Facts
from vivavoce.training.guard import Diverged, keep_batch
from vivavoce.training.run_folder import RunFolder

from ..test_trainer import CONFIG, make_trainer
from .invented import lines

STEPS = "".join(json.dumps({"epoch": 4, "step": step, "loss": 2.0 ** (step - 28)}) + "\n" for step in range(20, 31))


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A run that broke off in step 31, in its fourth epoch."""
    run = RunFolder.create(tmp_path / "run", CONFIG)
    keep_batch(run.bad_batch, Batches(None, None), ["a", "b"], epoch=4, step=31)
    run.steps.write_text(STEPS + '{"epoch": 4, "st')
    return run


def test_the_step_and_the_losses_before_it_are_told(run):
    ended, losses = broken_off(run, lines()[: 2 * 3])
    assert "step 31 (epoch 4)" in ended
    assert "2 recordings" in ended
    assert "2 in step 29, 4 in step 30" in losses
    assert broken_off(run, [])  # no epoch is over


def test_a_run_that_has_gone_on_since_has_not_broken_off(run):
    assert broken_off(run, lines()[: 2 * 4]) == ()
    run.steps.write_text(STEPS + '{"epoch": 4, "step": 32, "loss": 1.0}\n')
    assert broken_off(run, lines()[: 2 * 3]) == ()
    run.bad_batch.unlink()
    assert broken_off(run, []) == ()


def test_a_batch_that_is_damaged_hides_nothing(run):
    run.bad_batch.write_bytes(b"half")
    run.steps.unlink()
    assert broken_off(run, []) == ("bad_batch.pt is there, and cannot be read.",)


@pytest.mark.parametrize("epochs", [0, 3])
@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_the_cause_comes_first_with_what_to_set(epochs, precision):
    facts = Facts(20, 2, shared=("2 speakers in both.",), ended=("A loss was no number.",))
    config = {"training": {"learning_rate": 0.02, "precision": precision}}
    found = diagnose(lines()[: 2 * epochs], config, facts)
    assert found.cause == "diverged"
    assert found.headline.startswith("Training ended since a loss was no number")
    sets = found.causes[0].advice.sets
    assert sets[0] == "training.learning_rate=2.0e-03"
    assert ("training.precision=float32" in sets) is (precision == "auto")
    assert found.causes[0].evidence == ("A loss was no number.",)


def test_what_a_real_run_leaves_is_read(tmp_path, corpus, validation_corpus):
    made = make_trainer(tmp_path / "run", corpus, validation_corpus, CONFIG.model_copy(update={"log_every": 1}))

    def spoil(module, inputs, output):
        return output * math.nan if made.progress.step == 2 else output

    made.model.trunk.register_forward_hook(spoil)
    with pytest.raises(Diverged):
        made.fit()
    ended, losses = broken_off(made.run, made.run.read_metrics())
    assert "step 3 (epoch 1)" in ended
    assert "in step 1, " in losses
    assert "in step 2." in losses
