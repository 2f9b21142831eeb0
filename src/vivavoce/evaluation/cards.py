"""What was evaluated, and what it was evaluated on, in the form of a card that can be handed on.

Source: Mitchell et al., "Model cards for model reporting", FAT* 2019; Gebru et al., "Datasheets for datasets",
Communications of the ACM 64(12), 2021.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.trials.table import Trials

Card = dict[str, dict[str, str]]
# As many values of a property are named; of more, their number says enough.
NAMED = 6


def data_card(rows: Sequence[Row], trials: Trials) -> Card:
    """Describe the recordings and trials of an evaluation: heading, what, value."""
    metas = [row.meta for row in rows]
    seconds = np.array([row.duration_s for row in rows])
    simulated = sum(bool((meta.model_extra or {}).get("simulated")) for meta in metas)
    card = {
        "Recordings": {
            "number": f"{len(rows)}",
            "speech": f"{seconds.sum() / 3600:.2f} h",
            "length, median (range)": f"{np.median(seconds):.1f} s ({seconds.min():.1f}–{seconds.max():.1f} s)",
            "sample rates": _counted([f"{row.sample_rate} Hz" for row in rows]),
            "ultrasound": _origin(simulated, len(rows)),
        },
        "People": {
            "speakers": f"{len({row.speaker for row in rows})}",
            "sex of the speakers": _of_speakers(rows),
            "sessions": f"{len({(row.speaker, meta.session) for row, meta in zip(rows, metas, strict=True)})}",
        },
        "Conditions": {
            "phones": _counted([meta.device for meta in metas]),
            "rooms": _counted([meta.room for meta in metas]),
            "posture": _counted([meta.posture for meta in metas]),
            "distance, median (range)": _range([meta.distance_cm for meta in metas], "cm"),
            "sway, median (range)": _range([meta.sway_mm for meta in metas], "mm"),
        },
    }
    if len(trials):
        sizes = sorted({len(own) for own in trials.enrolments})
        card["Trials"] = {
            "enrolled": f"{len(trials.enrolments)} enrolments of {' or '.join(map(str, sizes))} recordings",
            **{label: f"{count}" for label, count in trials.counts.items()},
        }
    return card


def model_card(
    parameters: Mapping[str, int], config: Mapping[str, object], trained_on: Mapping[str, str], intended: str
) -> Card:
    """Describe a run.

    Args:
        parameters: how many weights each part has.
        config: what to name of its configuration.
        trained_on: what of the data it was trained on.
        intended: one sentence: what it is for, and what not.
    """
    return {
        "Model": {**{name: str(value) for name, value in config.items()}, **_weights(parameters)},
        "Trained on": dict(trained_on),
        "Use": {"meant for": intended},
    }


def _weights(parameters: Mapping[str, int]) -> dict[str, str]:
    return {f"weights, {name}": f"{count / 1e6:.2f} million" for name, count in parameters.items()}


def _origin(simulated: int, recordings: int) -> str:
    if not simulated:
        return "recorded"
    return "simulated" if simulated == recordings else f"simulated in {simulated}, recorded in {recordings - simulated}"


def _counted(values: Sequence[str | None]) -> str:
    """Values with their counts, the most frequent first; of many, how many there are."""
    counts = Counter(value for value in values if value)
    if not counts:
        return "not known"
    if len(counts) > NAMED:
        return f"{len(counts)} different"
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _of_speakers(rows: Sequence[Row]) -> str:
    return _counted([sex for _, sex in sorted({(row.speaker, row.meta.sex or "") for row in rows})])


def _range(values: Sequence[float | None], unit: str) -> str:
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return "not known"
    return f"{np.median(known):.3g} {unit} ({known.min():.3g}–{known.max():.3g} {unit})"
