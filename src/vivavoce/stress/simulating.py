"""Recordings of the same utterances simulated anew, once for each level, with one parameter fixed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.errors import UserError
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.phonemes import Phone
from vivavoce.stress.config import CurveName, StressConfig
from vivavoce.stress.curves import levels_of

ENROLMENT = 3  # recordings a speaker is enrolled with, as `make_trials` has it


class Simulator:
    """Simulates levels of curves from one set of utterances, below one folder that may be continued.

    Args:
        speech: utterances with their recorded voices.
        folder: where the recordings and the alignments go.
        config: of the stress test.
        phones: known phone times of made voices (JSON lines), instead of alignment.

    Raises:
        UserError: the phone times cannot be read.
    """

    def __init__(self, speech: Sequence[Row], folder: Path, config: StressConfig, phones: Path | None = None) -> None:
        self.speech = _fewer(speech, config)
        self.folder, self.config = folder, config
        cache = AlignmentCache(folder / "alignments.jsonl")
        if phones is not None:
            cache.add_file(self.speech, phones)
        self.phones: Mapping[str, Sequence[Phone]] = cache.get_many(self.speech, config.workers)

    def reference(self) -> list[Row]:
        """The recordings that speakers are enrolled with, at what stays the same in all curves."""
        return self._simulated(self.folder / "reference", {})

    def levels(self, name: CurveName) -> dict[float | str, list[Row]]:
        """The recordings of each level, the same utterances and kinds in each, in the same order."""
        return {
            level: self._simulated(self.folder / name / f"{level}", fixed(name, level))
            for level in levels_of(name, self.config)
        }

    def _simulated(self, folder: Path, fixes: Mapping[str, Any]) -> list[Row]:
        base = self.config.simulation.model_copy(update={"seed": self.config.seed})
        config = SimulationConfig.model_validate(_merged(base.model_dump(), fixes))
        return read_rows(simulate_dataset(self.speech, folder, config, self.phones, workers=self.config.workers))


def fixed(name: CurveName, level: float | str) -> dict[str, Any]:
    """What a level fixes in a simulation's config.

    Raises:
        ValueError: the curve cannot be simulated.
    """
    if name == "distance":
        return {"distance_cm": level, "distance_jitter": 0}
    if name == "posture":
        return {"postures": level}
    if name == "rolloff":
        return {"device": {"rolloff_db_per_khz": level}}
    if name != "sway":
        raise ValueError(f"{name} cannot be simulated")
    sway = {"sway_mm": level, "sway_sigma": 0, "sway_limits_mm": (level, level)}
    return {"postures": "handheld", "posture": sway}


def _merged(base: Mapping[str, Any], fixes: Mapping[str, Any]) -> dict[str, Any]:
    inner = {
        key: _merged(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), Mapping) else value
        for key, value in fixes.items()
    }
    return {**base, **inner}


def _fewer(speech: Sequence[Row], config: StressConfig) -> list[Row]:
    """Utterances enough for the recordings that are asked for, as many of each speaker as of the others.

    Raises:
        UserError: the utterances are simulated recordings themselves.
    """
    if any((row.meta.model_extra or {}).get("simulated") for row in speech):
        raise UserError(
            "The recordings to simulate from are simulated themselves; give the manifest of the speech that they were "
            "made from."
        )
    by_speaker: dict[str, list[Row]] = defaultdict(list)
    for row in speech:
        by_speaker[row.speaker].append(row)
    if config.max_recordings is None:
        return list(speech)
    per_utterance = sum(count for _, count in config.simulation.kinds.items())
    each = ENROLMENT + max(1, int(np.ceil(config.max_recordings / per_utterance / len(by_speaker))))
    rng = np.random.default_rng(config.seed)
    kept = {
        members[index].id for members in by_speaker.values() for index in rng.permutation(len(members))[:each].tolist()
    }
    return [row for row in speech if row.id in kept]
