"""The overshoot of a step: exact for a quadratic loss, measured without a trace in training."""

import pytest
import torch
from torch import nn

from vivavoce.objectives.multitask import ScaleMatchedConfig, UncertaintyConfig
from vivavoce.training.averaging import AverageConfig
from vivavoce.training.diagnosis.curvature import MOST, Step, same_buffers
from vivavoce.training.learner import Learner

from ..test_trainer import CONFIG, make_trainer

ONE = torch.ones(())


def quadratic(weight: torch.Tensor) -> torch.Tensor:
    return 0.5 * 3.0 * weight.square().sum()


def stepped(rate: float, clip: float = 1e9, times: float = 1.0) -> torch.Tensor:
    """Overshoot of a step of gradient descent of the quadratic, whose best rate is 1/3."""
    weight = nn.Parameter(torch.tensor([2.0, -1.0, 0.5]))
    loss = quadratic(weight)
    (times * loss).backward()
    norm = nn.utils.clip_grad_norm_([weight], clip)
    step = Step([weight], loss, (clip / norm).clamp(max=1.0))
    with torch.no_grad():
        weight -= rate * weight.grad
    return step.overshoot(quadratic(weight).detach())


@pytest.mark.parametrize("clip", [1e9, 0.1])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_a_step_of_half_the_length_that_gains_nothing_gains_most(share, clip):
    """Twice the best rate lands as high on the other side of the valley, whatever the gradient was clipped to."""
    whole = 2 / 3 * (1 if clip > 1 else 3 * torch.tensor([2.0, -1.0, 0.5]).norm() / clip)
    assert stepped(share * float(whole), clip).item() == pytest.approx(share, rel=1e-3)


def test_a_step_that_promises_nothing_tells_nothing():
    assert stepped(-0.1).isnan()  # uphill, as momentum may have it
    assert stepped(1e-7).isnan()  # less than the digits hold
    weight = nn.Parameter(torch.ones(1))
    quadratic(weight).backward()
    step = Step([weight, nn.Parameter(torch.ones(1))], quadratic(weight), ONE)  # the other has no gradient
    with torch.no_grad():
        weight -= 0.1
    assert step.overshoot(torch.tensor(float("inf"))) == MOST


def test_buffers_are_given_back():
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(8, 3))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with same_buffers(norm):
        norm(5 + torch.randn(8, 3))
        assert not torch.equal(norm.running_mean, before["running_mean"])
    assert all(torch.equal(value, norm.state_dict()[name]) for name, value in before.items())


@pytest.fixture
def trainer(tmp_path, corpus, validation_corpus):
    return lambda name="run", **options: make_trainer(
        tmp_path / name, corpus, validation_corpus, CONFIG.model_copy(update={"epochs": 2, **options})
    )


def test_it_is_measured_in_training_and_leaves_no_trace(trainer, monkeypatch):
    """Batch norm, dropout and an average are there; all of a run is as if nobody had looked."""
    made = trainer("looked", average=AverageConfig(decay=0.9))
    made.fit()
    found = [line.pop("overshoot") for line in made.run.read_metrics() if line["split"] == "train"]
    assert len(found) == 2
    assert all(0 < value < 2 for value in found)
    monkeypatch.setattr(Learner, "_step_to_look_at", lambda *_: None)
    alone = trainer("alone", average=AverageConfig(decay=0.9))
    alone.fit()
    for one, other in zip(made.run.read_metrics(), alone.run.read_metrics(), strict=True):
        assert {**one, "seconds": 0, "overshoot": 0} == {**other, "seconds": 0, "overshoot": 0}
    for name, value in made.learner.parts.state_dict().items():
        assert torch.equal(value, alone.learner.parts.state_dict()[name]), name


def test_the_loss_is_that_of_the_same_batch_with_the_same_dropout(trainer):
    made = trainer()
    batch = next(made.data.epoch(0))
    found = made.learner.losses(batch, 5).total
    again = made.learner._loss_again()
    assert again.item() == pytest.approx(found.item(), rel=1e-5)
    assert not again.requires_grad


def test_small_steps_promise_what_they_do(trainer):
    """The gradients that are kept are those of the loss, so that the overshoot goes to zero with the rate."""
    from vivavoce.training.schedules import ConstantConfig

    made = trainer(learning_rate=1e-5, clip_norm=0.1, schedule=ConstantConfig(warmup_share=0.0))
    made.learner.learn(made.learner.losses(next(made.data.epoch(0)), 5))
    assert abs(made.learner.monitor.epoch_summary()["overshoot"]) < 0.02


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_is_measured_in_half_precision(trainer, precision):
    """Scaled gradients are scaled back before it; the first steps of float16 may overflow, and are not looked at."""
    made = trainer(precision=precision)
    batches = [batch for batch, _ in zip(made.data.epoch(0), range(2), strict=False)]
    made.learner.monitor.every = 1
    for seed in range(12):
        made.learner.learn(made.learner.losses(batches[seed % 2], seed))
    assert 0 < made.learner.monitor.epoch_summary()["overshoot"] < 2


@pytest.mark.parametrize(("how", "measured"), [("scale_matched", False), ("uncertainty", True), ("accumulate", False)])
def test_it_is_left_out_where_the_loss_is_not_the_one_that_was_stepped_for(trainer, how, measured):
    made = trainer(accumulate=2 if how == "accumulate" else 1)
    forms = {"scale_matched": ScaleMatchedConfig(), "uncertainty": UncertaintyConfig()}
    if how in forms:
        made.learner.loss.multitask = forms[how].build()
    for batch in [batch for batch, _ in zip(made.data.epoch(0), range(2), strict=False)]:
        made.learner.learn(made.learner.losses(batch, 5))
    assert ("overshoot" in made.learner.monitor.epoch_summary()) is measured
