"""Closed forms behind the ridge head: moments, principal axes, ridge regression, a logistic line."""

import torch
from torch import Tensor

# Lags over which two streams' own rhythms are followed: 0.5 s in 20 ms frames.
RHYTHM = 25
# Newton steps of the line, and the pull to zero that keeps it finite where both classes lie apart.
STEPS, PULL = 25, 1e-4


class Moments:
    """Second moments of voice context and echo, added up batch by batch."""

    def __init__(self) -> None:
        self.count = 0
        self.context = self.seen = self.cross = torch.zeros(())

    def add(self, context: Tensor, seen: Tensor) -> None:
        """Add frames ``(frames, dims)`` and the echo at them ``(frames, channels)``."""
        self.count += len(context)
        # Products of one batch in the features' own precision, their sum over batches in double.
        self.context = self.context + (context.T @ context).double()
        self.seen = self.seen + (seen.T @ seen).double()
        self.cross = self.cross + (context.T @ seen).double()


def principal_axes(covariance: Tensor, count: int) -> Tensor:
    """Return the ``count`` directions of the largest variance of ``(channels, channels)``: ``(channels, count)``.

    Fewer, where there are fewer channels. Signs are chosen so that each axis' largest entry is positive.
    """
    axes = torch.linalg.eigh(covariance)[1].flip(1)[:, :count]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return axes * largest.sign()


def ridge(context: Tensor, cross: Tensor, penalty: float) -> Tensor:
    """Solve the ridge regression (Hoerl & Kennard 1970, eq. 2.1) of moments ``(dims, dims)`` and ``(dims, targets)``.

    ``penalty`` is in units of the mean of the diagonal; a dimension that is always zero gets no weight.
    """
    strength = penalty * context.diagonal().mean().clamp(min=1e-12)
    penalised = context + strength * torch.eye(len(context), dtype=context.dtype, device=context.device)
    return torch.linalg.solve(penalised, cross)


def frames_of_one(first: Tensor, second: Tensor) -> Tensor:
    """How many frames of two streams ``(batch, channels, frames)`` are worth one independent frame, ``(channels,)``.

    Bartlett 1946, eq. 1: the variance of the correlation of two unrelated streams, 1 + 2 Σ ρ₁(lag) ρ₂(lag) over the
    number of frames.
    """
    total = torch.ones(first.shape[1], device=first.device)
    for lag in range(1, min(RHYTHM, first.shape[2] - 1) + 1):
        total = total + 2 * _own(first, lag) * _own(second, lag)
    return total.clamp(min=1.0)


def _own(stream: Tensor, lag: int) -> Tensor:
    """Correlation of a stream with itself ``lag`` frames later, ``(channels,)``."""
    energy = stream.square().sum(dim=(0, 2)).clamp(min=1e-12)
    return (stream[..., lag:] * stream[..., :-lag]).sum(dim=(0, 2)) / energy


def logistic_line(evidence: Tensor, labels: Tensor) -> Tensor:
    """Fit the two weights of the logit to evidence ``(n, 2)`` and labels ``(n,)``, both classes counting alike."""
    design = evidence.double()
    truth = (labels > 0).double()
    positives, negatives = truth.sum().clamp(min=1.0), (1 - truth).sum().clamp(min=1.0)
    share = torch.where(truth > 0, 0.5 / positives, 0.5 / negatives)
    line = torch.zeros(2, dtype=torch.double, device=evidence.device)
    pull = PULL * torch.eye(2, dtype=torch.double, device=evidence.device)
    for _ in range(STEPS):
        chance = (design @ line).sigmoid()
        gradient = design.T @ (share * (chance - truth)) + PULL * line
        curvature = design.T @ (design * (share * chance * (1 - chance))[:, None]) + pull
        line = line - torch.linalg.solve(curvature, gradient)
    return line.to(evidence.dtype)
