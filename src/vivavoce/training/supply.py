"""Where the features of a step come from: a store on disk, worker processes, or the training device.

Each way gives the same steps in the same order however many workers there are, a few of them ahead of the training.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch

from vivavoce.corpus.manifest import Row
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.batch import LivenessBatch, SpeakerBatch
from vivavoce.features.extractor import Extractor, hear, in_memory
from vivavoce.features.front_end import FrontEndConfig, Probe, Wave
from vivavoce.features.spec import step_seeds
from vivavoce.features.store import FeatureStore
from vivavoce.features.survey import Survey
from vivavoce.pool import ordered, spawn_pool
from vivavoce.training.crops import COPIES, Batches, Cutter, Step


class Supply(Protocol):
    """Gives the batches of steps."""

    def batches(self, steps: Iterable[Step], cutter: Cutter) -> Iterator[Batches]:
        """Yield the batches of each step, in order."""
        ...

    def close(self) -> None:
        """End what works ahead."""
        ...


class OfflineSupply:
    """Cuts crops from a store, when they are asked for: it takes some milliseconds a step.

    A thread that ran ahead would bring a second set of OpenMP threads, which take the cores from the training.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store

    def batches(self, steps: Iterable[Step], cutter: Cutter) -> Iterator[Batches]:
        """Yield the batches of each step; each recording in one of its copies."""
        for step in steps:
            copies = step.generator(COPIES).integers(self.store.copies, size=len(step.items))
            yield cutter.cut(step, self.store, step.items * self.store.copies + copies)

    def close(self) -> None:
        """Nothing outlives `batches`."""


class Online:
    """Computes the features of a step's recordings anew, changed as the step's seeds say."""

    def __init__(self, front_end: FrontEndConfig, augment: AugmentConfig, device: torch.device | str = "cpu") -> None:
        self.extractor = Extractor(front_end, augment, device)

    def cut(self, step: Step, waves: list[Wave], cutter: Cutter) -> Batches:
        """The batches of one step from the waveforms of its recordings."""
        seeds = step_seeds(step.seed, step.epoch, step.number, len(waves))
        store = in_memory(self.extractor.versions(waves, seeds))
        return cutter.cut(step, store, np.arange(len(waves)))


class WorkerSupply:
    """Augments and extracts in worker processes, each step in one of them."""

    def __init__(
        self,
        rows: Sequence[Row],
        survey: Survey,
        front_end: FrontEndConfig,
        augment: AugmentConfig,
        workers: int,
        prefetch: int = 2,
    ) -> None:
        self.rows = rows
        self.survey = survey
        self.how = (front_end, augment)
        self.workers = workers
        self.prefetch = prefetch
        self.pool: Executor | None = None

    def batches(self, steps: Iterable[Step], cutter: Cutter) -> Iterator[Batches]:
        """Yield the batches of each step."""
        if self.pool is None:
            self.pool = spawn_pool(self.workers, _start_worker, *self.how, cutter)
        # Recordings go along with each step, so that a worker's memory does not grow with the corpus.
        tasks = ((step, _recordings(self.rows, self.survey, step)) for step in steps)
        ahead = self.prefetch * self.workers
        for _, (speaker, liveness) in ordered(self.pool, _work, tasks, ahead, "worker that computes features"):
            yield Batches(
                None if speaker is None else SpeakerBatch(*map(torch.from_numpy, speaker)),
                None if liveness is None else LivenessBatch(*map(torch.from_numpy, liveness)),
            )

    def close(self) -> None:
        """End the workers."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None


class DeviceSupply:
    """Reads recordings in threads; augments and extracts on the training device."""

    def __init__(
        self,
        rows: Sequence[Row],
        survey: Survey,
        front_end: FrontEndConfig,
        augment: AugmentConfig,
        workers: int,
        device: torch.device,
        prefetch: int = 2,
    ) -> None:
        self.rows = rows
        self.survey = survey
        self.online = Online(front_end, augment, device)
        self.workers = workers
        self.prefetch = prefetch

    def batches(self, steps: Iterable[Step], cutter: Cutter) -> Iterator[Batches]:
        """Yield the batches of each step."""
        with ThreadPoolExecutor(self.workers) as pool:
            for step, waves in ordered(pool, self._read, steps, self.prefetch * self.workers):
                yield self.online.cut(step, waves, cutter)

    def _read(self, step: Step) -> list[Wave]:
        return [hear(*recording) for recording in _recordings(self.rows, self.survey, step)]

    def close(self) -> None:
        """Nothing outlives `batches`."""


def _recordings(rows: Sequence[Row], survey: Survey, step: Step) -> list[tuple[Row, Probe]]:
    return [(rows[item], survey.probe(item)) for item in step.items.tolist()]


_worker: tuple[Online, Cutter] | None = None


def _start_worker(front_end: FrontEndConfig, augment: AugmentConfig, cutter: Cutter) -> None:
    global _worker
    _worker = Online(front_end, augment), cutter


def _work(task: tuple[Step, list[tuple[Row, Probe]]]) -> tuple[list[np.ndarray] | None, list[np.ndarray] | None]:
    assert _worker is not None
    online, cutter = _worker
    step, recordings = task
    # As arrays: tensors would travel as files of shared memory, which a small /dev/shm cannot hold.
    speaker, liveness = online.cut(step, [hear(*recording) for recording in recordings], cutter)
    return _arrays(speaker), _arrays(liveness)


def _arrays(batch: SpeakerBatch | LivenessBatch | None) -> list[np.ndarray] | None:
    return None if batch is None else [part.numpy() for part in batch]
