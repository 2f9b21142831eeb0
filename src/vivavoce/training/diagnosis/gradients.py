"""What the norms of gradients tell: ones that burst, are clipped, or vanish on their way through the network."""

import numpy as np

from vivavoce.training.diagnosis.record import STANDS_STILL, Record
from vivavoce.training.diagnosis.states import HELD

# Largest norm of an epoch's steps over their median; the first steps of a run, and rare batches, reach ten.
BURSTS = 30.0
CLIPPED = 0.5  # share of the steps
# Norm of one part's gradients over another's.
VANISHES = 1e-4


def gradient_evidence(record: Record) -> list[str]:
    """Sentences on the gradients of the last epochs, where they are out of the ordinary."""
    said = []
    usual, largest = (record.monitored(name)[-HELD:] for name in ("grad_norm", "grad_norm_max"))
    if len(usual) and len(usual) == len(largest):
        burst = largest / np.maximum(usual, 1e-12)
        worst = int(np.argmax(burst))
        if burst[worst] > BURSTS:
            times, norm = f"{burst[worst]:.0f}", f"{largest[worst]:.2g}"
            said.append(f"The largest gradient of a step was {times} times the usual one (norm {norm}).")
    clipped = record.monitored("clipped")[-HELD:]
    if len(clipped) and np.median(clipped) > CLIPPED:
        said.append(f"Gradients were clipped in {100 * np.median(clipped):.0f} % of the steps.")
    return said + _vanishing(record)


def _vanishing(record: Record) -> list[str]:
    """Whether hardly any gradient reaches one of the parts that learn."""
    ratios = record.update_ratios()
    norms = {part: record.monitored(f"grad_norm/{part}") for part in ("trunk", "head") if part in ratios}
    last = {part: values[-1] for part, values in norms.items() if len(values) and ratios[part][-1] > STANDS_STILL}
    if len(last) < 2:
        return []
    small, large = sorted(last, key=lambda part: last[part])
    if last[small] >= VANISHES * last[large]:
        return []
    return [f"Hardly any gradient reaches the {small}: norm {last[small]:.1e}, {last[large]:.1e} in the {large}."]
