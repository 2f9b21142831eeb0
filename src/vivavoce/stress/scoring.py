"""Scores of degraded recordings: made worse, turned into features and scored as in an evaluation, in bounded memory."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.calibration.observing import measures_of_wave
from vivavoce.evaluation.scoring.recordings import BATCH_FRAMES, FRAMES_PER_S, score_recordings
from vivavoce.features.accelerometer import Sensor
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.extractor import Extracted, Extractor, in_memory
from vivavoce.features.front_end import FrontEndConfig, Wave, prepare_wave
from vivavoce.models.joint import JointModel
from vivavoce.pool import ordered, spawn_pool
from vivavoce.progress import progress_bar
from vivavoce.simulate.draws import generator
from vivavoce.stress.sounds import Degradation, Sound


@dataclass(frozen=True)
class Task:
    """One recording, and the levels at which it is wanted; None leaves it as it is.

    ``stream`` names the randomness: all levels of one curve share it, so that only the level differs.
    """

    row: Row
    place: int  # of the recording among those scored
    levels: tuple[Degradation | None, ...]
    first: int = 0  # number of the first of these levels
    seed: int = 0
    stream: str = ""


class Heard(NamedTuple):
    """What a process gives of a recording at one level."""

    features: Extracted
    measures: dict[str, float]


@dataclass(frozen=True)
class LevelScores:
    """Scores of recordings at some levels."""

    embeddings: NDArray[np.float32]  # (levels, recordings, embedding_dim), unit length
    liveness: NDArray[np.float32]  # (levels, recordings) logit; NaN: no answer
    seconds: NDArray[np.float64]  # (levels, recordings)
    reasons: NDArray[np.str_]  # (levels, recordings) why there is no answer, in a word or two; empty where there is one
    measures: dict[str, NDArray[np.float64]]  # quality measures by name, each (levels, recordings)


class Scorer:
    """Scores recordings at levels, with processes that make the features.

    Args:
        model: a trained model.
        front_end: its features.
        tasks: what the run answers: ``speaker``, ``liveness``.
        measures: quality measures that its calibration goes by.
        workers: processes.
    """

    def __init__(
        self,
        model: JointModel,
        front_end: FrontEndConfig,
        tasks: Sequence[str],
        measures: Collection[str],
        workers: int,
    ) -> None:
        self.model, self.tasks, self.measures = model, tasks, sorted(measures)
        self.pool = spawn_pool(workers, _start, front_end, self.measures) if workers > 1 else None
        self.ahead = 2 * workers
        if self.pool is None:
            _start(front_end, self.measures)

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def score(self, tasks: Sequence[Task], recordings: int, levels: int, progress: str) -> LevelScores:
        """Score tasks that together name each recording at each level once.

        Raises:
            UserError: a recording cannot be used.
        """
        shape = (levels, recordings)
        scores = LevelScores(
            np.full((*shape, self.model.trunk.embedding_dim), np.nan, np.float32),
            np.full(shape, np.nan, np.float32),
            np.zeros(shape),
            np.zeros(shape, dtype="U32"),
            {name: np.full(shape, np.nan) for name in self.measures},
        )
        waiting: list[tuple[int, int, Heard]] = []
        with progress_bar(progress, len(tasks)) as advance:
            for task, found in self._extracted(tasks):
                waiting += [(task.first + turn, task.place, one) for turn, one in enumerate(found)]
                if sum(len(one.features.voice) for _, _, one in waiting) >= BATCH_FRAMES:
                    self._put(scores, waiting)
                    waiting = []
                advance(1)
            if waiting:
                self._put(scores, waiting)
        return scores

    def _extracted(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, list[Heard]]]:
        if self.pool is None:
            yield from ((task, _extract(task)) for task in tasks)
        else:
            yield from ordered(self.pool, _extract, tasks, self.ahead, "worker of the stress test")

    def _put(self, scores: LevelScores, waiting: Sequence[tuple[int, int, Heard]]) -> None:
        level, place = (np.array(column) for column in list(zip(*waiting, strict=True))[:2])
        store = in_memory([one.features for _, _, one in waiting])
        found = score_recordings(self.model, store, tasks=self.tasks)
        scores.embeddings[level, place] = found.embeddings
        scores.liveness[level, place] = found.liveness
        scores.seconds[level, place] = store.frames / FRAMES_PER_S
        scores.reasons[level, place] = [quality.label for quality in found.quality]
        for name, values in scores.measures.items():
            values[level, place] = [one.measures.get(name, np.nan) for _, _, one in waiting]


_extractor: Extractor | None = None
_measures: list[str] = []


def _start(front_end: FrontEndConfig, measures: list[str]) -> None:
    global _extractor, _measures
    _extractor, _measures = Extractor(front_end, AugmentConfig()), measures


def _extract(task: Task) -> list[Heard]:
    """Read a recording once and give its features at each level."""
    assert _extractor is not None
    row = task.row
    samples, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    found = []
    for level in task.levels:
        sound = Sound(samples, rate)
        if level is not None:
            sound = level.apply(sound, generator(task.seed, task.stream, row.id))
        wave = _wave(row, sound)
        found.append(Heard(_extractor.original(wave), measures_of_wave(wave.samples, wave.rate, _measures)))
    return found


def _wave(row: Row, sound: Sound) -> Wave:
    sensor = None
    if row.meta.accelerometer is not None:
        sensor = Sensor(row.path.parent / row.meta.accelerometer, row.start_s + sound.start_s)
    return prepare_wave(sound.samples, sound.rate, row.meta.probe_hz, sensor)
