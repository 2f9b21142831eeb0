"""What learns: model, losses, optimiser, schedule and average, one batch at a time."""

from typing import Any

import torch
from torch import Tensor, nn

from vivavoce.models.joint import JointModel
from vivavoce.training.config import TrainingConfig
from vivavoce.training.crops import Batches
from vivavoce.training.diagnosis.curvature import Step, same_buffers
from vivavoce.training.distributed import Share, share_norms
from vivavoce.training.guard import first_gradient, first_layer
from vivavoce.training.monitor import Monitor
from vivavoce.training.parameter_groups import parameter_groups
from vivavoce.training.precision import Gradients, autocast_type
from vivavoce.training.step import JointLoss, StepLoss


class NotFinite(ArithmeticError):
    """A loss or a gradient is no number; says which, and where that began."""


class Learner:
    """Model and losses with all that a step changes; everything random in a step comes from the seed it is given."""

    def __init__(
        self, config: TrainingConfig, model: JointModel, loss: JointLoss, epoch_steps: int, share: Share | None = None
    ) -> None:
        """Prepare to learn.

        Args:
            config: optimiser, schedule, precision.
            model: moved to the device of the config.
            loss: moved with it.
            epoch_steps: batches of an epoch.
            share: what this process does of each batch; None: all.
        """
        self.config = config
        self.share = share or Share()
        self.device = config.torch_device()
        self.model, self.loss = model.to(self.device), loss.to(self.device)
        share_norms(self.model, self.share)
        groups = parameter_groups(model, list(loss.parameters()), config.learning_rate, config.layer_rates)
        self.optimiser = torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay)
        updates = -(-epoch_steps // config.accumulate)
        self.total_updates = config.epochs * updates
        self.schedule = config.schedule.build(self.optimiser, self.total_updates, updates)
        self.autocast = autocast_type(config.precision, self.device)
        self.gradients = Gradients([p for group in groups for p in group["params"]], self.autocast, self.device)
        self.average = None if config.average is None else config.average.build(model)
        self.monitor = Monitor(self.model, self.loss)
        self.parts = nn.ModuleDict({"model": self.model, "loss": self.loss})
        self._pass = self.share.wrap(_Pass(self.model, self.loss, self.share))
        self.updates = 0
        self._waiting = 0  # batches whose gradients are not used yet
        self._last: tuple[Batches, int] | None = None  # batch and seed, while its loss may be asked for again

    @property
    def judged(self) -> JointModel:
        """The model that is validated and kept: the average where there is one."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, JointModel)
        return self.average.module

    @property
    def whole(self) -> bool:
        """Whether no gradients wait, so that a checkpoint misses nothing."""
        return not self._waiting

    @property
    def progress(self) -> float:
        """Share of the run that is over."""
        return min(1.0, self.updates / self.total_updates)

    def losses(self, batches: Batches, seed: int) -> StepLoss:
        """Losses of a batch, to be learned from by `learn`.

        Raises:
            NotFinite: the loss is no number.
        """
        losses = self._forward(batches, seed)
        if not torch.isfinite(losses.total):
            where = first_layer(self.parts, lambda: self._forward(batches, seed))
            raise NotFinite(f"the loss is {losses.total.item()}: {where}")
        self._last = (batches, seed)
        return losses

    def learn(self, losses: StepLoss) -> None:
        """Add the gradients of a batch, and take a step of the optimiser where there are enough of them.

        Raises:
            NotFinite: a gradient is no number.
        """
        self.gradients.add(losses.total, 1 / self.config.accumulate)
        self._waiting += 1
        if self._waiting == self.config.accumulate:
            self.flush(losses.total)
        elif not self.gradients.scaled:  # now it is known which batch did it
            self._check(self.gradients.norm())

    def flush(self, loss: Tensor | None = None) -> None:
        """Take a step of the optimiser with what waits, as at the end of an epoch.

        Args:
            loss: of the last batch.

        Raises:
            NotFinite: a gradient is no number.
        """
        if not self._waiting:
            return
        norm = self.gradients.clip(self.optimiser, self.config.clip_norm, self.config.accumulate / self._waiting)
        self._waiting = 0
        self._check(norm)
        step = None
        if torch.isfinite(norm):  # what overflowed tells nothing of the model
            step = self._step_to_look_at(loss, norm)
            self.monitor.after_backward(self.optimiser, norm, self.config.clip_norm)
        self.gradients.step(self.optimiser)
        if step is not None:
            self.monitor.after_step(step.overshoot(self._loss_again()))
        self._last = None
        self.schedule.step()
        self.updates += 1
        if self.average is not None:
            self.average.update_parameters(self.model)

    def state_dict(self) -> dict[str, Any]:
        """All that changes, but where the data stand."""
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "loss": self.loss.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "gradients": self.gradients.state_dict(),
            "monitor": self.monitor.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` stood."""
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.gradients.load_state_dict(state["gradients"])
        self.monitor.load_state_dict(state["monitor"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.updates = state["updates"]

    def _step_to_look_at(self, loss: Tensor | None, norm: Tensor) -> Step | None:
        """The step to come, where it is one batch's alone and that batch's loss is the one whose gradients it uses."""
        alone = self.config.accumulate == 1 and loss is not None and self._last is not None
        if not (alone and self.monitor.looks and self.loss.multitask.follows_gradient):
            return None
        assert loss is not None
        clipped = (self.config.clip_norm / norm).clamp(max=1.0)
        return Step(self.gradients.parameters, loss, clipped, half=self.autocast is not None)

    @torch.no_grad()
    def _loss_again(self) -> Tensor:
        """The loss of the last batch with the weights as they are now, and the same dropout; it leaves no traces."""
        assert self._last is not None
        with same_buffers(self.parts):
            return self._forward(*self._last).total

    def _check(self, norm: Tensor) -> None:
        """Refuse gradients that are not finite, unless the next steps may mend that."""
        if not self.gradients.expected(norm):
            many = f" in {self.gradients.left_out} steps one after another" if self.gradients.left_out > 1 else ""
            raise NotFinite(f"the norm of the gradients is {norm.item()}{many}: {first_gradient(self.parts)}")

    def _forward(self, batches: Batches, seed: int) -> StepLoss:
        seed_dropout(seed, self.device)
        return self._pass(batches, self._margin_share(), self.progress, self.autocast, seed)

    def _margin_share(self) -> float:
        share = self.config.margin_warmup_share
        return min(1.0, self.updates / (share * self.total_updates)) if share else 1.0


class _Pass(nn.Module):
    """Model and losses as one module, which gradients can be averaged of."""

    def __init__(self, model: JointModel, loss: JointLoss, share: Share) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.share = share

    def forward(
        self, batches: Batches, margin_share: float, progress: float, autocast: torch.dtype | None, seed: int
    ) -> StepLoss:
        """Encode this process's share, then compare the whole batch."""
        if self.share.size == 1:
            return self.loss(self.model, batches, margin_share, progress, autocast)
        own = self.loss.encode(self.model, _shared_out(batches, self.share), autocast)
        # Parts of differing sizes have used differing amounts of randomness; from here on all do the same.
        seed_dropout(seed, self.model.device)
        whole = type(own)(*map(self._gather, own, _sizes(batches)))
        return self.loss.losses_of(whole, self.model, batches, margin_share, progress)

    def _gather(self, part: Tensor | None, items: int) -> Tensor | None:
        return None if part is None else self.share.gather(part, items)


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the generators that dropout on ``device`` draws from.

    `torch.manual_seed` takes half a millisecond and, without a GPU, a little more memory each time: it keeps a stack
    trace for every kind of device that might be initialised later.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _sizes(batches: Batches) -> tuple[int, int, int]:
    speaker, liveness = batches
    crops = 0 if speaker is None else len(speaker.voice)
    voices, echoes = (0, 0) if liveness is None else (len(liveness.voice), len(liveness.echo))
    return crops, voices, echoes


def _shared_out(batches: Batches, share: Share) -> Batches:
    """The part of the batches that this process encodes; what is compared later is left as it is."""
    speaker, liveness = batches
    if speaker is not None:
        speaker = speaker._replace(voice=share.of(speaker.voice))
    if liveness is not None:
        parts = ("voice", "voice_lengths", "echo", "echo_lengths")
        liveness = liveness._replace(**{name: share.of(getattr(liveness, name)) for name in parts})
    return Batches(speaker, liveness)
