"""Losses and gradients that are no numbers, and those that half precision is too small for."""

import math
import re

import pytest
import torch

from vivavoce.training.guard import Diverged
from vivavoce.training.learner import NotFinite

from .test_learner import STEADY, batches, learn, state, trainer

__all__ = ["trainer"]


def test_a_step_whose_scaled_gradients_overflow_is_left_out_and_the_scale_halved(trainer):
    made = trainer(precision="float16", **STEADY)
    (batch,) = batches(made, 1)
    before, scale = state(made), made.learner.gradients.scaler.get_scale()
    found = made.learner.losses(batch, 0)
    made.learner.learn(found._replace(total=found.total * 1e38))
    assert made.learner.gradients.scaler.get_scale() == scale / 2
    names = [name for name, _ in made.model.named_parameters()]
    assert all(torch.equal(before[name], made.model.state_dict()[name]) for name in names)


@pytest.mark.parametrize("layer", ["trunk.blocks.1.res2", "head.echo"])
def test_a_loss_that_is_no_number_names_its_layer_and_keeps_its_batch(trainer, layer):
    made = trainer()
    calls = []

    def spoil(module, inputs, output):
        calls.append(module)
        return output * math.nan if made.progress.step == 2 else output

    made.model.get_submodule(layer).register_forward_hook(spoil)
    says = rf"the output of model\.{re.escape(layer)} is the first"
    with pytest.raises(Diverged, match=rf"step 3 \(epoch 1\), for the loss is nan: {says}.*learning_rate"):
        made.fit()
    kept = torch.load(made.run.bad_batch, weights_only=True)
    assert (kept["epoch"], kept["step"]) == (1, 3)
    steps = list(made.data._steps(0))
    assert kept["recordings"] == [made.data.names[item] for item in steps[2].items]
    again = next(batch for number, batch in enumerate(made.data.epoch(0)) if number == 2)
    assert torch.equal(kept["batches"]["liveness"]["echo"], again.liveness.echo)


def spoil_gradient(trainer, factor: float, steps: tuple[int, ...] | None = None) -> None:
    """Multiply the gradient of one layer in the trainer's ``steps`` (None: in all)."""

    def spoil(gradient):
        return gradient * factor if steps is None or trainer.progress.step in steps else gradient

    trainer.model.trunk.blocks[0].expand.conv.weight.register_hook(spoil)


SPOILT = r"the gradient of model\.trunk\.blocks\.0\.expand\.conv\.weight is the first"


@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_gradient_that_is_no_number_names_its_parameter(trainer, factor):
    made = trainer(precision="float32")
    (batch,) = batches(made, 1)
    spoil_gradient(made, factor)
    with pytest.raises(NotFinite, match=rf"norm of the gradients is (nan|inf): {SPOILT}"):
        made.learner.learn(made.learner.losses(batch, 0))


@pytest.mark.parametrize(("accumulate", "step"), [(1, 2), (4, 1), (4, 3), (4, 5)])
def test_of_batches_that_make_one_step_the_one_with_the_bad_gradient_is_named_and_kept(trainer, accumulate, step):
    made = trainer(precision="float32", accumulate=accumulate, tasks=("speaker",))
    assert made.data.steps == 6  # so that some of four wait at the end of the epoch
    spoil_gradient(made, math.nan, (step,))
    with pytest.raises(Diverged, match=rf"step {step + 1} \(epoch 1\), for the norm .* {SPOILT}.*bad_batch"):
        made.fit()
    kept = torch.load(made.run.bad_batch, weights_only=True)
    assert (kept["epoch"], kept["step"]) == (1, step + 1)
    assert kept["recordings"] == made.data.recordings(0, step)


def test_gradients_that_never_fit_into_half_precision_end_the_run(trainer):
    made = trainer(precision="float16", **STEADY)
    (batch,) = batches(made, 1)
    spoil_gradient(made, math.nan)
    made.learner.learn(made.learner.losses(batch, 0))
    for _ in range(18):
        assert made.learner.gradients.expected(torch.tensor(math.nan))
    made.learner.gradients.scaler.update(16.0)  # as so many halvings leave it, where nothing else overflows
    resumed = trainer(precision="float16", **STEADY)
    resumed.learner.load_state_dict(made.learner.state_dict())
    spoil_gradient(resumed, math.nan)
    for learner in (made.learner, resumed.learner):
        with pytest.raises(NotFinite, match=rf"norm of the gradients is nan in 20 steps one after another: {SPOILT}"):
            learner.learn(learner.losses(batch, 19))


def test_a_scale_that_vanishes_ends_the_run(trainer):
    made = trainer(precision="float16", **STEADY)
    (batch,) = batches(made, 1)
    learn(made, 1)
    made.learner.gradients.scaler.update(1e-5)
    spoil_gradient(made, math.inf)
    with pytest.raises(NotFinite, match=SPOILT):
        made.learner.learn(made.learner.losses(batch, 0))


def test_steps_that_overflowed_do_not_spoil_what_is_recorded_of_the_others(trainer):
    made = trainer(precision="float16", **STEADY)
    (batch,) = batches(made, 1)
    found = made.learner.losses(batch, 0)
    made.learner.learn(found._replace(total=found.total * 1e38))
    for seed in range(8):  # the first of these may overflow, too
        made.learner.learn(made.learner.losses(batch, seed))
    found = made.learner.monitor.epoch_summary()
    assert all(math.isfinite(value) for value in found.values()), found
    assert found["dead/head"] < 0.5
    assert found["grad_norm/trunk"] > 0
    assert found["update_ratio/trunk"] > 0
