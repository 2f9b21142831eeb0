"""A level gate: is anything moving in the echo at all?

The gate can veto and never vouch: it reads the echo alone, and what an echo alone tells (that this phone, room or hand
was on the live recordings' side of the training set) is a shortcut and no sign that the words came from a mouth.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.pooling import masked_mean

# The gate begins open (0.98): a veto has to be learnt.
FIRST_BIAS = 4.0


class LevelGate(nn.Module):
    """Motion or none, for each frame from the mean over a window around it, for an utterance from all its frames."""

    def __init__(self, channels: int, window: int, hidden: int = 16) -> None:
        super().__init__()
        self.window = window
        self.read = nn.Conv1d(channels, hidden, 1)
        self.judge = nn.Linear(hidden, 1)
        nn.init.constant_(self.judge.bias, FIRST_BIAS)

    def forward(self, echo: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Gate logits of utterances ``(batch,)`` and frames ``(batch, frames)`` of ``(batch, channels, frames)``.

        The stream must not be centred: without its mean, no motion looks like any steady motion.
        """
        levels = mask_channels_first(functional.gelu(self.read(echo)), mask)
        # The mean over the frames that there are: at the ends of an utterance its window is cut short.
        counted = torch.ones_like(levels[:, :1]) if mask is None else mask[:, None, :].to(levels.dtype)
        around = moving_sum(levels, self.window) / moving_sum(counted, self.window).clamp(min=1.0)
        return self.judge(masked_mean(levels, mask))[:, 0], self.judge(around.transpose(1, 2))[:, :, 0]


def veto(logits: Tensor, gate: Tensor) -> Tensor:
    """Logit of the product of two probabilities given as logits: of "they belong together, and something moves"."""
    return -torch.logsumexp(torch.stack([-logits, -gate, -logits - gate]), dim=0)


def moving_sum(x: Tensor, window: int) -> Tensor:
    """Sum over an odd ``window`` of frames around each of ``(..., frames)``; beyond the ends all is zero."""
    flat = x.reshape(-1, 1, x.shape[-1])
    return functional.avg_pool1d(flat, window, stride=1, padding=window // 2).view(x.shape) * window
