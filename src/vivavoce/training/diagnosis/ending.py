"""How training broke off: the step whose loss or gradient was no number, and the losses until then."""

import json
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vivavoce.training.run_folder import RunFolder

SHOWN = 4  # steps before the one that failed


def broken_off(run: RunFolder, lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say in which step a run ended since its numbers were none; nothing where it did not, or has gone on since.

    Args:
        run: whose bad_batch.pt and steps.jsonl are read.
        lines: of its metrics.
    """
    if not run.bad_batch.is_file():
        return ()
    steps = _steps(run)
    kept = _kept(run)
    if kept is None:
        return (f"{run.bad_batch.name} is there, and cannot be read.", *_course(steps))
    behind = any(line["epoch"] >= kept["epoch"] for line in lines)
    if behind or any(line["step"] >= kept["step"] for line in steps):
        return ()
    return (
        f"A loss or a gradient was no number in step {kept['step']} (epoch {kept['epoch']}); {run.bad_batch.name} "
        f"holds that batch, with the names of its {len(kept['recordings'])} recordings.",
        *_course(steps),
    )


def _kept(run: RunFolder) -> dict[str, Any] | None:
    """What `vivavoce.training.guard.keep_batch` wrote; None where it is damaged."""
    try:
        kept = torch.load(run.bad_batch, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError):
        return None
    return kept if isinstance(kept, dict) and {"epoch", "step", "recordings"} <= kept.keys() else None


def _steps(run: RunFolder) -> list[dict[str, Any]]:
    """The last lines of steps.jsonl, less what was not written whole."""
    try:
        last = run.steps.read_text(encoding="utf-8").splitlines()[-SHOWN:]
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in last:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in found if isinstance(line, dict) and {"step", "loss"} <= line.keys()]


def _course(steps: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    if not steps:
        return ()
    losses = ", ".join(f"{line['loss']:.3g} in step {line['step']}" for line in steps)
    return (f"The last losses that were written down: {losses}.",)
