"""The loss of the correlation task: do voice and echo belong together (live = 1)?"""

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional


class CorrelationConfig(BaseModel):
    """Binary cross-entropy with logits, the two classes weighted alike."""

    model_config = ConfigDict(extra="forbid")

    weight: float = Field(default=1.0, ge=0, description="what this loss counts for beside the speaker loss")
    label_smoothing: float = Field(default=0.02, ge=0, lt=0.5, description="share taken off a sure label")


def correlation_loss(logits: Tensor, live: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy of ``logits`` ``(n,)`` with labels ``live`` ``(n,)`` in {0, 1}.

    Each class counts half, however many examples it has in the batch: attacks outnumber live recordings, and a
    head that learns their prior would shift its threshold with the mix of the training set.
    """
    smoothed = live * (1 - 2 * label_smoothing) + label_smoothing
    losses = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
    positives = live.sum().clamp(min=1.0)
    negatives = (1 - live).sum().clamp(min=1.0)
    return 0.5 * ((losses * live).sum() / positives + (losses * (1 - live)).sum() / negatives)
