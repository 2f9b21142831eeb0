"""What the kinds of attack say of a task: which is behind, and how far validation is behind training for each."""

from collections.abc import Sequence

import numpy as np

from vivavoce.training.diagnosis.record import Line, Record

LAST = 3  # epochs whose mean is looked at: a kind has few recordings in validation
WORSE = 2.0  # an attack's loss over the mean of the others


def kind_evidence(record: Record, task: str) -> list[str]:
    """Sentences on the kinds of attack; none where the figures of less than two are known."""
    trained, validated = (_losses(record, lines, task) for lines in (record.train, record.validation))
    if len(validated) < 2:
        return []
    found = []
    worst = max(validated, key=lambda kind: validated[kind])
    if validated[worst] > WORSE * np.mean([loss for kind, loss in validated.items() if kind != worst]):
        found.append(f"The kind {worst} is far behind the others (loss {validated[worst]:.2g}){_why(worst, trained)}.")
    gaps = sorted(trained.keys() & validated.keys(), key=lambda kind: trained[kind] - validated[kind])
    if gaps:
        said = ", ".join(f"{kind} {trained[kind]:.2g}/{validated[kind]:.2g}" for kind in gaps)
        found.append(f"Loss by kind, training/validation, widest gap first: {said}.")
    return found


def _losses(record: Record, lines: Sequence[Line], task: str) -> dict[str, float]:
    """Loss of each kind over the last epochs that know it."""
    prefix = f"loss_{task}/"
    names = sorted({name for line in lines for name in line if name.startswith(prefix)})
    found = {name.removeprefix(prefix): record.series(lines[-LAST:], name) for name in names}
    return {kind: float(np.nanmean(losses)) for kind, losses in found.items() if np.isfinite(losses).any()}


def _why(worst: str, trained: dict[str, float]) -> str:
    """Whether training has the same trouble with it; nothing where it is not known of any kind."""
    if not trained:
        return ""
    if worst not in trained:
        return ": training never met it, so record or simulate some of it"
    others = [loss for kind, loss in trained.items() if kind != worst]
    if others and trained[worst] > WORSE * np.mean(others):
        return f": training finds it as hard ({trained[worst]:.2g}), so let it train longer or in more of each batch"
    return f": training knows it ({trained[worst]:.2g}), so more and more varied recordings of it would help"
