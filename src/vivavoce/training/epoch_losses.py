"""Mean losses of an epoch, those of the correlation task also by kind of recording."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from vivavoce.corpus.metadata import Kind
from vivavoce.training.step import KINDS, StepLoss

# Losses of each task, in the order in which they are recorded.
LOSSES = {"speaker": ("speaker",), "liveness": ("liveness", "frames", "gate", "sync", "teacher")}
NAMES = StepLoss._fields[:-1]  # those that are one number
ZEROS = [0.0] * (len(NAMES) + 2 * len(KINDS))


def flat(losses: StepLoss) -> Tensor:
    """All of a step's losses in one float64 vector on the CPU, so that a GPU is waited for once."""
    return torch.cat([torch.stack(losses[:-1]), losses.kinds.flatten()]).double().cpu()


def epoch_means(sums: Sequence[float], steps: int, tasks: Iterable[str]) -> dict[str, float]:
    """Mean losses of an epoch, as metrics.jsonl has them.

    Args:
        sums: of what `flat` gave of each step.
        steps: how many they were.
        tasks: that are trained.
    """
    means = {name: total / max(1, steps) for name, total in zip(NAMES, sums, strict=False)}
    trained = {f"loss_{name}": means[name] for task in tasks for name in LOSSES[task]}
    return {"loss": means["total"], **trained, **_by_kind(sums[len(NAMES) :])}


def _by_kind(sums: Sequence[float]) -> dict[str, float]:
    """Mean of the cross-entropies of live recordings and of one kind of attack, as validation has it; nats."""
    totals, counts = sums[: len(KINDS)], sums[len(KINDS) :]
    means = {kind: total / count for kind, total, count in zip(KINDS, totals, counts, strict=True) if count}
    live = means.pop(Kind.LIVE, None)
    return {} if live is None else {f"loss_liveness/{kind.value}": 0.5 * (live + mean) for kind, mean in means.items()}
