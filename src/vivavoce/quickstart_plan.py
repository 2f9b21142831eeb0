"""How much to simulate and to train, by how much speech there is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vivavoce.corpus.manifest import Row
from vivavoce.simulate.config import KindCounts, SimulationConfig


@dataclass(frozen=True)
class Plan:
    """Sizes of a quickstart."""

    simulation: SimulationConfig
    model: dict[str, Any]
    training: dict[str, Any]


def plan_for(rows: Sequence[Row], synthetic: bool, epochs: int | None = None) -> Plan:
    """Choose sizes that end within 5 minutes on two cores for the synthetic voices, 30 for an hour of real speech.

    ``epochs`` is taken as it is, where it is given.
    """
    fewest = min(Counter(row.speaker for row in rows).values())
    kinds = KindCounts(
        live=2,
        replay_stand=0.5,
        replay_handheld=0.5,
        swapped_mouth=0.75,
        shifted=0.25,
        recorded_ultrasound=0.25,
        probe_absent=max(0.15, 1 / fewest),  # one a speaker at least: one is shown at the end
    )
    simulation = SimulationConfig(kinds=kinds, stand_share=0.7)
    if synthetic:
        model = {"name": "ecapa-lstm", "trunk": {"channels": 128, "pooled_channels": 384}}
        return Plan(simulation, model, {"epochs": epochs or 20, "speaker_batch": 32, "liveness_batch": 32})
    model = {"name": "ecapa-lstm", "trunk": {"channels": 192, "pooled_channels": 576}}
    return Plan(simulation, model, {"epochs": epochs or 10, "speaker_batch": 40})
