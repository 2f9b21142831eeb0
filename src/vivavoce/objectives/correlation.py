"""The loss of the correlation task: do voice and echo belong together (live = 1)?"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional


class CorrelationConfig(BaseModel):
    """Binary cross-entropy with logits, the two classes weighted alike."""

    model_config = ConfigDict(extra="forbid")

    weight: float = Field(default=1.0, ge=0, description="what this loss counts for beside the speaker loss")
    sync_weight: float = Field(default=0.25, ge=0, description="what the synchrony loss counts for beside it; 0: none")
    sync_window_s: float = Field(default=0.6, ge=0.1, le=5, description="window that must find its own echo, seconds")
    label_smoothing: float = Field(default=0.02, ge=0, lt=0.5, description="share taken off a sure label")


def correlation_loss(logits: Tensor, live: Tensor, label_smoothing: float = 0.0, group: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of ``logits`` ``(n,)`` with labels ``live`` ``(n,)`` in {0, 1}.

    Each class counts half, however many examples it has in the batch: attacks outnumber live recordings, and a
    head that learns their prior would shift its threshold with the mix of the training set. Within a class the
    groups (``(n,)`` integers; ``None``: one group) count alike, so that many cheap negatives do not drown rare ones.
    """
    smoothed = live * (1 - 2 * label_smoothing) + label_smoothing
    losses = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
    groups = torch.zeros_like(live, dtype=torch.long) if group is None else group
    cell = live.long() + 2 * groups
    count = torch.bincount(cell, minlength=2)
    present = (count > 0).to(losses.dtype)
    # Groups of each class that occur in the batch.
    occurring = torch.stack([present[0::2].sum(), present[1::2].sum()]).clamp(min=1.0)
    return (losses / count[cell] / (2 * occurring[live.long()])).sum()
