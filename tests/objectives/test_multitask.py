"""Ways of joining the two tasks: values and gradients against their formulas, and state that survives."""

import io
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from vivavoce.objectives.multitask import LateFocusConfig, Multitask, MultitaskConfig
from vivavoce.objectives.multitask.base import OUT_OF_FOCUS
from vivavoce.objectives.multitask.fixed import MOST_SCALE
from vivavoce.objectives.multitask.gradient_norm import MOST, GradientNormBalancer
from vivavoce.objectives.multitask.late_focus import LateFocus
from vivavoce.objectives.multitask.uncertainty import BOUND, UncertaintyWeighting

TYPES = ("sum", "weighted", "scale_matched", "late_focus", "uncertainty", "gradient_norm")
losses = st.floats(2**-6, 20, width=32)


def made(name: str, **options: object) -> Multitask:
    return TypeAdapter(MultitaskConfig).validate_python({"type": name, **options}).build()


class Toy:
    """Two losses of three shared weights, the second one ``steep`` times as steep as a sum would want it."""

    def __init__(self, steep: float = 50.0, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.shared = nn.Parameter(torch.randn(3, generator=generator))
        self.aims = torch.randn(2, 3, generator=generator)
        self.steep = steep

    def losses(self) -> tuple[Tensor, Tensor]:
        first, second = ((self.shared - aim).square().sum() for aim in self.aims)
        return first, self.steep * second

    def gradients(self, multitask: Multitask, progress: float = 0.0) -> tuple[Tensor, Tensor]:
        """What each task alone adds to the gradient of the total at the shared weights."""
        parts = []
        for task in range(2):
            multitask.zero_grad()
            speaker, correlation = self.losses()
            kept = (speaker, correlation.detach()) if task == 0 else (speaker.detach(), correlation)
            weighed = multitask.terms(*kept, progress, [self.shared])
            total = multitask.in_focus[0] * weighed.speaker + multitask.in_focus[1] * weighed.correlation
            parts.append(torch.autograd.grad(total, self.shared)[0])
        return parts[0], parts[1]

    def step(self, multitask: Multitask, progress: float = 0.0) -> Tensor:
        total = multitask(*self.losses(), progress, [self.shared])
        self.shared.grad = None
        total.backward()
        return total.detach()


def pair(speaker: float, correlation: float) -> tuple[Tensor, Tensor]:
    return torch.tensor(speaker, requires_grad=True), torch.tensor(correlation, requires_grad=True)


def slopes(multitask: Multitask, speaker: float, correlation: float, progress: float = 0.0) -> tuple[float, ...]:
    """Total, and its derivatives by the two losses."""
    both = pair(speaker, correlation)
    total = multitask(*both, progress, [])
    return total.item(), *(gradient.item() for gradient in torch.autograd.grad(total, both))


@given(speaker=losses, correlation=losses, progress=st.floats(0, 1))
def test_the_sum_is_the_plain_sum_to_the_last_digit(speaker: float, correlation: float, progress: float) -> None:
    both = pair(speaker, correlation)
    assert made("sum")(*both, progress, []).item() == (both[0] + both[1]).item()
    assert slopes(made("sum"), speaker, correlation, progress)[1:] == (1.0, 1.0)


@given(speaker=losses, correlation=losses, share=st.floats(0.01, 0.99))
def test_weighted_is_the_weighted_mean(speaker: float, correlation: float, share: float) -> None:
    found = slopes(made("weighted", speaker_share=share), speaker, correlation)
    assert found == pytest.approx((share * speaker + (1 - share) * correlation, share, 1 - share), rel=1e-5)


@given(speaker=losses, correlation=losses)
def test_scale_matched_doubles_the_first_loss_and_has_the_logarithms_gradient(
    speaker: float, correlation: float
) -> None:
    """l₁ + l₂/(l₂/l₁).detach(): the value is 2·l₁; the gradient that of l₁ plus l₁ times that of log l₂."""
    weight = min(speaker / correlation, MOST_SCALE)
    found = slopes(made("scale_matched"), speaker, correlation)
    assert found == pytest.approx((speaker + weight * correlation, 1.0, weight), rel=1e-4)


@given(unit=st.floats(0.1, 10))
def test_scale_matched_does_not_feel_the_second_losss_unit(unit: float) -> None:
    toys = Toy(1.0), Toy(unit)
    for toy in toys:
        toy.step(made("scale_matched"))
    torch.testing.assert_close(toys[0].shared.grad, toys[1].shared.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("both", "weight"), [((0.0, 0.0), 1.0), ((1.0, 0.0), MOST_SCALE), ((0.0, 1.0), 1.0)])
def test_scale_matched_at_zero_is_bounded_and_teaches_the_second_task(both: tuple[float, float], weight: float) -> None:
    """Where no speakers could be compared there is no scale, and the correlation loss counts as it is."""
    speaker, correlation = both
    assert slopes(made("scale_matched"), *both) == pytest.approx((speaker + weight * correlation, 1.0, weight))


@given(begin=st.floats(0, 1), length=st.floats(0, 1), last=st.floats(0, 1))
def test_late_focus_moves_weight_one_way_and_loses_none(begin: float, length: float, last: float) -> None:
    config = LateFocusConfig(from_share=begin, until_share=begin + length * (1 - begin), speaker_weight=last)
    late = config.build()
    places = [slopes(late, 1.0, 1.0, progress / 20)[1:] for progress in range(21)]
    speaker, correlation = zip(*places, strict=True)
    assert all(one >= other - 1e-6 for one, other in pairwise(speaker))
    assert all(sum(weights) == pytest.approx(2.0, abs=1e-6) for weights in places)
    if begin > 0:
        assert places[0] == (1.0, 1.0)
    assert speaker[-1] == pytest.approx(last, abs=1e-6)
    assert correlation[-1] == pytest.approx(2 - last, abs=1e-6)


def test_late_focus_is_half_way_in_the_middle_and_may_jump() -> None:
    late = LateFocus(LateFocusConfig(from_share=0.4, until_share=0.8, speaker_weight=0.2))
    assert [late.speaker_weight(at) for at in (0.0, 0.4, 0.6, 0.8, 1.0)] == pytest.approx([1, 1, 0.6, 0.2, 0.2])
    jump = LateFocus(LateFocusConfig(from_share=0.5, until_share=0.5, speaker_weight=0.0))
    assert [jump.speaker_weight(at) for at in (0.49, 0.5)] == [1, 0]
    with pytest.raises(ValidationError, match="must not be after"):
        LateFocusConfig(from_share=0.6, until_share=0.5)


@given(speaker=losses, correlation=losses)
def test_uncertainty_begins_as_the_sum(speaker: float, correlation: float) -> None:
    found = slopes(made("uncertainty"), speaker, correlation)
    assert found == pytest.approx((speaker + correlation, 1.0, 1.0), rel=1e-6)


@given(first=st.floats(-3, 3), second=st.floats(-3, 3), speaker=losses, correlation=losses)
def test_uncertainty_is_that_of_its_equation(first: float, second: float, speaker: float, correlation: float) -> None:
    """Value and all gradients: Σ l·e^-s + s/2 differentiated as one expression."""
    form = UncertaintyWeighting()
    with torch.no_grad():
        form.free.copy_(torch.tensor([first, second]))
    both = pair(speaker, correlation)
    variances = BOUND * torch.tanh(form.free / BOUND)
    expected = (torch.stack(both) * (-variances).exp() + 0.5 * variances).sum()
    found = form(*both, 0.0, [])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    wanted = torch.autograd.grad(expected, (*both, form.free))
    for one, other in zip(torch.autograd.grad(found, (*both, form.free)), wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_uncertainty_brings_both_weighted_losses_to_one_half() -> None:
    form = UncertaintyWeighting()
    optimiser = torch.optim.Adam(form.parameters(), lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        form(torch.tensor(6.0), torch.tensor(0.2), 0.0, []).backward()
        optimiser.step()
    torch.testing.assert_close(form.log_variances, torch.tensor([12.0, 0.4]).log(), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("loss", [0.0, 1e6])
def test_log_variances_are_bounded(loss: float) -> None:
    form = UncertaintyWeighting()
    optimiser = torch.optim.Adam(form.parameters(), lr=1.0)
    for _ in range(200):
        optimiser.zero_grad()
        form(torch.tensor(loss), torch.tensor(loss), 0.0, []).backward()
        optimiser.step()
    assert (form.log_variances.abs() <= BOUND).all()
    assert torch.isfinite(form.free).all()


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("steep", [0.05, 1.0, 20.0])
def test_the_balancer_gives_the_gradients_the_ratio_that_is_asked_for(share: float, steep: float) -> None:
    toy, balancer = Toy(steep), made("gradient_norm", speaker_share=share, memory=0.0, every=1)
    plain = sum(gradient.norm() for gradient in toy.gradients(made("sum")))
    toy.step(balancer)
    balancer.eval()
    norms = [gradient.norm() for gradient in toy.gradients(balancer)]
    assert (norms[0] / (norms[0] + norms[1])).item() == pytest.approx(share, abs=1e-4)
    assert float(sum(norms)) == pytest.approx(float(plain), rel=1e-4)


def test_the_balancers_norms_are_bias_corrected_running_means() -> None:
    toy, balancer = Toy(), made("gradient_norm", memory=0.5, every=2)
    assert isinstance(balancer, GradientNormBalancer)
    seen = []
    for step in range(5):
        if step % 2 == 0:
            seen.append(torch.stack([gradient.norm() for gradient in toy.gradients(made("sum"))]))
        toy.step(balancer)
        with torch.no_grad():
            toy.shared.add_(0.3)
    expected = (0.125 * seen[0] + 0.25 * seen[1] + 0.5 * seen[2]) / 0.875
    torch.testing.assert_close(balancer.norms, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("steep", [0.0, 1e-12, math.inf, math.nan])
def test_the_balancer_does_not_learn_from_gradients_that_say_nothing(steep: float) -> None:
    toy, balancer = Toy(), made("gradient_norm", memory=0.5, every=1)
    toy.step(balancer)
    assert isinstance(balancer, GradientNormBalancer)
    before = balancer.weights().clone()
    toy.steep = steep
    toy.step(balancer)
    assert torch.isfinite(balancer.weights()).all()
    assert ((balancer.weights() >= 1 / MOST) & (balancer.weights() <= MOST)).all()
    if steep != 1e-12:
        assert torch.equal(balancer.weights(), before)


def test_the_balancer_is_the_sum_while_nothing_shared_is_trained() -> None:
    toy, balancer = Toy(), made("gradient_norm")
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    for shared in ([], [frozen]):
        both = toy.losses()
        assert balancer(*both, 0.0, shared).item() == (both[0] + both[1]).item()


def test_the_balancer_takes_no_norms_outside_training() -> None:
    toy, balancer = Toy(), made("gradient_norm", every=1)
    with torch.no_grad():
        balancer(*toy.losses(), 0.0, [toy.shared])
    balancer.eval()
    toy.step(balancer)
    assert isinstance(balancer, GradientNormBalancer)
    assert balancer.taken == 0
    assert balancer.step == 0


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("task", ["speaker", "correlation"])
def test_focus_lowers_the_other_tasks_weight_whatever_the_form_does(
    name: str, task: Literal["speaker", "correlation"]
) -> None:
    """Also after steps in which a form that adapts could have undone it."""
    plain, focused = made(name), made(name)
    with torch.no_grad():
        for parameter in [*plain.parameters(), *focused.parameters()]:
            parameter.fill_(0.7)
    focused.focus("correlation" if task == "speaker" else "speaker")
    focused.focus(task)  # the last word counts, and counts once
    focused.focus(task)
    optimisers = [torch.optim.SGD(form.parameters(), 0.01) for form in (plain, focused) if list(form.parameters())]
    toys = Toy(), Toy()
    for _ in range(6):
        for form, toy in zip((plain, focused), toys, strict=True):
            form.zero_grad()
            toy.step(form, 0.7)
        for optimiser in optimisers:
            optimiser.step()
    for form in (plain, focused):
        form.eval()
    before, after = (toy.gradients(form, 0.7) for form, toy in zip((plain, focused), toys, strict=True))
    factors = (1.0, OUT_OF_FOCUS) if task == "speaker" else (OUT_OF_FOCUS, 1.0)
    for one, other, factor in zip(before, after, factors, strict=True):
        torch.testing.assert_close(other, factor * one, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TYPES)
def test_a_restored_form_goes_on_to_the_last_bit(name: str) -> None:
    def steps(form: Multitask, toy: Toy, optimiser: torch.optim.Optimizer, numbers: Sequence[int]) -> list[float]:
        totals = []
        for number in numbers:
            optimiser.zero_grad()
            totals.append(toy.step(form, number / 12).item())
            optimiser.step()
        return totals

    def new() -> tuple[Multitask, Toy, torch.optim.Optimizer]:
        form, toy = made(name), Toy()
        return form, toy, torch.optim.AdamW([toy.shared, *form.parameters()], 0.05)

    form, toy, optimiser = new()
    steps(form, toy, optimiser, range(5))
    form.focus("correlation")
    file = io.BytesIO()
    torch.save([form.state_dict(), toy.shared.data, optimiser.state_dict()], file)
    expected = steps(form, toy, optimiser, range(5, 12))
    file.seek(0)
    state, shared, adam = torch.load(file, weights_only=True)
    form, toy, optimiser = new()
    form.load_state_dict(state)
    toy.shared.data = shared
    optimiser.load_state_dict(adam)
    assert steps(form, toy, optimiser, range(5, 12)) == expected


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_total_is_in_float32(name: str, dtype: torch.dtype) -> None:
    total = made(name)(torch.tensor(3.0, dtype=dtype), torch.tensor(0.5, dtype=dtype), 0.9, [])
    assert total.dtype == torch.float32
    assert torch.isfinite(total)


def join_in_one_of_two(rank: int, store: str, found: str) -> None:
    """Weigh the half of a batch that is this process's own."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    weights = weighed(lambda x: x[rank::2])
    torch.save(weights, f"{found}.{rank}")
    torch.distributed.destroy_process_group()


def weighed(part: Callable[[Tensor], Tensor]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(8, 3, generator=generator) for _ in range(2))
    shared, balancer = nn.Parameter(torch.ones(3)), made("gradient_norm", every=1)
    assert isinstance(balancer, GradientNormBalancer)
    both = part(x) @ shared, (part(y) @ shared).square()
    balancer(both[0].exp().mean(), 7 * both[1].mean(), 0.0, [shared])
    return balancer.weights()


def test_processes_weigh_alike_and_as_one_would(tmp_path: Path) -> None:
    spawn(join_in_one_of_two, (str(tmp_path / "store"), str(tmp_path / "found")), nprocs=2)
    parts = [torch.load(tmp_path / f"found.{rank}", weights_only=True) for rank in range(2)]
    assert torch.equal(parts[0], parts[1])
    torch.testing.assert_close(parts[0], weighed(lambda x: x))
