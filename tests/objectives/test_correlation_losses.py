"""Each form of the correlation task's loss against its formula, its limits, and its published special cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from vivavoce.objectives.correlation import CorrelationConfig, correlation_loss, frame_loss
from vivavoce.objectives.correlation_losses import (
    BceLoss,
    BinaryLoss,
    FocalConfig,
    MseLoss,
    TwoLogitLoss,
)

LOGITS = torch.tensor([-200.0, -6.0, -0.5, 0.0, 0.3, 4.0, 200.0])
TYPES = ("bce", "two_logit", "mse", "focal")


def made(name: str, **options: object) -> BinaryLoss:
    return CorrelationConfig.model_validate({"loss": {"type": name, **options}}).loss.build()


labels = st.floats(0, 1, width=32)
logits = st.floats(-30, 30, width=32)


@given(logit=logits, label=labels)
def test_without_a_discount_focal_loss_is_cross_entropy(logit: float, label: float) -> None:
    pair = torch.tensor([logit]), torch.tensor([label])
    torch.testing.assert_close(made("focal", gamma=0.0)(*pair), BceLoss()(*pair), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (2.0, 0.25), (0.5, 0.75)])
@pytest.mark.parametrize("live", [0.0, 1.0])
def test_focal_loss_is_that_of_its_equation(gamma: float, alpha: float | None, live: float) -> None:
    logit = torch.linspace(-5, 5, 21, dtype=torch.float64)
    own = torch.sigmoid(logit if live else -logit)
    factor = 1.0 if alpha is None else alpha if live else 1 - alpha
    expected = -factor * (1 - own) ** gamma * own.log()
    found = FocalConfig(gamma=gamma, alpha=alpha).build()(logit, torch.full_like(logit, live))
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_focal_loss_discounts_as_the_paper_says() -> None:
    """Lin et al. 2017, section 3.2: with γ = 2 an example at p = 0.9 costs a hundredth, at 0.968 about a thousandth."""
    for probability, times in ((0.9, 100.0), (1 - 1000**-0.5, 1000.0)):
        pair = torch.tensor([math.log(probability / (1 - probability))]), torch.ones(1)
        assert (BceLoss()(*pair) / made("focal")(*pair)).item() == pytest.approx(times, rel=1e-3)


@given(logit=logits, label=labels)
def test_two_logits_begin_as_cross_entropy(logit: float, label: float) -> None:
    pair = torch.tensor([logit]), torch.tensor([label])
    torch.testing.assert_close(TwoLogitLoss()(*pair), BceLoss()(*pair))


def test_two_logits_are_a_softmax_over_an_affine_layer() -> None:
    loss = TwoLogitLoss()
    with torch.no_grad():
        loss.log_scale.copy_(torch.tensor([0.7, -0.4]))
        loss.offset.copy_(torch.tensor([0.2, -0.9]))
    layer = torch.nn.Linear(1, 2)
    with torch.no_grad():
        layer.weight.copy_(0.5 * loss.log_scale.exp()[:, None] * torch.tensor([[-1.0], [1.0]]))
        layer.bias.copy_(loss.offset)
    score, live = torch.randn(20), torch.arange(20) % 2
    expected = functional.cross_entropy(layer(score[:, None]), live, reduction="none")
    torch.testing.assert_close(loss(score, live.float()), expected)


def test_two_logits_learn_scale_and_offset_and_never_turn_the_score_round() -> None:
    """On scores whose sense is wrong the scale shrinks, and a higher score still speaks for live."""
    loss, live = TwoLogitLoss(), (torch.arange(40) % 2).float()
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        loss(1 - 2 * live, live).mean().backward()
        optimiser.step()
    costs = loss(torch.linspace(-3, 3, 50), torch.ones(50))
    assert (costs.diff() < 0).all()

    loss, score = TwoLogitLoss(), 4 + 0.1 * live  # far from 0, and on a scale that is no logit's
    before = loss(score, live).mean().item()
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        loss(score, live).mean().backward()
        optimiser.step()
    assert loss(score, live).mean().item() < 0.7 < before


@given(logit=logits, smoothing=st.floats(0, 0.4), live=st.sampled_from([0.0, 1.0]))
def test_squared_error_is_of_the_probability(logit: float, smoothing: float, live: float) -> None:
    label = smoothing + live * (1 - 2 * smoothing)
    expected = (label - 1 / (1 + math.exp(-logit))) ** 2
    assert MseLoss()(torch.tensor([logit]), torch.tensor([label])).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", TYPES)
@given(smoothing=st.floats(0.05, 0.4), live=st.sampled_from([0.0, 1.0]))
def test_a_smoothed_label_makes_its_own_logit_the_best(name: str, smoothing: float, live: float) -> None:
    """Of focal loss, which is no proper score, only up to a less sure one."""
    best = math.log((1 - smoothing) / smoothing)
    sign = 1 if live else -1
    logit = torch.tensor([sign * best], requires_grad=True)
    correlation_loss(logit, torch.tensor([live]), smoothing, loss=made(name)).backward()
    assert logit.grad is not None
    slope = sign * logit.grad.item()
    assert slope >= -1e-6 if name == "focal" else abs(slope) < 1e-5


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("label", [0.0, 0.02, 1.0])
def test_losses_and_gradients_are_finite_and_in_float32(name: str, dtype: torch.dtype, label: float) -> None:
    score = LOGITS.clone().to(dtype).detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        losses = made(name)(score, torch.full_like(LOGITS, label).to(dtype))
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert torch.isfinite(losses).all()
    assert (losses >= 0).all()
    assert score.grad is not None
    assert torch.isfinite(score.grad).all()


@pytest.mark.parametrize("name", ["mse", "focal"])
def test_gradients_are_those_of_the_formula(name: str) -> None:
    loss = made(name)
    logit, label, step = torch.tensor([-2.0, 0.1, 3.0]), torch.tensor([0.0, 0.7, 1.0]), 1e-2
    score = logit.clone().requires_grad_()
    loss(score, label).sum().backward()
    numeric = (loss(logit + step, label) - loss(logit - step, label)) / (2 * step)
    torch.testing.assert_close(score.grad, numeric, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", TYPES)
def test_all_forms_keep_the_balance_of_the_classes_and_the_weights_of_pairs(name: str) -> None:
    loss, logit = made(name), torch.tensor([2.0, -1.0, 3.0, 0.5])
    live, weight = torch.tensor([1.0, 0, 0, 0]), torch.tensor([7.0, 1.0, 4.0, 0.0])
    each = loss(logit, 0.1 + 0.8 * live)
    expected = 0.5 * each[0] + 0.5 * (0.2 * each[1] + 0.8 * each[2])
    torch.testing.assert_close(correlation_loss(logit, live, 0.1, weight, loss), expected)


@pytest.mark.parametrize("name", TYPES)
def test_all_forms_serve_frames(name: str) -> None:
    torch.manual_seed(0)
    loss, score, live = made(name), torch.randn(3, 5), torch.tensor([1.0, 0.0, 1.0])
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1, 2:] = False
    weight = torch.tensor([0.2, 1.0, 0.8])
    means = torch.stack([loss(score[i, mask[i]], live[i].expand(int(mask[i].sum()))).mean() for i in range(3)])
    expected = 0.5 * (0.2 * means[0] + 0.8 * means[2]) + 0.5 * means[1]
    torch.testing.assert_close(frame_loss(score, live[:, None].expand(3, 5), mask, weight, 0.0, loss), expected)
