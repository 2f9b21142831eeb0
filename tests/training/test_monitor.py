import pytest
import torch
from torch import nn

from vivavoce.training.monitor import Monitor


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.voice_stats = nn.Identity()
        self.trunk = nn.Linear(4, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(self.voice_stats(x)).relu())


def setup(every: int = 1) -> tuple[Model, Monitor, torch.optim.SGD]:
    torch.manual_seed(0)
    model, loss = Model(), nn.Module()
    loss.speaker = nn.Linear(2, 3)
    monitor = Monitor(model, loss, every)
    return model, monitor, torch.optim.SGD([*model.parameters(), *loss.parameters()], 0.1)


def step(model: Model, monitor: Monitor, optimiser: torch.optim.Optimizer, clip: float | None = None) -> torch.Tensor:
    optimiser.zero_grad(set_to_none=True)
    model(3 + 2 * torch.randn(64, 4)).square().sum().backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip) if clip else None
    monitor.after_backward(optimiser, norm, clip)
    optimiser.step()
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()


def test_gradient_norms_are_those_before_clipping():
    model, monitor, optimiser = setup()
    free, other, optimiser_ = setup()
    torch.manual_seed(1)
    step(model, monitor, optimiser, clip=1e-3)
    torch.manual_seed(1)
    step(free, other, optimiser_)
    clipped, whole = monitor.epoch_summary(), other.epoch_summary()
    for part in ("trunk", "head"):
        assert clipped[f"grad_norm/{part}"] == pytest.approx(whole[f"grad_norm/{part}"], rel=1e-4)
        assert whole[f"grad_norm/{part}"] > 0
    assert whole["grad_norm/speaker_loss"] == 0
    assert clipped["clipped"] == 1
    assert whole["clipped"] == 0


def test_update_ratio_is_the_change_over_the_weights():
    model, monitor, optimiser = setup()
    before = [weight.detach().clone() for weight in model.trunk.parameters()]
    step(model, monitor, optimiser, clip=0.5)
    moved = sum((new - old).square().sum() for new, old in zip(model.trunk.parameters(), before, strict=True)).sqrt()
    expected = moved / sum(old.square().sum() for old in before).sqrt()
    summary = monitor.epoch_summary()
    assert summary["update_ratio/trunk"] == pytest.approx(expected.item(), rel=1e-4)
    assert summary["update_ratio/speaker_loss"] == 0


def test_weights_that_begin_at_zero_have_no_size_that_a_step_could_be_compared_with():
    """As the log variances of uncertainty weighting, beside which the first step is endlessly large."""
    model, _, optimiser = setup()
    loss = nn.Module()
    loss.multitask = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(loss.multitask.weight)
    optimiser.add_param_group({"params": loss.parameters()})
    monitor = Monitor(model, loss, every=1)
    loss.multitask.weight.grad = torch.ones(2, 1)
    model(torch.randn(8, 4)).sum().backward()
    monitor.after_backward(optimiser)
    optimiser.step()
    summary = monitor.epoch_summary()
    assert loss.multitask.weight.abs().min() > 0
    assert "update_ratio/multitask_loss" not in summary
    assert summary["update_ratio/trunk"] > 0


def test_a_frozen_part_has_neither_gradient_nor_update():
    model, monitor, optimiser = setup()
    model.trunk.requires_grad_(False)
    step(model, monitor, optimiser, clip=0.1)
    summary = monitor.epoch_summary()
    assert summary["grad_norm/trunk"] == summary["update_ratio/trunk"] == 0
    assert summary["update_ratio/head"] > 0


def test_units_that_are_never_active_are_counted_over_the_epoch():
    model, monitor, optimiser = setup()
    with torch.no_grad():
        model.trunk.weight.abs_()
        model.trunk.bias[:4] = -1e6
    step(model, monitor, optimiser, clip=1e-6)
    assert monitor.epoch_summary()["dead/trunk"] == pytest.approx(4 / 6)
    step(model, monitor, optimiser, clip=1e-6)
    with torch.no_grad():
        model.trunk.bias[:2] = 10.0  # alive in the second step: not dead
    step(model, monitor, optimiser, clip=1e-6)
    assert monitor.epoch_summary()["dead/trunk"] == pytest.approx(2 / 6)


