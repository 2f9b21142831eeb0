"""The loss of the correlation task: do voice and echo belong together (live = 1)?"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vivavoce.objectives.correlation_losses import BceConfig, BceLoss, BinaryLoss, LossConfig

BCE = BceLoss()


class CorrelationConfig(BaseModel):
    """The losses of the correlation task and what each counts for."""

    model_config = ConfigDict(extra="forbid")

    loss: LossConfig = Field(
        default_factory=BceConfig,
        description="of wholes and of frames; in each form the two classes weigh alike",
    )
    weight: float = Field(
        default=1.0, ge=0, description="what this task counts for beside the speaker task, where multitask.type is sum"
    )
    sync_weight: float = Field(default=0.25, ge=0, description="what the synchrony loss counts for beside it; 0: none")
    sync_window_s: float = Field(default=0.6, ge=0.1, le=5, description="window that must find its own echo, seconds")
    frame_weight: float = Field(
        default=0.5, ge=0, description="what the loss of each 20 ms frame counts for beside that of the whole; 0: none"
    )
    gate_weight: float = Field(
        default=0.0,
        ge=0,
        description="what it counts for that the level gate tells a mouth from an echo in which nothing moves; 0: none",
    )
    teacher_weight: float = Field(
        default=0.5,
        ge=0,
        description="what it counts for that voice and echo each find the mouth's motion, where it is known; 0: none",
    )
    label_smoothing: float = Field(default=0.02, ge=0, lt=0.5, description="share taken off a sure label")


def correlation_loss(
    logits: Tensor,
    live: Tensor,
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
    loss: BinaryLoss = BCE,
) -> Tensor:
    """Mean ``loss`` of ``logits`` with labels ``live`` in {0, 1}, both of any one shape.

    Each class counts half, however many examples it has in the batch: attacks outnumber live recordings, and a
    head that learns their prior would shift its threshold with the mix of the training set. Within a class an example
    counts as its ``weight`` says (same shape; ``None``: all alike); one of weight 0 is left out.
    """
    smoothed = live * (1 - 2 * label_smoothing) + label_smoothing
    losses = loss(logits, smoothed)
    weights = torch.ones_like(losses) if weight is None else weight
    halves = [0.5 * (weights * part) / (weights * part).sum().clamp(min=1e-12) for part in (live, 1 - live)]
    return (losses * (halves[0] + halves[1])).sum()


def frame_loss(
    frames: Tensor,
    frame_live: Tensor,
    mask: Tensor,
    weight: Tensor,
    label_smoothing: float,
    loss: BinaryLoss = BCE,
) -> Tensor:
    """Mean ``loss`` of the frames' logits ``(pairs, frames)`` with their own labels ``(pairs, frames)``.

    Each pair shares its ``weight`` ``(pairs,)`` out to its frames, those that ``mask`` ``(pairs, frames)`` marks; then
    each class counts half as in `correlation_loss`.
    """
    each = mask * (weight / mask.sum(dim=1).clamp(min=1))[:, None]
    return correlation_loss(frames, frame_live, label_smoothing, each, loss)


def gate_loss(moves: Tensor, live: Tensor, still: Tensor) -> Tensor:
    """Cross-entropy of the level gate's logits ``moves``: live mouths move, and ``still`` echoes do not.

    What else a recording may show, a hand or a mouth that says something else, is no matter of the gate, and left out.
    All are ``(recordings,)``; zero where one of the classes is missing.
    """
    counted = (live > 0) | still
    if not (still.any() and (live > 0).any()):
        return moves.new_zeros(())
    return correlation_loss(moves[counted], live[counted])


def pair_weights(live: Tensor, made: Tensor, partial: Tensor) -> Tensor:
    """What each pair counts for within its class, ``(pairs,)``; the weights of a class add up to one.

    Recorded attacks and negatives that were made count alike, however many of either there are. Partial pairs count for
    as much among the true ones as among the false ones, so that a seam is no evidence of either.

    Args:
        live: labels ``(pairs,)`` in {0, 1}.
        made: which pairs were made rather than recorded, ``(pairs,)`` bool.
        partial: which of these are partial, ``(pairs,)`` bool.
    """
    true = live > 0
    false = _shares(~true & ~made) + _shares(~true & made)
    false = false / false.sum().clamp(min=1)
    whole, spliced = _shares(true & ~partial), _shares(true & partial)
    share = (false * partial).sum() * spliced.sum()
    return false + spliced * share + whole * (1 - share)


def _shares(chosen: Tensor) -> Tensor:
    """Equal shares of one for the chosen ones; zeros where none is."""
    return chosen / chosen.sum().clamp(min=1)
