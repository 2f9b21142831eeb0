"""How much to simulate and to train, by how much speech there is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vivavoce.corpus.manifest import Row
from vivavoce.models.joint import DEFAULT
from vivavoce.simulate.config import KindCounts, SimulationConfig
from vivavoce.simulate.pools import PoolConfig
from vivavoce.simulate.posture import PostureShares


@dataclass(frozen=True)
class Plan:
    """Sizes of a quickstart; ``test`` holds the phones, rooms, loudspeakers and kinds that training never meets."""

    simulation: SimulationConfig
    test: SimulationConfig
    model: dict[str, Any]
    training: dict[str, Any]


def plan_for(rows: Sequence[Row], synthetic: bool, epochs: int | None = None) -> Plan:
    """Choose sizes that end within 5 minutes on two cores for the synthetic voices, 30 for an hour of real speech.

    ``epochs`` is taken as it is, where it is given.
    """
    fewest = min(Counter(row.speaker for row in rows).values())
    seen = {
        "live": 2.0,
        "replay_stand": 0.5,
        "replay_handheld": 0.5,
        "swapped_mouth": 0.75,
        "shifted": 0.25,
        "recorded_ultrasound": 0.25,
        "probe_absent": max(0.15, 1 / fewest),  # one a speaker at least: one is shown at the end
        "probe_jammed": 0.0,
    }
    # What abstention and unknown attacks look like is no matter of training, so that only the test has them.
    unseen = dict.fromkeys(("replay_moving", "mouthing", "tts", "spliced"), 0.25) | {"probe_jammed": 0.15}
    postures = PostureShares(stand=0.6, table=0.05, handheld=0.25, ear=0.1)
    simulation = SimulationConfig(
        kinds=KindCounts(**seen), postures=postures, pools=PoolConfig(half="seen"), mouth_motion=True
    )
    test = SimulationConfig(kinds=KindCounts(**(seen | unseen)), postures=postures, pools=PoolConfig(half="unseen"))
    if synthetic:
        model = {"name": DEFAULT, "trunk": {"channels": 128, "pooled_channels": 384}}
        return Plan(simulation, test, model, {"epochs": epochs or 13, "speaker_batch": 32, "liveness_batch": 32})
    model = {"name": DEFAULT, "trunk": {"channels": 192, "pooled_channels": 576}}
    return Plan(simulation, test, model, {"epochs": epochs or 10, "speaker_batch": 40})
