"""A balancer by gradient norms: both tasks pull alike at what they share."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vivavoce.objectives.multitask.base import Multitask, Terms

# Losses are multiplied with this before their gradients are taken, since those would vanish in float16.
GAIN = 2.0**10
# Neither task's weight leaves 1/MOST…MOST, whatever its gradient.
MOST = 100.0


class GradientNormConfig(BaseModel):
    """Weights that give the two tasks gradients of a set ratio at the stem of the voice trunk."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["gradient_norm"] = "gradient_norm"
    speaker_share: float = Field(default=0.5, gt=0, lt=1, description="the speaker task's share of the gradient norm")
    memory: float = Field(
        default=0.9, ge=0, lt=1, description="of the mean norms: what they keep of their past each time they are taken"
    )
    every: int = Field(
        default=4, ge=1, description="steps from one taking of the norms to the next; each costs half a backward pass"
    )

    def build(self) -> "GradientNormBalancer":
        """Make the joint loss."""
        return GradientNormBalancer(self)


class GradientNormBalancer(Multitask):
    """λ₁·(n₁ + n₂)/n₁·l₁ + λ₂·(n₁ + n₂)/n₂·l₂ with running means n of the norms of the shared gradients.

    Source: Défossez et al. 2022, "High fidelity neural audio compression", section 3.4, "Balancer", with R = n₁ + n₂:
    with equal shares and equal norms it is the plain sum, so that a learning rate found for that still fits. Chosen
    over GradNorm (Chen et al. 2018) since it has the weights at once: GradNorm trains them with an optimiser of its
    own, whose rate and whose power α would have to be tuned too.

    The norms are taken at the parameters that both tasks train. As long as these are frozen the losses are added up.
    """

    norms: Tensor
    taken: Tensor
    step: Tensor

    def __init__(self, config: GradientNormConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("norms", torch.zeros(2))
        # As in Adam, a mean that began at zero is divided by what it has seen of one.
        self.register_buffer("taken", torch.zeros(()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def weights(self) -> Tensor:
        """Weights of the speaker and the correlation task, ``(2,)``; 1 before any norm was taken."""
        share = self.config.speaker_share
        wanted = torch.stack([self.norms.new_tensor(share), self.norms.new_tensor(1 - share)])
        weights = wanted * self.norms.sum() / self.norms.clamp(min=1e-30)
        known = (self.taken > 0) & (self.norms > 0).all()
        return torch.where(known, weights.clamp(1 / MOST, MOST), 1.0)

    def terms(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Terms:
        """The losses times the weights, after the norms were taken where it is time for that."""
        if self.training and torch.is_grad_enabled():
            if self.step % self.config.every == 0:
                self._take([speaker, correlation], [weight for weight in shared if weight.requires_grad])
            self.step += 1
        weights = self.weights()
        return Terms(weights[0] * speaker, weights[1] * correlation)

    def _take(self, losses: Sequence[Tensor], shared: Sequence[nn.Parameter]) -> None:
        """Add the norms of the losses' gradients to their running means; those that are no numbers are left out."""
        if not shared:
            return
        found = torch.stack([self._norm(loss, shared) for loss in losses])
        if not (torch.isfinite(found).all() and (found > 0).all()):
            return
        memory = self.config.memory
        kept = self.norms * self.taken
        self.taken.mul_(memory).add_(1 - memory)
        self.norms.copy_((memory * kept + (1 - memory) * found) / self.taken)

    def _norm(self, loss: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
        """Norm of the gradient of ``loss`` at the shared parameters, of all processes together."""
        gradients = torch.autograd.grad(GAIN * loss, shared, retain_graph=True, allow_unused=True)
        flat = [
            torch.zeros_like(weight).flatten() if gradient is None else gradient.float().flatten()
            for weight, gradient in zip(shared, gradients, strict=True)
        ]
        whole = torch.cat(flat) / GAIN
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Each process has seen its own part of the batch; whether parts are added or averaged is the same for both.
            torch.distributed.all_reduce(whole)
        return whole.norm()
