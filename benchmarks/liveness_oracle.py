"""Recordings whose phone's motion is known exactly: the oracle of the front ends that take this motion out."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from liveness_corpora import Spoken
from vivavoce.corpus.manifest import Row
from vivavoce.features.accelerometer import accelerometer_of
from vivavoce.files import atomic_path
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.job import Job, phone_path_of
from vivavoce.simulate.plan import Corpus, plan
from vivavoce.simulate.recording import FACTOR_RATE_HZ, MARGIN

DONE = "done"


def known_motion(folder: Path) -> bool:
    """Tell whether a folder was made to its end."""
    return (folder / DONE).exists()


def link_with_known_motion(spoken: Spoken, config: SimulationConfig, made: Path, folder: Path) -> None:
    """Link the recordings of ``made`` into ``folder``, each beside a file of where its phone truly was."""
    for planned in plan(Corpus(spoken.rows, spoken.phones, spoken.motions), made, config):
        for file in planned.job.files(config):
            link = folder / file.relative_to(made)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(file, link)
        target = folder / planned.job.target.relative_to(made)
        with atomic_path(accelerometer_of(target)) as temporary, temporary.open("wb") as file:
            np.savez(file, rate_hz=np.float64(FACTOR_RATE_HZ), displacement=_true_displacement(planned.job, config))
    (folder / DONE).touch()


def beside_known_motion(row: Row, path: Path) -> Row:
    """The same recording where it lies beside the phone's true motion."""
    meta = row.meta.model_copy(update={"accelerometer": accelerometer_of(path).name})
    return replace(row, path=path, meta=meta)


def _true_displacement(job: Job, config: SimulationConfig) -> np.ndarray:
    """Where the phone was against what stands before it, (frames, 3) in m, from the recording's first sample on."""
    return phone_path_of(job, config).own_m[MARGIN:-MARGIN]
