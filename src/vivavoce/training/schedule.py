"""The learning rate over a run: linear warm-up, then a half cosine to zero (Loshchilov & Hutter 2017, SGDR, eq. 5)."""

import math


def warmup_cosine(step: int, total: int, warmup_share: float) -> float:
    """Factor of the peak learning rate at ``step`` of ``total``; reaches 1 after ``warmup_share`` of the run."""
    warmup = max(1, round(total * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