def test_inputs_are_heard_in_training_alone():
    model, monitor, optimiser = setup()
    step(model, monitor, optimiser, clip=1.0)
    summary = monitor.epoch_summary()
    assert summary["input_mean/voice"] == pytest.approx(3, abs=0.5)
    assert summary["input_std/voice"] == pytest.approx(2, abs=0.5)
    model.eval().voice_stats.eval()
    model(100 + torch.randn(8, 4))
    assert "input_mean/voice" not in monitor.epoch_summary()


def test_padding_is_no_input():
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
            return x

    model, monitor, _ = setup()
    model.voice_stats = Masked()
    monitor = Monitor(model, nn.Module(), every=1)
    features, mask = torch.randn(4, 50, 3), torch.arange(50)[None, :] < torch.tensor([50, 10, 10, 10])[:, None]
    features[~mask] = -1000.0
    model.voice_stats(features, mask)
    summary = monitor.epoch_summary()
    assert summary["input_mean/voice"] == pytest.approx(0, abs=0.3)
    assert summary["input_std/voice"] == pytest.approx(1, abs=0.3)


def test_the_largest_gradient_of_all_steps_is_kept_beside_the_usual_one():
    model, monitor, optimiser = setup(every=5)
    optimiser.param_groups[0]["lr"] = 1e-5
    norms = []
    for number in range(7):
        torch.manual_seed(number)
        norms.append(float(step(model, monitor, optimiser, clip=1e9)))
    state = monitor.state_dict()
    summary = monitor.epoch_summary()
    assert summary["grad_norm_max"] == pytest.approx(max(norms), rel=1e-4)
    assert summary["grad_norm"] == pytest.approx(min(norms[0], norms[5]), rel=1e-4)
    assert "grad_norm_max" not in monitor.epoch_summary()
    del state["largest"]  # of a run that an older version began
    monitor.load_state_dict(state)
    assert monitor.epoch_summary()["grad_norm"] == summary["grad_norm"]


def test_the_overshoot_of_the_steps_that_were_looked_at_is_their_median():
    _, monitor, _ = setup()
    assert monitor.looks
    for value in (0.4, float("nan"), 3.0, 0.5):
        monitor.after_step(torch.tensor(value))
    assert monitor.epoch_summary()["overshoot"] == 0.5
    monitor.after_step(torch.tensor(float("nan")))
    assert "overshoot" not in monitor.epoch_summary()


def test_a_short_epoch_is_looked_at_and_a_long_one_now_and_then():
    model, monitor, optimiser = setup(every=5)
    for steps in (1, 3, 12):
        for _ in range(steps):
            step(model, monitor, optimiser, clip=1.0)
        seen = len(monitor._figures["grad_norm/trunk"])
        assert seen == -(-steps // 5)
        assert monitor.epoch_summary()["grad_norm/trunk"] > 0


def test_an_epoch_without_steps_has_no_figures():
    assert setup()[1].epoch_summary() == {}


def test_watching_changes_no_weight():
    model, monitor, optimiser = setup()
    alone, _, optimiser_ = setup()
    for seed in range(3):
        torch.manual_seed(seed)
        step(model, monitor, optimiser)
        torch.manual_seed(seed)
        optimiser_.zero_grad(set_to_none=True)
        alone(3 + 2 * torch.randn(64, 4)).square().sum().backward()
        optimiser_.step()
    for one, other in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_restored_monitor_gives_the_summary_of_one_never_stopped():
    whole = []
    for stop in (None, 1, 3, 4):
        model, monitor, optimiser = setup(every=3)
        for number in range(7):
            torch.manual_seed(number)
            step(model, monitor, optimiser, clip=1.0)
            if number == stop:
                state = monitor.state_dict()
                monitor = Monitor(model, monitor_loss(monitor), every=3)
                monitor.load_state_dict(state)
        whole.append(monitor.epoch_summary())
    assert all(summary == pytest.approx(whole[0], rel=1e-6) for summary in whole)
    assert len(whole[0]) > 8


def monitor_loss(monitor: Monitor) -> nn.Module:
    """The losses that a monitor watches."""
    loss = nn.Module()
    loss.speaker = nn.Linear(2, 3)
    loss.speaker.weight, loss.speaker.bias = (nn.Parameter(p.data) for p in monitor.parts["speaker_loss"])
    return loss
