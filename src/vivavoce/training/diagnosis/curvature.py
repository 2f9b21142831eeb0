"""The rate against the curvature of the loss: does a step go too far for the very batch that it was taken for?"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# A promise smaller than this share of the loss (and of 1) drowns in the digits of float32, or of half precision.
NOISE, NOISE_HALF = 1e-4, 1e-2
MOST = 1e3  # so that a loss that bursts is still a number


class Step:
    """One step of the optimiser, made before it is taken; `overshoot` tells afterwards how far it went."""

    @torch.no_grad()
    def __init__(self, parameters: Iterable[nn.Parameter], loss: Tensor, clipped: Tensor, half: bool = False) -> None:
        """Keep the weights as they are.

        Args:
            parameters: that the step changes, with their gradients.
            loss: of the batch, with these weights.
            clipped: what its gradients were multiplied with.
            half: it was computed in half precision.
        """
        self.before = [(weight, weight.clone(), weight.grad) for weight in parameters if weight.grad is not None]
        self.loss, self.clipped = loss.detach(), clipped
        self.noise = NOISE_HALF if half else NOISE

    @torch.no_grad()
    def overshoot(self, loss: Tensor) -> Tensor:
        """Overshoot q of the step that was taken, given the same batch's loss behind it; NaN where it tells nothing.

        With the gradient g and the change Δ of all weights, q = 1 + (loss behind - loss before) / |g·Δ|, where g·Δ < 0.
        A loss that is quadratic in the weights, L + g·Δ + ½ΔᵀHΔ, has q = ½ΔᵀHΔ / |g·Δ|: along Δ a step of 1/(2q) its
        length would lower it most, q = 1 gains nothing, and more raises it. 1 - q is the ratio of actual and promised
        reduction by which trust regions are judged (Conn, Gould & Toint 2000, "Trust-region methods", section 6.1;
        Nocedal & Wright 2006, "Numerical optimization", section 4.1). A step that is not downhill for its own batch,
        as the momentum of others may have it, promises nothing.
        """
        products = [
            (grad.float() * (weight - old).float()).sum() for weight, old, grad in self.before if grad is not None
        ]
        promised = -torch.stack(products).sum() / self.clipped
        told = promised > self.noise * (1 + self.loss.abs())
        return torch.where(told, 1 + (loss - self.loss) / promised, torch.nan).clamp(max=MOST)


@contextmanager
def same_buffers(module: nn.Module) -> Iterator[None]:
    """Give back to all buffers what they held: statistics of batch norm, counts, the memory of a loss."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
